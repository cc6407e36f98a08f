"""ONNX (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto): a ModelProto, whose graph's initializers are the tensors.

It has no signature: a file is a model if it is one message to its last byte, of ModelProto's fields and nothing else, beginning with
the version and with exactly one graph. Fields are walked over by their lengths, weights and nodes are not read. Tensors of
subgraphs, of functions and of Constant nodes are no initializers, and left out.
"""

from dataclasses import dataclass, field

from cas_registry.formats.layout import (
    MAX_BYTES,
    MAX_DIMENSIONS,
    MAX_TENSORS,
    arranged,
    bits_to_bytes,
    element_count,
    index_of,
    packed_bytes,
)
from cas_registry.formats.protobuf import Field, Messages, Wire
from cas_registry.formats.source import MAX_NAME_BYTES, MalformedError, Window
from cas_registry.model.tensors import Tensor, TensorIndex

_MAX_VERSION = 127  # of the intermediate representation; onnx 1.23 writes 14
_MAX_FIELDS = 300_000  # of model, graph and initializers together
_MAX_LOCATION_BYTES = 4096
_MAX_ENTRIES = 16  # of one tensor's external data; five keys are defined

_VERSION, _GRAPH, _INITIALIZER = 1, 7, 5
_MODEL = dict.fromkeys((_VERSION, 5), Wire.VARINT) | dict.fromkeys((2, 3, 4, 6, _GRAPH, 8, 14, 20, 25, 26), Wire.BYTES)
_DIMS, _TYPE, _FLOATS, _NAME, _RAW, _DOUBLES, _EXTERNAL, _LOCATION = 1, 2, 4, 8, 9, 10, 13, 14
_ELSEWHERE = 1  # the location of external data
_KEY, _VALUE = 1, 2

_TYPES = {
    1: "F32", 2: "U8", 3: "I8", 4: "U16", 5: "I16", 6: "I32", 7: "I64", 9: "BOOL", 10: "F16", 11: "F64", 12: "U32", 13: "U64",
    14: "C64", 15: "C128", 16: "BF16", 17: "F8_E4M3", 18: "F8_E4M3FNUZ", 19: "F8_E5M2", 20: "F8_E5M2FNUZ", 21: "U4", 22: "I4",
    23: "F4", 24: "F8_E8M0", 25: "U2", 26: "I2",
}  # fmt: skip
_PACKED_BITS = {"U4": 4, "I4": 4, "U2": 2, "I2": 2}
_HELD_AS_THEY_ARE = {_RAW: None, _FLOATS: "F32", _DOUBLES: "F64"}  # fields of elements, and of which type if not of any


@dataclass(slots=True)
class _Initializer:
    """What a TensorProto says of a tensor; `data` is the field of its elements."""

    name: str = ""
    kind: int = 0
    shape: tuple[int, ...] = ()
    data: Field | None = None
    elsewhere: bool = False
    entries: dict[bytes, bytes] = field(default_factory=dict)

    @property
    def dtype(self) -> str | None:
        return _TYPES.get(self.kind)

    def tensor(self, offset: int, dtype: str) -> Tensor:
        bits = _PACKED_BITS.get(dtype)
        size_bytes = packed_bytes(dtype, self.shape) if bits is None else bits_to_bytes(bits * element_count(self.shape))
        return Tensor(self.name, dtype, self.shape, offset, size_bytes)


def read(window: Window) -> TensorIndex | None:
    """Tensors in the file, and those in other files by their relative paths; a path that leads out of the folder names no file."""
    messages = Messages(window, _MAX_FIELDS)
    graph: Field | None = None
    for number, part in enumerate(messages.fields(0, window.size_bytes)):
        if _MODEL.get(part.number) is not part.wire or (part.number == _VERSION) is not (number == 0):
            return None
        if part.number == _VERSION and not 1 <= part.value <= _MAX_VERSION:
            return None
        if part.number == _GRAPH:
            if graph:
                return None
            graph = part
    if graph is None:
        return None
    here: list[Tensor] = []
    elsewhere: dict[str, list[Tensor]] = {}
    count = 0
    for part in messages.fields(graph.start, graph.size_bytes):
        if part.number == _INITIALIZER and part.wire is Wire.BYTES:
            count += 1
            if count > MAX_TENSORS:
                raise MalformedError("too many tensors")
            _add(_initializer(messages, part), here, elsewhere)
    external = {path: arranged(tensors, MAX_BYTES, aliases=True) for path, tensors in elsewhere.items()}
    return index_of("onnx", here, window.size_bytes, external=external)


def _initializer(messages: Messages, message: Field) -> _Initializer:
    found = _Initializer()
    for part in messages.fields(message.start, message.size_bytes):
        if part.number == _DIMS:
            found.shape += tuple(messages.varints(part, MAX_DIMENSIONS - len(found.shape)))
        elif part.number == _TYPE:
            found.kind = part.value
        elif part.number == _NAME:
            found.name = messages.content(part, MAX_NAME_BYTES).decode()
        elif part.number in _HELD_AS_THEY_ARE and part.wire is Wire.BYTES:
            found.data = part
        elif part.number == _LOCATION:
            found.elsewhere = part.value == _ELSEWHERE
        elif part.number == _EXTERNAL and len(found.entries) < _MAX_ENTRIES:
            texts = {text.number: text for text in messages.fields(part.start, part.size_bytes)}
            key, value = (messages.content(texts[number], _MAX_LOCATION_BYTES) for number in (_KEY, _VALUE))
            found.entries[key] = value
    return found


def _add(found: _Initializer, here: list[Tensor], elsewhere: dict[str, list[Tensor]]) -> None:
    """File the tensor under where it lies; not at all if its type is not known or its elements are encoded one by one."""
    dtype = found.dtype
    if dtype is None:
        return
    if found.elsewhere:
        path = relative_path(found.entries.get(b"location", b"").decode())
        offset, size_bytes = (_number(found.entries.get(key)) for key in (b"offset", b"length"))
        tensor = found.tensor(offset or 0, dtype)
        if path and size_bytes in {None, tensor.size_bytes}:
            elsewhere.setdefault(path, []).append(tensor)
    elif found.data and _HELD_AS_THEY_ARE[found.data.number] in {None, dtype}:
        tensor = found.tensor(found.data.start, dtype)
        if tensor.size_bytes != found.data.size_bytes:
            raise MalformedError("a tensor that is not as large as its shape")
        here.append(tensor)


def _number(text: bytes | None) -> int | None:
    if text is None:
        return None
    if not text.isdigit() or len(text) > len(str(MAX_BYTES)):
        raise MalformedError("not a number")
    return int(text)


def relative_path(location: str) -> str | None:
    """A location as a path below the model's own folder, its `.` dropped; None for one that leads elsewhere."""
    parts = [part for part in location.split("/") if part != "."]
    if "" in parts or ".." in parts or "\\" in location or ":" in location or "\0" in location:
        return None
    return "/".join(parts) or None
