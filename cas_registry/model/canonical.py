"""Canonical JSON: one value, one spelling, so that equal metadata has equal ids.

UTF-8 without BOM; keys sorted by code point, no white space, no floats, integers within 64 bits signed; in strings only
`"`, `\\` and U+0000 to U+001F are escaped (`\\b \\t \\n \\f \\r` short, the others `\\u00xx`). Decoding re-encodes and compares, so
duplicate keys, upper-case escapes and every other spelling are refused.

A *sealed* object carries its own check, for objects whose key is not their hash: the 64 hex digits of the body's id, a
line feed, the body.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from cas_registry.errors import FormatError, InvalidInputError, LimitError, UnsupportedFormatError
from cas_registry.model.ids import ObjectId

MAX_METADATA_BYTES = 64 * 1024 * 1024  # a row of a tree takes some 95 bytes: about 700,000 files in one folder
MAX_INTEGER = 2**63 - 1
MAX_VALUES = 4_200_000  # a tree of 64 MiB has at most 4.1 million; as many empty lists would be 1.6 GB in memory
_SEAL_BYTES = 65
_FEWEST_BYTES = 2  # that a value takes, with what separates it from the next one
_TOO_MANY = re.compile(  # as many separators outside strings; possessive, so that it runs in constant memory
    rb'(?:[^",:\[{]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^",:\[{]*+)*+[,:\[{]){%d}+' % MAX_VALUES, re.DOTALL
)

Json = None | bool | int | str | Sequence["Json"] | Mapping[str, "Json"]
Scalar = None | bool | int | float | str
SealT = TypeVar("SealT", bound=ObjectId)


def encode(value: Json) -> bytes:
    """The canonical bytes of `value`. Raises InvalidInputError for what JSON cannot hold, LimitError over 64 MiB."""
    try:
        text = json.dumps(
            value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"), default=_refuse_type
        )
        data = text.encode("utf-8")
    except (UnicodeEncodeError, TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"cannot be stored as metadata: {error}") from error
    if len(data) > MAX_METADATA_BYTES:
        raise LimitError(f"metadata of {len(data):,} bytes is over the limit of {MAX_METADATA_BYTES:,}; split the folder")
    return data


def decode(data: bytes, *, kind: str) -> dict[str, Json]:
    """The object in `data`, which must be canonical, of `kind` and of version 1. Raises FormatError or UnsupportedFormatError."""
    if len(data) > MAX_METADATA_BYTES:
        raise FormatError(f"a {kind} of {len(data):,} bytes is over the limit of {MAX_METADATA_BYTES:,}")
    if len(data) > MAX_VALUES * _FEWEST_BYTES and _TOO_MANY.match(data):  # before the parser makes an object of each
        raise FormatError(f"a {kind} of more than {MAX_VALUES:,} values")
    try:
        value = json.loads(data.decode("utf-8"), parse_float=_refuse_number, parse_constant=_refuse_number, parse_int=_integer)
        canonical = encode(value)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"a {kind} that is not canonical JSON: {str(error)[:200]}") from error
    if canonical != data or not isinstance(value, dict):
        raise FormatError(f"a {kind} that is not in canonical form")
    if value.get("kind") != kind:
        raise FormatError(f"expected a {kind}, found {str(value.get('kind'))[:40]!r}")
    version = value.get("v")
    if version != 1 or version is True:
        if isinstance(version, int) and not isinstance(version, bool) and version > 1:
            raise UnsupportedFormatError(f"a {kind} of version {version}: written by a newer cas_registry; upgrade to read it")
        raise FormatError(f"a {kind} of version {str(version)[:40]!r}")
    return cast("dict[str, Json]", value)


def read_back(data: bytes, decode: Callable[[bytes], object], *, kind: str) -> bytes:
    """`data` once `decode` accepts it: what could not be read again is not written. Raises InvalidInputError."""
    try:
        decode(data)
    except FormatError as error:
        raise InvalidInputError(f"this {kind} could not be read again: {error}") from error
    return data


def seal(body: bytes, kind: type[ObjectId]) -> bytes:
    """`body` behind the id that proves it whole."""
    return kind.of(body).hex.encode("ascii") + b"\n" + body


def unseal(data: bytes, kind: type[SealT]) -> tuple[SealT, bytes]:
    """The id and the body of a sealed object. Raises FormatError when the seal does not hold."""
    if len(data) < _SEAL_BYTES or data[_SEAL_BYTES - 1 : _SEAL_BYTES] != b"\n":
        raise FormatError(f"a {kind.kind} without a seal")
    body = data[_SEAL_BYTES:]
    identity = kind.of(body)
    if identity.hex.encode("ascii") != data[: _SEAL_BYTES - 1]:
        raise FormatError(f"a {kind.kind} whose seal does not match its bytes")
    return identity, body


def encode_scalars(values: Mapping[str, Scalar], *, what: str) -> dict[str, Json]:
    """Params or metrics as canonical JSON: floats become `{"float": repr}`, everything else stays. Raises InvalidInputError."""
    encoded: dict[str, Json] = {}
    for name, value in dict[Any, Any](values).items():
        if not isinstance(name, str) or not name or len(name.encode("utf-8", "replace")) > MAX_SCALAR_NAME_BYTES:
            raise InvalidInputError(f"{what} name {str(name)[:80]!r} must be a string of 1 to {MAX_SCALAR_NAME_BYTES} bytes")
        encoded[name] = _encode_scalar(name, value, what=what)
    return encoded


MAX_SCALAR_NAME_BYTES = 255
MAX_FLOAT_DIGITS = 40  # the longest repr of a double has 24
REGISTRY_HEX_DIGITS = 32


def _encode_scalar(name: str, value: object, *, what: str) -> Json:
    item = getattr(value, "item", None)
    if callable(item) and not isinstance(value, (str, bytes)):  # numpy and torch scalars
        try:
            value = item()
        except (TypeError, ValueError, RuntimeError) as error:
            raise InvalidInputError(
                f"{what} {name!r} is a {type(value).__name__} of more than one value: {error}", name=name
            ) from error
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise LimitError(f"{what} {name!r} is an integer beyond 64 bits; give it as text or as a float")
        return value
    if isinstance(value, float):
        return {"float": repr(value)}
    raise InvalidInputError(
        f"{what} {name!r} is a {type(value).__name__}; numbers, text, booleans and None can be stored", name=name
    )


def decode_scalars(value: Json, *, what: str) -> dict[str, Scalar]:
    """The reverse of `encode_scalars`. Raises FormatError."""
    decoded: dict[str, Scalar] = {}
    for name, item in mapping(value, what=what).items():
        if not 1 <= len(name.encode("utf-8")) <= MAX_SCALAR_NAME_BYTES:
            raise FormatError(f"a {what} whose name is not 1 to {MAX_SCALAR_NAME_BYTES} bytes long")
        if item is None or isinstance(item, (bool, int, str)):  # first: asking for a Mapping takes longest, and few are floats
            decoded[name] = item
        elif isinstance(item, Mapping):
            decoded[name] = _decode_float(item, what=what)
        else:
            raise FormatError(f"a {what} that is neither a number nor text")
    return decoded


def _decode_float(value: Mapping[str, Json], *, what: str) -> float:
    text = value.get("float")
    if len(value) != 1 or not isinstance(text, str) or len(text) > MAX_FLOAT_DIGITS:
        raise FormatError(f"a {what} that is not a float")
    try:
        number = float(text)
    except ValueError as error:
        raise FormatError(f"a {what} that is not a float") from error
    if repr(number) != text:
        raise FormatError(f"a {what} whose float is not in canonical form")
    return number


def fields(value: Mapping[str, Json], *names: str, what: str) -> list[Json]:
    """The values of exactly these fields beside `v` and `kind`. Raises FormatError for one missing or unknown."""
    known = {"v", "kind", *names}
    if value.keys() != known:
        odd = sorted(value.keys() ^ known)[:5]
        raise FormatError(f"a {what} with missing or unknown fields: {', '.join(repr(name[:40]) for name in odd)}")
    return [value[name] for name in names]


def integer(value: Json, *, what: str, maximum: int = MAX_INTEGER) -> int:
    """A non-negative integer up to `maximum`. Raises FormatError."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= maximum:
        raise FormatError(f"{what} is not an integer between 0 and {maximum}: {str(value)[:40]!r}")
    return value


