"""From a picture to what is said about it: the plan of its policy, the encoder, the first message."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_client.asking import Asked
from edge_client.codec import write_webp
from edge_client.control import RateControl
from edge_client.encoder import Encoder
from edge_client.local import Local
from edge_client.modes import Mode, OneShot, Progressive
from edge_client.rate import (
    NOTHING,
    AdaptiveOneShot,
    AdaptiveProgressive,
    Cascade,
    FixedFile,
    FixedPoint,
    Plan,
    RatedPoints,
    RatePolicy,
)
from edge_client.request import ProgressiveRequest, Refinement, Request
from edge_client.results import Result
from edge_client.stream import Part, StreamLedger
from wire.exceptions import PointError
from wire.generated import remote_inference_pb2 as pb
from wire.payload import Indices
from wire.pictures import Picture
from wire.tasks import Task


@dataclass(frozen=True)
class Preparation:
    """One picture, before anything of it is sent.

    policy: the caller's own, or None. began: when the picture was handed over, in seconds of `clock`, which is
    monotonic. result: gets the seconds that encoding takes, and what is sent. local: the edge's own answer, where it
    has one, and what came with it.
    """

    encoder: Encoder
    control: RateControl
    policy: RatePolicy | None
    task: Task
    clock: Callable[[], float]
    picture: Picture
    mode: Mode
    top_k: int
    began: float
    picture_id: int
    ledger: StreamLedger
    result: Result
    local: Local | None = None
    question: str = ""

    def further(self, asked: Asked) -> Request:
        """What is to be said where the server has the picture: the question alone."""
        self.result.point = asked.point
        part = asked.further(self.picture_id, self.question, self.top_k)
        return self._whole(FixedPoint(asked.point), NOTHING, part)

    def request(self) -> Request:
        """What is to be said about the picture.

        A file is planned before anything is encoded, by what pictures take on average, and so is the point of a model
        that is not refinable. A refinable one is encoded once, and its own bits are known when its point is chosen.

        Raises:
            PointError: if the model does not have what is asked for, or what the policy plans.
        """
        policy, points = self._policy(), self._points()
        if isinstance(self.mode, OneShot) and self.mode.point is not None:  # refused before anything is encoded
            self.encoder.manifest.point(self.mode.point)
        if not self.encoder.manifest.refinable:
            plan = self._plan(policy, points)
            if plan.file is not None:
                return self._file(policy, plan, plan.file)
            if plan == NOTHING:
                return self._nothing(policy)
            return self._block(policy, plan, self._encode(plan.point))
        if points.files or isinstance(policy, FixedFile):
            plan = self._plan(policy, points)
            if plan.file is not None:
                return self._file(policy, plan, plan.file)
        indices = self._encode(self.encoder.finest)
        if not isinstance(policy, FixedPoint):
            points = self._offered(self.control.points_of(indices, self.ledger))
        plan = self._plan(policy, points)
        if plan == NOTHING:
            return self._nothing(policy)
        return self._refining(policy, plan, points, indices) if plan.runs else self._block(policy, plan, indices)

    def _policy(self) -> RatePolicy:
        """The mode, where it says all; else the caller's policy, or ours."""
        mode = self.mode
        if isinstance(mode, Progressive):
            return self.policy or (AdaptiveProgressive() if mode.min_confidence == 1 else Cascade())
        if isinstance(mode, OneShot):
            return self.policy or AdaptiveOneShot() if mode.point is None else FixedPoint(mode.point)
        return AdaptiveOneShot() if mode.side is None or mode.quality is None else FixedFile(mode.side, mode.quality)

    def _points(self) -> RatedPoints:
        """What is offered, by what pictures take on average."""
        if isinstance(self.mode, Progressive) or (isinstance(self.mode, OneShot) and self.mode.point is not None):
            return self._offered(self.control.points(self.ledger))
        files = self.control.files(self.ledger)
        if isinstance(self.mode, OneShot):
            return self._offered(self.control.points(self.ledger) + files)
        if not self.ledger.reads_bundles or not (files or self.mode.side):
            raise PointError("This model's figures for files are not known, or its server is too old; use OneShot().")
        return files

    def _offered(self, points: RatedPoints) -> RatedPoints:
        if isinstance(self.mode, Progressive):
            return self.control.chain(points, self.mode.point)
        return points if self.local is None else self.control.better(points)

    def _plan(self, policy: RatePolicy, points: RatedPoints) -> Plan:
        link, deadline = self.ledger.link(self.control.estimator), self.began + self.result.budget
        return self.control.checked(policy.plan(points, link, deadline, self.clock()))

    def _encode(self, point: int) -> Indices:
        known = self.local is not None and self.local.fingerprint == self.encoder.manifest.fingerprint
        if self.local is not None and known and point == self.encoder.finest:
            self.result.encode = self.control.encode_s = self.local.encode_s
            return self.local.indices
        began = self.clock()
        indices = self.encoder.encode(self.picture, point)
        self.result.encode = self.control.encode_s = self.clock() - began
        return indices

    def _nothing(self, policy: RatePolicy) -> Request:
        request = Request(self.picture_id, self.ledger, self.task, self.result, self.began, policy, NOTHING, None)
        request.complete = True
        return request

    def _file(self, policy: RatePolicy, plan: Plan, file: tuple[int, int]) -> Request:
        began = self.clock()
        data = write_webp(self.encoder.fit(self.picture), *file)
        self.result.encode, self.result.file = self.clock() - began, file
        part = pb.PictureFile(picture_id=self.picture_id, file=data, top_k=self.top_k, question=self.question)
        return self._whole(policy, plan, part)

    def _block(self, policy: RatePolicy, plan: Plan, indices: Indices) -> Request:
        codec, self.result.point = self.control.codec(self.ledger), plan.point
        if self.encoder.manifest.refinable:
            indices = codec.at_point(indices, plan.point)
        data, packed = codec.write_block(indices, plan.point)
        top_k = self.top_k if self.top_k > 1 else 0  # which means 1, and takes no byte
        part = pb.Payload(
            picture_id=self.picture_id,
            point=plan.point,
            data=data,
            packed=packed,
            top_k=top_k,
            question=self.question,
        )
        return self._whole(policy, plan, part)

    def _whole(self, policy: RatePolicy, plan: Plan, part: Part) -> Request:
        return Request(self.picture_id, self.ledger, self.task, self.result, self.began, policy, plan, part)

    def _refining(self, policy: RatePolicy, plan: Plan, points: RatedPoints, indices: Indices) -> Request:
        min_confidence = self.mode.min_confidence if isinstance(self.mode, Progressive) else 1.0
        if plan.min_confidence is not None:
            min_confidence = plan.min_confidence
        if not isinstance(self.mode, Progressive):  # a policy of the caller's that streams
            points = self.control.chain(points, plan.point)
        self.result.point = int(points.number[-1])
        codec, estimator = self.control.codec(self.ledger), self.control.estimator
        refinement = Refinement(indices, codec, points, estimator, min_confidence, self.top_k, self.question)
        return ProgressiveRequest(
            self.picture_id, self.ledger, self.task, self.result, self.began, policy, plan, refinement
        )
