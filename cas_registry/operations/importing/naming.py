"""What people elsewhere call things, as names and values that a registry can hold."""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from cas_registry.errors import HostileNameError, InvalidInputError, LimitError
from cas_registry.model.canonical import MAX_INTEGER, Scalar
from cas_registry.model.commit import MAX_TEXT_BYTES, MAX_WHO_BYTES
from cas_registry.model.names import check_model, check_path, check_ref
from cas_registry.operations.fact_files import flatten

_ODD = re.compile(r'[\\:*?"<>|@~^{}\s\x00-\x1f\x7f]+')
_DIGEST_DIGITS = 12
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def model_name(name: str) -> str:
    """`name` where a model may be called so; otherwise what is left of it, `org/name` as `org-name`."""
    try:
        return check_model(name)
    except (HostileNameError, LimitError):
        pass
    try:
        return check_model(_plain(name.replace("/", "-")))
    except (HostileNameError, LimitError):
        return f"model-{_digest(name)}"


def ref_name(name: str, kind: str) -> str:
    """`name` where a tag may be called so; otherwise what is left of it, with the source's kind before what is kept for numbers (`v1`)."""
    try:
        return check_ref(name)
    except (HostileNameError, LimitError):
        pass
    parts = "/".join(part for part in map(_plain, name.split("/")) if part)
    for candidate in (parts, f"{kind}-{parts}"):
        try:
            return check_ref(candidate)
        except (HostileNameError, LimitError):
            continue
    return f"{kind}-{_digest(name)}"


def scalars(value: object, *, what: str) -> dict[str, Scalar]:
    """A nested mapping as a flat one of what a commit holds; anything else as nothing. LimitError for too many."""
    if not isinstance(value, Mapping):
        return {}
    return {name: _scalar(item) for name, item in flatten(value, what=what).items()}


def texts(value: Mapping[str, Any]) -> dict[str, Scalar]:
    """A flat mapping without what is missing or empty."""
    return {name: _scalar(item) for name, item in value.items() if item is not None and item != ""}


def number(text: object) -> Scalar:
    """A number that somebody wrote as text, as a number; other text, and numbers beyond 64 bits, as they are."""
    if not isinstance(text, str):
        return _scalar(text)
    if re.fullmatch(r"[-+]?[0-9]{1,18}", text) and str(int(text)) == text:
        return int(text)
    try:
        value = float(text) if re.fullmatch(r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]{1,3})?", text) and not text.isdecimal() else text
    except ValueError:
        return text
    return value if isinstance(value, str) or math.isfinite(value) else text


def message(text: object) -> str:
    """At most what a commit's message may be."""
    return _cut(text if isinstance(text, str) else "", MAX_TEXT_BYTES)


def author(text: object) -> str | None:
    """Who made it; None where nobody is named."""
    return _cut(text, MAX_WHO_BYTES) if isinstance(text, str) and text.strip() else None


def time_ms(value: object) -> int | None:
    """Milliseconds since 1970, if that is what it is."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_INTEGER:
        return None
    return int(value)


def inside(path: object) -> str:
    """A relative path as a version may have it. HostileNameError for one that leads out, LimitError, InvalidInputError for what is no text."""
    if not isinstance(path, str):
        raise InvalidInputError(f"not a path: {str(path)[:80]!r}")
    check_path(path)
    return path


def _scalar(value: Any) -> Scalar:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > MAX_INTEGER:
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value).encode("utf-8", "replace").decode("utf-8")


def _plain(part: str) -> str:
    visible = "".join(char for char in unicodedata.normalize("NFC", part) if unicodedata.category(char) not in _INVISIBLE)
    return _ODD.sub("-", visible).strip("-. ")


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:_DIGEST_DIGITS]


def _cut(text: str, limit: int) -> str:
    data = text.encode("utf-8", "replace")
    return text.encode("utf-8", "replace").decode("utf-8") if len(data) <= limit else data[:limit].decode("utf-8", "ignore")
