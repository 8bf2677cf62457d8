import asyncio

from benchmarks.service.hostile import hostile
from tests.conftest import MODEL


def test_hostile_input_is_refused_and_does_no_harm() -> None:
    found = asyncio.run(hostile(MODEL, 2000, seed=1))
    # So short a run says nothing of memory; the command does, with a hundred times as many.
    assert found["server_alive"] and not found["faults_in_the_log"] and len(found["answers_to_good_pictures"]) == 1
    assert found["statuses"]["INVALID_ARGUMENT"] > 100 and sum(found["failures_by_code"].values()) > 20
