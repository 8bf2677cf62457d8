from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StreamRequest(_message.Message):
    __slots__ = ("hello", "planes", "cancel", "ping", "report", "bundle", "file")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    PLANES_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    planes: Planes
    cancel: Cancel
    ping: Ping
    report: Report
    bundle: Bundle
    file: PictureFile
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., planes: _Optional[_Union[Planes, _Mapping]] = ..., cancel: _Optional[_Union[Cancel, _Mapping]] = ..., ping: _Optional[_Union[Ping, _Mapping]] = ..., report: _Optional[_Union[Report, _Mapping]] = ..., bundle: _Optional[_Union[Bundle, _Mapping]] = ..., file: _Optional[_Union[PictureFile, _Mapping]] = ...) -> None: ...

class StreamResponse(_message.Message):
    __slots__ = ("welcome", "prediction", "failure", "receipt", "pong", "bundle")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    PONG_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    prediction: Prediction
    failure: Failure
    receipt: Receipt
    pong: Pong
    bundle: Responses
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., prediction: _Optional[_Union[Prediction, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., receipt: _Optional[_Union[Receipt, _Mapping]] = ..., pong: _Optional[_Union[Pong, _Mapping]] = ..., bundle: _Optional[_Union[Responses, _Mapping]] = ...) -> None: ...

class Responses(_message.Message):
    __slots__ = ("responses",)
    RESPONSES_FIELD_NUMBER: _ClassVar[int]
    responses: _containers.RepeatedCompositeFieldContainer[StreamResponse]
    def __init__(self, responses: _Optional[_Iterable[_Union[StreamResponse, _Mapping]]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("fingerprint", "name", "reads_bundles")
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    READS_BUNDLES_FIELD_NUMBER: _ClassVar[int]
    fingerprint: str
    name: str
    reads_bundles: bool
    def __init__(self, fingerprint: _Optional[str] = ..., name: _Optional[str] = ..., reads_bundles: bool = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("server_version", "reads_coded_planes", "reads_bundles")
    SERVER_VERSION_FIELD_NUMBER: _ClassVar[int]
    READS_CODED_PLANES_FIELD_NUMBER: _ClassVar[int]
    READS_BUNDLES_FIELD_NUMBER: _ClassVar[int]
    server_version: str
    reads_coded_planes: bool
    reads_bundles: bool
    def __init__(self, server_version: _Optional[str] = ..., reads_coded_planes: bool = ..., reads_bundles: bool = ...) -> None: ...

class Planes(_message.Message):
    __slots__ = ("picture_id", "level", "first_plane", "planes", "top_k", "last", "coded", "given_up")
    PICTURE_ID_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    FIRST_PLANE_FIELD_NUMBER: _ClassVar[int]
    PLANES_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    CODED_FIELD_NUMBER: _ClassVar[int]
    GIVEN_UP_FIELD_NUMBER: _ClassVar[int]
    picture_id: int
    level: int
    first_plane: int
    planes: bytes
    top_k: int
    last: bool
    coded: int
    given_up: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, picture_id: _Optional[int] = ..., level: _Optional[int] = ..., first_plane: _Optional[int] = ..., planes: _Optional[bytes] = ..., top_k: _Optional[int] = ..., last: bool = ..., coded: _Optional[int] = ..., given_up: _Optional[_Iterable[int]] = ...) -> None: ...

class Bundle(_message.Message):
    __slots__ = ("shared", "lengths", "steps")
    SHARED_FIELD_NUMBER: _ClassVar[int]
    LENGTHS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    shared: Planes
    lengths: _containers.RepeatedScalarFieldContainer[int]
    steps: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, shared: _Optional[_Union[Planes, _Mapping]] = ..., lengths: _Optional[_Iterable[int]] = ..., steps: _Optional[_Iterable[int]] = ...) -> None: ...

class PictureFile(_message.Message):
    __slots__ = ("picture_id", "file", "top_k")
    PICTURE_ID_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    picture_id: int
    file: bytes
    top_k: int
    def __init__(self, picture_id: _Optional[int] = ..., file: _Optional[bytes] = ..., top_k: _Optional[int] = ...) -> None: ...

class Report(_message.Message):
    __slots__ = ("planes", "payload_bytes", "capacity", "true_capacity", "latency_us", "budget_us", "jpeg_bytes", "webp_bytes", "thumbnail")
    PLANES_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_BYTES_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    TRUE_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    LATENCY_US_FIELD_NUMBER: _ClassVar[int]
    BUDGET_US_FIELD_NUMBER: _ClassVar[int]
    JPEG_BYTES_FIELD_NUMBER: _ClassVar[int]
    WEBP_BYTES_FIELD_NUMBER: _ClassVar[int]
    THUMBNAIL_FIELD_NUMBER: _ClassVar[int]
    planes: int
    payload_bytes: int
    capacity: int
    true_capacity: int
    latency_us: int
    budget_us: int
    jpeg_bytes: int
    webp_bytes: int
    thumbnail: bytes
    def __init__(self, planes: _Optional[int] = ..., payload_bytes: _Optional[int] = ..., capacity: _Optional[int] = ..., true_capacity: _Optional[int] = ..., latency_us: _Optional[int] = ..., budget_us: _Optional[int] = ..., jpeg_bytes: _Optional[int] = ..., webp_bytes: _Optional[int] = ..., thumbnail: _Optional[bytes] = ...) -> None: ...

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

class Prediction(_message.Message):
    __slots__ = ("picture_id", "planes_used", "classes", "final", "queue_us", "decode_us")
    PICTURE_ID_FIELD_NUMBER: _ClassVar[int]
    PLANES_USED_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    QUEUE_US_FIELD_NUMBER: _ClassVar[int]
    DECODE_US_FIELD_NUMBER: _ClassVar[int]
    picture_id: int
    planes_used: int
    classes: _containers.RepeatedCompositeFieldContainer[ClassProbability]
    final: bool
    queue_us: int
    decode_us: int
    def __init__(self, picture_id: _Optional[int] = ..., planes_used: _Optional[int] = ..., classes: _Optional[_Iterable[_Union[ClassProbability, _Mapping]]] = ..., final: bool = ..., queue_us: _Optional[int] = ..., decode_us: _Optional[int] = ...) -> None: ...

class ClassProbability(_message.Message):
    __slots__ = ("index", "name", "probability")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    index: int
    name: str
    probability: float
    def __init__(self, index: _Optional[int] = ..., name: _Optional[str] = ..., probability: _Optional[float] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("picture_id", "code", "message", "retry_after_ms")
    PICTURE_ID_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    picture_id: int
    code: int
    message: str
    retry_after_ms: int
    def __init__(self, picture_id: _Optional[int] = ..., code: _Optional[int] = ..., message: _Optional[str] = ..., retry_after_ms: _Optional[int] = ...) -> None: ...

class PredictRequest(_message.Message):
    __slots__ = ("fingerprint", "level", "planes", "top_k", "coded", "key")
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    PLANES_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    CODED_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    fingerprint: str
    level: int
    planes: bytes
    top_k: int
    coded: bool
    key: bytes
    def __init__(self, fingerprint: _Optional[str] = ..., level: _Optional[int] = ..., planes: _Optional[bytes] = ..., top_k: _Optional[int] = ..., coded: bool = ..., key: _Optional[bytes] = ...) -> None: ...

class PredictPictureRequest(_message.Message):
    __slots__ = ("picture", "top_k")
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    picture: bytes
    top_k: int
    def __init__(self, picture: _Optional[bytes] = ..., top_k: _Optional[int] = ...) -> None: ...

class DescribeModelRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ModelDescription(_message.Message):
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

class FileChunk(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...