def text(value: Json, *, what: str, max_bytes: int) -> str:
    """A string of at most `max_bytes` in UTF-8. Raises FormatError, also for lone surrogates, which JSON that is not canonical may spell."""
    if not isinstance(value, str) or len(value.encode("utf-8", "surrogatepass")) > max_bytes or not _is_unicode(value):
        raise FormatError(f"{what} is not text of at most {max_bytes:,} bytes")
    return value


def hex_digits(value: Json, *, what: str) -> str:
    """16 bytes as 32 lower-case hex digits: a registry's id, a nonce. Raises FormatError."""
    if not isinstance(value, str) or len(value) != REGISTRY_HEX_DIGITS or value.strip("0123456789abcdef"):
        raise FormatError(f"{what} is not {REGISTRY_HEX_DIGITS} lower-case hex digits")
    return value


def mapping(value: Json, *, what: str) -> Mapping[str, Json]:
    """An object. Raises FormatError."""
    if not isinstance(value, Mapping):
        raise FormatError(f"{what} is not an object")
    return value


def array(value: Json, *, what: str, max_items: int) -> Sequence[Json]:
    """An array of at most `max_items`. Raises FormatError."""
    if not isinstance(value, list) or len(value) > max_items:
        raise FormatError(f"{what} is not an array of at most {max_items:,} items")
    return value


def _is_unicode(value: str) -> bool:
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)


def _integer(digits: str) -> int:
    if len(digits) > len(str(-MAX_INTEGER)) or abs(int(digits)) > MAX_INTEGER:
        raise ValueError("an integer beyond 64 bits")
    return int(digits)


def _refuse_number(digits: str) -> float:
    raise ValueError(f"a number that is not an integer: {digits[:40]}")


def _refuse_type(value: object) -> Json:
    raise ValueError(f"{type(value).__name__} has no place in metadata")
