from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StreamRequest(_message.Message):
    __slots__ = ("hello", "payload", "cancel", "ping", "report", "bundle", "file", "question")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    payload: Payload
    cancel: Cancel
    ping: Ping
    report: Report
    bundle: PayloadBundle
    file: PictureFile
    question: Question
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., payload: _Optional[_Union[Payload, _Mapping]] = ..., cancel: _Optional[_Union[Cancel, _Mapping]] = ..., ping: _Optional[_Union[Ping, _Mapping]] = ..., report: _Optional[_Union[Report, _Mapping]] = ..., bundle: _Optional[_Union[PayloadBundle, _Mapping]] = ..., file: _Optional[_Union[PictureFile, _Mapping]] = ..., question: _Optional[_Union[Question, _Mapping]] = ...) -> None: ...

class StreamResponse(_message.Message):
    __slots__ = ("welcome", "answer", "failure", "receipt", "pong", "bundle", "move")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    PONG_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    MOVE_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    answer: Answer
    failure: Failure
    receipt: Receipt
    pong: Pong
    bundle: ResponseBundle
    move: Move
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., answer: _Optional[_Union[Answer, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., receipt: _Optional[_Union[Receipt, _Mapping]] = ..., pong: _Optional[_Union[Pong, _Mapping]] = ..., bundle: _Optional[_Union[ResponseBundle, _Mapping]] = ..., move: _Optional[_Union[Move, _Mapping]] = ...) -> None: ...

class Move(_message.Message):
    __slots__ = ("fingerprint",)
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    fingerprint: str
    def __init__(self, fingerprint: _Optional[str] = ...) -> None: ...

class ResponseBundle(_message.Message):
    __slots__ = ("responses",)
    RESPONSES_FIELD_NUMBER: _ClassVar[int]
    responses: _containers.RepeatedCompositeFieldContainer[StreamResponse]
    def __init__(self, responses: _Optional[_Iterable[_Union[StreamResponse, _Mapping]]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("fingerprint", "name", "reads_bundles", "reads_moves", "follows_model")
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    READS_BUNDLES_FIELD_NUMBER: _ClassVar[int]
    READS_MOVES_FIELD_NUMBER: _ClassVar[int]
    FOLLOWS_MODEL_FIELD_NUMBER: _ClassVar[int]
    fingerprint: str
    name: str
    reads_bundles: bool
    reads_moves: bool
    follows_model: bool
    def __init__(self, fingerprint: _Optional[str] = ..., name: _Optional[str] = ..., reads_bundles: bool = ..., reads_moves: bool = ..., follows_model: bool = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("server_version", "reads_coded", "reads_bundles")
    SERVER_VERSION_FIELD_NUMBER: _ClassVar[int]
    READS_CODED_FIELD_NUMBER: _ClassVar[int]
    READS_BUNDLES_FIELD_NUMBER: _ClassVar[int]
    server_version: str
    reads_coded: bool
    reads_bundles: bool
    def __init__(self, server_version: _Optional[str] = ..., reads_coded: bool = ..., reads_bundles: bool = ...) -> None: ...

class Payload(_message.Message):
    __slots__ = ("picture_id", "point", "first_plane", "plane_count", "data", "packed", "top_k", "last", "given_up", "question")
    PICTURE_ID_FIELD_NUMBER: _ClassVar[int]
    POINT_FIELD_NUMBER: _ClassVar[int]
    FIRST_PLANE_FIELD_NUMBER: _ClassVar[int]
    PLANE_COUNT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    PACKED_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    GIVEN_UP_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    picture_id: int
    point: int
    first_plane: int
    plane_count: int
    data: bytes
    packed: bool
    top_k: int
    last: bool
    given_up: _containers.RepeatedScalarFieldContainer[int]
    question: str
    def __init__(self, picture_id: _Optional[int] = ..., point: _Optional[int] = ..., first_plane: _Optional[int] = ..., plane_count: _Optional[int] = ..., data: _Optional[bytes] = ..., packed: bool = ..., top_k: _Optional[int] = ..., last: bool = ..., given_up: _Optional[_Iterable[int]] = ..., question: _Optional[str] = ...) -> None: ...

class PayloadBundle(_message.Message):
    __slots__ = ("shared", "lengths", "steps")
    SHARED_FIELD_NUMBER: _ClassVar[int]
    LENGTHS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    shared: Payload
    lengths: _containers.RepeatedScalarFieldContainer[int]
    steps: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, shared: _Optional[_Union[Payload, _Mapping]] = ..., lengths: _Optional[_Iterable[int]] = ..., steps: _Optional[_Iterable[int]] = ...) -> None: ...

class PictureFile(_message.Message):
    __slots__ = ("picture_id", "file", "top_k", "question")
    PICTURE_ID_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    picture_id: int
    file: bytes
    top_k: int
    question: str
    def __init__(self, picture_id: _Optional[int] = ..., file: _Optional[bytes] = ..., top_k: _Optional[int] = ..., question: _Optional[str] = ...) -> None: ...

class Question(_message.Message):
    __slots__ = ("picture_id", "back", "question", "top_k")
    PICTURE_ID_FIELD_NUMBER: _ClassVar[int]
    BACK_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    picture_id: int
    back: int
    question: str
    top_k: int
    def __init__(self, picture_id: _Optional[int] = ..., back: _Optional[int] = ..., question: _Optional[str] = ..., top_k: _Optional[int] = ...) -> None: ...

class Report(_message.Message):
    __slots__ = ("point", "payload_bytes", "capacity", "true_capacity", "latency_us", "budget_us", "jpeg_bytes", "webp_bytes", "thumbnail", "encode_us", "queue_us", "decode_us", "capacity_low", "capacity_high")
    POINT_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_BYTES_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    TRUE_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    LATENCY_US_FIELD_NUMBER: _ClassVar[int]
    BUDGET_US_FIELD_NUMBER: _ClassVar[int]
    JPEG_BYTES_FIELD_NUMBER: _ClassVar[int]
    WEBP_BYTES_FIELD_NUMBER: _ClassVar[int]
    THUMBNAIL_FIELD_NUMBER: _ClassVar[int]
    ENCODE_US_FIELD_NUMBER: _ClassVar[int]
    QUEUE_US_FIELD_NUMBER: _ClassVar[int]
    DECODE_US_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_LOW_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_HIGH_FIELD_NUMBER: _ClassVar[int]
    point: int
    payload_bytes: int
    capacity: int
    true_capacity: int
    latency_us: int
    budget_us: int
    jpeg_bytes: int
    webp_bytes: int
    thumbnail: bytes
    encode_us: int
    queue_us: int
    decode_us: int
    capacity_low: int
    capacity_high: int
    def __init__(self, point: _Optional[int] = ..., payload_bytes: _Optional[int] = ..., capacity: _Optional[int] = ..., true_capacity: _Optional[int] = ..., latency_us: _Optional[int] = ..., budget_us: _Optional[int] = ..., jpeg_bytes: _Optional[int] = ..., webp_bytes: _Optional[int] = ..., thumbnail: _Optional[bytes] = ..., encode_us: _Optional[int] = ..., queue_us: _Optional[int] = ..., decode_us: _Optional[int] = ..., capacity_low: _Optional[int] = ..., capacity_high: _Optional[int] = ...) -> None: ...

class Cancel(_message.Message):
    __slots__ = ("picture_id",)
    PICTURE_ID_FIELD_NUMBER: _ClassVar[int]
    picture_id: int
    def __init__(self, picture_id: _Optional[int] = ...) -> None: ...

class Ping(_message.Message):
    __slots__ = ("id", "padding")
    ID_FIELD_NUMBER: _ClassVar[int]
    PADDING_FIELD_NUMBER: _ClassVar[int]
    id: int
    padding: bytes
    def __init__(self, id: _Optional[int] = ..., padding: _Optional[bytes] = ...) -> None: ...

class Pong(_message.Message):
    __slots__ = ("id", "received_bytes", "received_us")
    ID_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_US_FIELD_NUMBER: _ClassVar[int]
    id: int
    received_bytes: int
    received_us: int
    def __init__(self, id: _Optional[int] = ..., received_bytes: _Optional[int] = ..., received_us: _Optional[int] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("picture_id", "planes", "received_bytes", "received_us")
    PICTURE_ID_FIELD_NUMBER: _ClassVar[int]
    PLANES_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_US_FIELD_NUMBER: _ClassVar[int]
    picture_id: int
    planes: int
    received_bytes: int
    received_us: int
    def __init__(self, picture_id: _Optional[int] = ..., planes: _Optional[int] = ..., received_bytes: _Optional[int] = ..., received_us: _Optional[int] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("picture_id", "point", "classification", "other", "reconstruction", "question_answering", "partial", "final", "queue_us", "decode_us")
    PICTURE_ID_FIELD_NUMBER: _ClassVar[int]
    POINT_FIELD_NUMBER: _ClassVar[int]
    CLASSIFICATION_FIELD_NUMBER: _ClassVar[int]
    OTHER_FIELD_NUMBER: _ClassVar[int]
    RECONSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    QUESTION_ANSWERING_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    QUEUE_US_FIELD_NUMBER: _ClassVar[int]
    DECODE_US_FIELD_NUMBER: _ClassVar[int]
    picture_id: int
    point: int
    classification: Classification
    other: _struct_pb2.Struct
    reconstruction: Reconstruction
    question_answering: QuestionAnswering
    partial: bool
    final: bool
    queue_us: int
    decode_us: int
    def __init__(self, picture_id: _Optional[int] = ..., point: _Optional[int] = ..., classification: _Optional[_Union[Classification, _Mapping]] = ..., other: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., reconstruction: _Optional[_Union[Reconstruction, _Mapping]] = ..., question_answering: _Optional[_Union[QuestionAnswering, _Mapping]] = ..., partial: bool = ..., final: bool = ..., queue_us: _Optional[int] = ..., decode_us: _Optional[int] = ...) -> None: ...

class Classification(_message.Message):
    __slots__ = ("classes",)
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    classes: _containers.RepeatedCompositeFieldContainer[ClassProbability]
    def __init__(self, classes: _Optional[_Iterable[_Union[ClassProbability, _Mapping]]] = ...) -> None: ...

class ClassProbability(_message.Message):
    __slots__ = ("index", "name", "probability")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    index: int
    name: str
    probability: float
    def __init__(self, index: _Optional[int] = ..., name: _Optional[str] = ..., probability: _Optional[float] = ...) -> None: ...

class Reconstruction(_message.Message):
    __slots__ = ("png",)
    PNG_FIELD_NUMBER: _ClassVar[int]
    png: bytes
    def __init__(self, png: _Optional[bytes] = ...) -> None: ...

class QuestionAnswering(_message.Message):
    __slots__ = ("answers",)
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    answers: _containers.RepeatedCompositeFieldContainer[PossibleAnswer]
    def __init__(self, answers: _Optional[_Iterable[_Union[PossibleAnswer, _Mapping]]] = ...) -> None: ...

class PossibleAnswer(_message.Message):
    __slots__ = ("index", "text", "probability")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    index: int
    text: str
    probability: float
    def __init__(self, index: _Optional[int] = ..., text: _Optional[str] = ..., probability: _Optional[float] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("picture_id", "code", "message", "retry_after_ms", "reason")
    PICTURE_ID_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    picture_id: int
    code: int
    message: str
    retry_after_ms: int
    reason: str
    def __init__(self, picture_id: _Optional[int] = ..., code: _Optional[int] = ..., message: _Optional[str] = ..., retry_after_ms: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class PredictRequest(_message.Message):
    __slots__ = ("fingerprint", "point", "data", "packed", "top_k", "key", "question")
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    POINT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    PACKED_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    fingerprint: str
    point: int
    data: bytes
    packed: bool
    top_k: int
    key: bytes
    question: str
    def __init__(self, fingerprint: _Optional[str] = ..., point: _Optional[int] = ..., data: _Optional[bytes] = ..., packed: bool = ..., top_k: _Optional[int] = ..., key: _Optional[bytes] = ..., question: _Optional[str] = ...) -> None: ...

class PredictResponse(_message.Message):
    __slots__ = ("answer",)
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    answer: Answer
    def __init__(self, answer: _Optional[_Union[Answer, _Mapping]] = ...) -> None: ...

class PredictPictureRequest(_message.Message):
    __slots__ = ("picture", "top_k", "fingerprint", "question")
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    picture: bytes
    top_k: int
    fingerprint: str
    question: str
    def __init__(self, picture: _Optional[bytes] = ..., top_k: _Optional[int] = ..., fingerprint: _Optional[str] = ..., question: _Optional[str] = ...) -> None: ...

class PredictPictureResponse(_message.Message):
    __slots__ = ("answer",)
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    answer: Answer
    def __init__(self, answer: _Optional[_Union[Answer, _Mapping]] = ...) -> None: ...

class DescribeModelRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class DescribeModelResponse(_message.Message):
    __slots__ = ("fingerprint", "manifest")
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    fingerprint: str
    manifest: bytes
    def __init__(self, fingerprint: _Optional[str] = ..., manifest: _Optional[bytes] = ...) -> None: ...

class FetchFileRequest(_message.Message):
    __slots__ = ("fingerprint", "name")
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    fingerprint: str
    name: str
    def __init__(self, fingerprint: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class FetchFileResponse(_message.Message):
    __slots__ = ("data", "file_bytes")
    DATA_FIELD_NUMBER: _ClassVar[int]
    FILE_BYTES_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    file_bytes: int
    def __init__(self, data: _Optional[bytes] = ..., file_bytes: _Optional[int] = ...) -> None: ...
