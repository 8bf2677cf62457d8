"""What has arrived is read late, once, and in order."""

from __future__ import annotations

import numpy as np

from inference_server.unread import Unread, read
from tests import tiny
from tests.wire.manifests import chained
from wire.exceptions import ProtocolError
from wire.payload import Indices, PayloadCodec

MANIFEST = chained((1, 1), tiny.CHAIN, positions=5, largest=16)


class CountingCodec(PayloadCodec):
    """Keeps how many runs were read at once."""

    def __init__(self) -> None:
        super().__init__(MANIFEST)
        self.read_at_once: list[int] = []

    def read_runs(
        self, runs: list[tuple[bytes, bool]], known: Indices, first: int, count: int
    ) -> list[Indices | ProtocolError]:
        self.read_at_once.append(len(runs))
        return super().read_runs(runs, known, first, count)


def picture(seed: int) -> Indices:
    return np.random.default_rng(seed).integers(0, 16, 10, dtype=np.int32)


def arrived(codec: PayloadCodec, indices: Indices, *runs: tuple[int, int], bad: int = 0) -> list[Unread]:
    """These runs of a picture, one behind the other; the run that begins with plane `bad` is a byte too long."""
    parts: list[Unread] = []
    for first, count in runs:
        data, packed = codec.write_run(indices, first, count)
        parts.append(Unread(codec, data + bytes(first == bad), packed, (first, count), parts[-1] if parts else None))
    return parts


def test_the_newest_state_reads_all_that_came_before_once_and_those_alike_together() -> None:
    codec = CountingCodec()
    one, other = (arrived(codec, picture(seed), (1, 2), (3, 6)) for seed in (1, 2))
    late = arrived(codec, picture(3), (1, 2))
    found = read([one[1], other[1], late[0]])
    assert np.array_equal(found[:2], [picture(1), picture(2)])
    assert np.array_equal(found[2], codec.at_point(picture(3), MANIFEST.chain[1]))
    assert codec.read_at_once == [3, 2]
    assert np.array_equal(*read([one[1]]), picture(1)) and codec.read_at_once == [3, 2]


def test_indices_that_are_there_stay_in_their_place() -> None:
    codec = CountingCodec()
    assert np.array_equal(read([picture(1), arrived(codec, picture(2), (1, 8))[0]]), [picture(1), picture(2)])


def test_what_comes_behind_a_bad_run_is_bad() -> None:
    codec = CountingCodec()
    parts = arrived(codec, picture(1), (1, 2), (3, 2), (5, 4), bad=3)
    fault, good = read([parts[2], arrived(codec, picture(2), (1, 8))[0]])
    assert isinstance(fault, ProtocolError) and np.array_equal(good, picture(2))
    assert read([parts[1]]) == [fault]
