"""What `torch.save` writes: a zip archive of a pickle that describes the tensors, and a member for each storage.

The pickle is read as data (`pickled`); the few globals that make tensors have a meaning here, all others are inert. Names are the
keys of nested dicts and the positions in lists, joined by dots; a pickled `nn.Module` has the names of its `state_dict()`.
TorchScript archives have the same layout, and their constants in a second pickle.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from cas_registry.formats.layout import MAX_TENSORS, index_of, needed_strides, spanned_elements, unique_names
from cas_registry.formats.pickled import Global, Thing, load
from cas_registry.formats.source import MAX_NAME_BYTES, MalformedError, Window
from cas_registry.formats.zip_archive import Archive
from cas_registry.model.tensors import Tensor, TensorIndex

_MAX_DEPTH = 64
_MAX_VISITS = 2_000_000
_TRANSPARENT = ("_parameters", "_buffers", "_modules")  # of a pickled nn.Module
_ROOT = "tensor"  # the name of a tensor that is the whole pickle

_STORAGES = {
    "Bool": ("BOOL", 1), "Byte": ("U8", 1), "Char": ("I8", 1), "Short": ("I16", 2), "Int": ("I32", 4), "Long": ("I64", 8),
    "Half": ("F16", 2), "BFloat16": ("BF16", 2), "Float": ("F32", 4), "Double": ("F64", 8),
    "ComplexFloat": ("C64", 8), "ComplexDouble": ("C128", 16),
    "QInt8": ("QINT8", 1), "QUInt8": ("QUINT8", 1), "QInt32": ("QINT32", 4),
}  # fmt: skip
_DTYPES = {
    "bool": ("BOOL", 1), "uint8": ("U8", 1), "int8": ("I8", 1), "uint16": ("U16", 2), "int16": ("I16", 2), "uint32": ("U32", 4),
    "int32": ("I32", 4), "uint64": ("U64", 8), "int64": ("I64", 8), "float16": ("F16", 2), "bfloat16": ("BF16", 2),
    "float32": ("F32", 4), "float64": ("F64", 8), "complex32": ("C32", 4), "complex64": ("C64", 8), "complex128": ("C128", 16),
    "float8_e4m3fn": ("F8_E4M3", 1), "float8_e5m2": ("F8_E5M2", 1), "float8_e8m0fnu": ("F8_E8M0", 1),
    "float8_e4m3fnuz": ("F8_E4M3FNUZ", 1), "float8_e5m2fnuz": ("F8_E5M2FNUZ", 1), "float4_e2m1fn_x2": ("F4_E2M1FN_X2", 1),
}  # fmt: skip
_TYPED = {f"torch.{name}Storage": kind for name, kind in _STORAGES.items()}
_UNTYPED = ("torch.storage.UntypedStorage", "torch.UntypedStorage")


@dataclass(frozen=True, slots=True)
class _Storage:
    """A persistent id: the member that holds a storage, and what its elements are, unless each view says so."""

    key: str
    kind: tuple[str, int] | None


@dataclass(frozen=True, slots=True)
class _View:
    """A tensor: a strided view of a storage, in elements."""

    storage: _Storage
    kind: tuple[str, int]
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read(window: Window, archive: Archive) -> TensorIndex | None:
    """None for archives of the other byte order."""
    prefix = archive.pickle_prefix
    pickled = archive.read(f"{prefix}/data.pkl")
    order = f"{prefix}/byteorder"
    if order in archive.members and archive.read(order) != b"little":
        return None
    tensors = list(_tensors(archive, pickled, f"{prefix}/data/", ()))
    if f"{prefix}/constants.pkl" in archive.members:
        constants = archive.read(f"{prefix}/constants.pkl")
        tensors += _tensors(archive, constants, f"{prefix}/constants/", ("constants",))
    return index_of("torch", unique_names(tensors), window.size_bytes, aliases=True)


def _tensors(archive: Archive, pickled: bytes, folder: str, path: tuple[str, ...]) -> Iterator[Tensor]:
    value = load(pickled, call=_call, persistent=_storage)
    for count, (parts, view) in enumerate(_Walk().views(value, path)):
        if count >= MAX_TENSORS:
            raise MalformedError("too many tensors")
        yield _located(archive, folder, ".".join(parts) or _ROOT, view)


def _located(archive: Archive, folder: str, name: str, view: _View) -> Tensor:
    member = archive.members[folder + view.storage.key]
    dtype, width = view.kind
    start, size_bytes = view.offset * width, spanned_elements(view.shape, view.strides) * width
    if type(view.offset) is not int or start < 0 or start + size_bytes > member.size_bytes:
        raise MalformedError("a view beyond its storage")
    offset = archive.aligned_offsets()[member.name] + start
    return Tensor(name, dtype, view.shape, offset, size_bytes, needed_strides(view.shape, view.strides))


class _Walk:
    """The tensors within a value, by their paths. A value that is reached twice is named twice, unless it contains itself."""

    def __init__(self) -> None:
        self._visits = 0
        self._open: set[int] = set()

    def views(self, value: object, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], _View]]:
        if isinstance(value, _View):
            yield path, value
            return
        if not isinstance(value, dict | list | tuple | Thing) or id(value) in self._open:
            return
        if len(path) > _MAX_DEPTH or sum(map(len, path)) > MAX_NAME_BYTES:
            raise MalformedError("values nested without end")
        self._open.add(id(value))
        for key, part in _parts(value):
            self._visits += 1
            if self._visits > _MAX_VISITS:
                raise MalformedError("more values than any checkpoint has")
            yield from self.views(part, path if key is None else (*path, key))
        self._open.discard(id(value))


def _parts(value: object) -> Iterator[tuple[str | None, object]]:
    """What a value holds, by key; None where the key is no part of a name."""
    match value:
        case dict():
            yield from ((str(key), part) for key, part in value.items())
        case list() | tuple():
            yield from ((str(number), part) for number, part in enumerate(value))
        case Thing():
            yield from _parts_of_thing(value)
        case _:
            pass


def _parts_of_thing(thing: Thing) -> Iterator[tuple[str | None, object]]:
    states = thing.state if isinstance(thing.state, tuple) else (thing.state,)
    for state in states:  # a tuple: the attributes, then the slots
        if isinstance(state, dict):
            yield from ((None if key in _TRANSPARENT else str(key), part) for key, part in state.items())
        else:
            yield None, state
    yield from _parts(thing.args)
    yield from _parts(thing.items)
    yield from _parts(thing.pairs)


def _storage(persistent_id: object) -> object:
    match persistent_id:
        case ("storage", Global(name), str(key), *_) if name in _TYPED or name in _UNTYPED:
            return _Storage(key, _TYPED.get(name))
    return None


def _call(name: str, args: tuple[object, ...]) -> object:
    rebuild = _REBUILDERS.get(name)
    return NotImplemented if rebuild is None else rebuild(args)


def _tensor_of_storage(args: tuple[object, ...]) -> object:
    match args:
        case (_Storage(kind=(_, _) as kind) as storage, int(offset), tuple(shape), tuple(strides), *rest):
            return NotImplemented if _is_lazy(rest) else _View(storage, kind, offset, shape, strides)
        case _:
            return NotImplemented


def _tensor_of_bytes(args: tuple[object, ...]) -> object:
    match args:
        case (_Storage() as storage, int(offset), tuple(shape), tuple(strides), _, _, Global(name), *rest):
            kind = _DTYPES.get(name.removeprefix("torch."))
            return NotImplemented if kind is None or _is_lazy(rest) else _View(storage, kind, offset, shape, strides)
        case _:
            return NotImplemented


def _is_lazy(rest: list[object]) -> bool:
    """Whether the values are the stored ones conjugated or negated: flags in a last argument."""
    return bool(rest) and isinstance(rest[-1], dict) and any(rest[-1].get(flag) for flag in ("conj", "neg"))


def _tensor_of_type(args: tuple[object, ...]) -> object:
    match args:
        case (Global(name), _, tuple(inner), *_) if name != "torch._tensor._rebuild_from_type_v2":
            return _call(name, inner)
    return NotImplemented


def _first_of(args: tuple[object, ...]) -> object:
    return args[0] if args else NotImplemented


def _mapping_of(args: tuple[object, ...]) -> object:
    return NotImplemented if args else {}


_REBUILDERS: Mapping[str, Callable[[tuple[object, ...]], object]] = {
    "torch._utils._rebuild_tensor": _tensor_of_storage,
    "torch._utils._rebuild_tensor_v2": _tensor_of_storage,
    "torch._utils._rebuild_qtensor": _tensor_of_storage,
    "torch._utils._rebuild_tensor_v3": _tensor_of_bytes,
    "torch._utils._rebuild_parameter": _first_of,
    "torch._utils._rebuild_parameter_with_state": _first_of,
    "torch._tensor._rebuild_from_type_v2": _tensor_of_type,
    "torch.Size": _first_of,
    "collections.OrderedDict": _mapping_of,
}
