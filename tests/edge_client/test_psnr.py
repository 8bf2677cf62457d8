"""A rate policy maximises what the task says that its metric is worth, also where that is no share of right answers."""

from __future__ import annotations

import pytest

from edge_client.control import RateControl
from edge_client.stream import StreamLedger
from tests.edge_client.models import FakeEncoder, reconstructing_like
from tests.edge_client.plans import Check, Conditions, Pictures, Run, run
from wire.payload import PayloadCodec


def test_dimensions_and_bytes_follow_the_formula() -> None:
    manifest = reconstructing_like()
    assert manifest.sub_vectors == 64
    for bytes_of_bits, point in enumerate(manifest.points, 32):
        assert point.payload_bytes == bytes_of_bits  # ceil(64 · log2 K / 8), of the largest K that fits
    assert manifest.point_within(50) == 19 and manifest.point(19).sizes == (76,)


def test_points_are_worth_a_share_that_grows_with_their_psnr() -> None:
    control = RateControl(PayloadCodec(reconstructing_like()), 0.0)
    worth = control.points(StreamLedger("memory", 40, 20)).metric
    assert ((worth > 0) & (worth < 1)).all() and (worth[1:] > worth[:-1]).all()
    assert worth[0] == pytest.approx(20.8 / 40)


def test_more_is_sent_where_the_link_carries_more_before_the_deadline() -> None:
    found = []
    for capacity in (6_500, 30_000):
        seen = run(
            [
                Conditions(capacity=capacity),
                Pictures(every=1.0, budget=0.2),
                Run(30),
                Check("nearly all are in time", lambda seen: seen.met > 0.9),
            ],
            encoder=FakeEncoder(reconstructing_like()),
        )
        found.append(sum(seen.points[10:]) / len(seen.points[10:]))
    slow, fast = found
    assert slow < 30 and fast > 40, found  # of 49 points
