"""What an edge knows about its link from picture to picture, and what its model's points cost on it. No clock."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_client.rate.estimator import LinkEstimator
from edge_client.rate.points import NO_POINTS, RatedPoints
from edge_client.rate.policy import NOTHING, Completed, Plan
from edge_client.request import Request
from edge_client.stream import StreamLedger
from wire.entropy import WORD_BITS
from wire.exceptions import PointError
from wire.manifest import Manifest
from wire.payload import Indices, PayloadCodec
from wire.tasks import task_of

PROBE_BYTES = 1200
"""A probe is one packet: more would delay the next picture by more than it tells."""


class RateControl:
    """codec: of the model. probe: bytes of probes for each byte of pictures, at most."""

    def __init__(self, codec: PayloadCodec, probe: float) -> None:
        self.manifest: Manifest = codec.manifest
        self.estimator = LinkEstimator()
        self.encode_s = 0.0
        """Seconds that the encoder takes for a picture."""
        self._file_encode_s: float | None = None
        self._coded, self._packed = codec, PayloadCodec(self.manifest)
        self._probe, self._allowance = probe, 0.0
        points, files, utility = self.manifest.points, self.manifest.codec, task_of(self.manifest).utility
        self._number = np.arange(1, len(points) + 1)
        self._metric = np.array([utility(point.metric) for point in points])
        self._packed_bytes = np.array([point.payload_bytes for point in points], np.float64)
        self._mean_bytes = np.array([point.mean_bytes for point in points])
        self._planes = np.zeros(len(points), np.intp)
        self._chain = np.array(self.manifest.chain, np.intp) - 1
        self._planes[self._chain] = np.arange(1, len(self._chain) + 1)
        local = self.manifest.local_head
        self._local_metric = 0.0 if local is None else utility(local.metric)
        self._files = tuple((file.side, file.quality) for file in files)
        self._file_bytes = np.array([file.payload_bytes for file in files])
        self._file_metric = np.array([utility(file.metric) for file in files])

    def codec(self, ledger: StreamLedger) -> PayloadCodec:
        """What this server reads."""
        return self._coded if ledger.reads_coded else self._packed

    def points(self, ledger: StreamLedger) -> RatedPoints:
        """All points, by what pictures take on average."""
        taken = self._packed_bytes if self.codec(ledger).coder is None else self._mean_bytes
        return self._rated(taken, self.encode_s, ledger)

    def points_of(self, indices: Indices, ledger: StreamLedger) -> RatedPoints:
        """All points, by what a picture takes whose indices (M,) are at the chain's last point.

        A picture that is encoded already takes no more time for that.
        """
        codec = self.codec(ledger)
        taken = self._packed_bytes
        if codec.coder is not None:
            taken = np.minimum(codec.costs(indices) + WORD_BITS / 8, taken)
        return self._rated(taken, 0.0, ledger)

    def chain(self, points: RatedPoints, until: int | None) -> RatedPoints:
        """Those of `points` that are the chain, as far as point `until`, or as it takes no more bytes than that.

        Without it, as far as any plane gives more than what came before. What gives less than the edge's own answer
        is left out.

        Raises:
            PointError: if the model is not refinable.
        """
        if not self.manifest.refinable:
            raise PointError(
                f"The {self.manifest.family} codebook of {self.manifest.name} is not refinable: it needs all of a "
                "point before it can answer; leave progressive mode off, or use a progressive model."
            )
        if until is None:
            rows = self._chain[: int(self._metric[self._chain].argmax()) + 1]
        else:
            most = self.manifest.point(until).payload_bytes
            rows = self._chain[: max(1, np.count_nonzero(self._packed_bytes[self._chain] <= most))]
        return self.better(points.rows(rows))

    def better(self, points: RatedPoints) -> RatedPoints:
        """Those that give more than the edge's own answer, where it has one; else the last one."""
        if self.manifest.local_head is None:
            return points
        better = np.flatnonzero(points.metric > self._local_metric)
        return points.rows(better if len(better) else np.array([len(points) - 1]))

    def files(self, ledger: StreamLedger) -> RatedPoints:
        """The files that a picture could be sent as; none where the server or the manifest does not know them."""
        if not self._files or not ledger.reads_bundles:
            return NO_POINTS
        encode_s = self.encode_s if self._file_encode_s is None else self._file_encode_s
        return RatedPoints(
            np.zeros(len(self._files), np.intp),
            8 * (self._file_bytes + ledger.around_bytes),
            self._file_metric,
            np.full(len(self._files), encode_s),
            np.zeros(len(self._files), np.intp),
            self._files,
        )

    def _rated(self, payload_bytes: NDArray[np.float64], encode_s: float, ledger: StreamLedger) -> RatedPoints:
        bits = 8 * (payload_bytes + ledger.around_bytes)
        return RatedPoints(self._number, bits, self._metric, np.full(len(bits), encode_s), self._planes)

    def checked(self, plan: Plan) -> Plan:
        """The plan of a policy, which may be a user's.

        Raises:
            PointError: if the model does not have what it plans.
        """
        name, last = self.manifest.name, len(self.manifest.points)
        if plan == NOTHING:
            if self.manifest.local_head is None:
                raise PointError(f"The policy planned point 0; {name} has no local head, and points from 1 to {last}.")
            return plan
        if plan.file is None and not 1 <= plan.point <= last:
            raise PointError(f"The policy planned point {plan.point}; the points of {name} are 1 to {last}.")
        return plan

    def learn(self, request: Request, now: float, *, again: bool = False) -> bool:
        """What became of a picture, for the next one. Whether a probe may be sent, since it only said "at least".

        again: it was sent on an earlier stream, too, so that its own time cannot be told.
        """
        result, sample = request.result, request.sample
        answers = tuple((answer.point, request.began + answer.after) for answer in result.served)
        deadline = request.began + result.budget
        link = request.ledger.link(self.estimator)
        request.policy.observe(Completed(now, request.plan, deadline, answers, link, sample, request.sent_bytes))
        if not result.served:  # in time: the edge's own answer stands
            if sample is not None:
                others_s = result.budget - result.encode - (request.first_seconds or result.budget)
                overhead_s = max(others_s, self.estimator.overhead_s(link.round_trip))
                self.estimator.learn(sample, overhead_s, result.capacity, now)
            return False
        if again or request.first_seconds is None:  # or it was sent together with others
            return False
        overhead_s = max(0.0, result.served[0].after - result.encode - request.first_seconds)
        if result.file is not None:  # the server encodes it, too; that belongs to files alone
            extra = max(0.0, overhead_s - self.estimator.overhead_s(overhead_s))
            self._file_encode_s, overhead_s = result.encode + extra, overhead_s - extra
        self.estimator.learn(sample, overhead_s, result.capacity, now)
        self._allowance += self._probe * result.payload_bytes
        if sample is None or not sample.app_limited or self._allowance < PROBE_BYTES:
            return False
        self._allowance -= PROBE_BYTES
        return True
