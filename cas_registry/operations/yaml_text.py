"""YAML from strangers as plain data: by PyYAML's safe loader, in YAML 1.2's core schema, within bounds.

YAML 1.1, which PyYAML speaks, takes `1e-4` for text, `no` for False, `010` for 8 and `1:30` for 90; people mean none of that, and
the tools that write parameters do not either. Dates stay text. A text is walked through once before anything is made of it, so that neither deep nesting
nor aliases of aliases cost more than their own length.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from cas_registry.errors import InvalidInputError, LimitError

MAX_YAML_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_NODES = 100_000  # with what aliases stand for
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's where it is there: 20 times as fast
_BOOL, _INT, _FLOAT, _NULL = (f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float", "null"))


def load_yaml(text: str, *, what: str) -> Any:
    """The one document in `text`, as dicts, lists and scalars. InvalidInputError where it is no YAML, LimitError beyond the bounds;
    `what` names it in the message."""
    if len(text.encode("utf-8", "replace")) > MAX_YAML_BYTES:
        raise LimitError(f"{what} is longer than {MAX_YAML_BYTES:,} bytes of YAML")
    try:
        _check_bounds(text, what)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader with fewer types
    except (
        yaml.YAMLError,
        ValueError,
        RecursionError,
        TypeError,
    ) as error:  # a key that is a list is a TypeError of some loaders
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(f"{what} is not YAML: {_complaint(error)}") from error


def dump_yaml(value: object) -> str:
    """Plain data as YAML, keys in their order, that `load_yaml` gives back."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_LINE_COLUMNS)
    return text


_LINE_COLUMNS = 10_000  # one line a value, so that a diff shows what changed


def _check_bounds(text: str, what: str) -> None:
    """Walk through the events, before anything is made of them. LimitError, or InvalidInputError for an alias of nothing."""
    count = _Count(what)
    for event in yaml.parse(text, Loader=_Base):
        count.take(event)


class _Count:
    """How deep a document is, and how many values it has once every alias stands for what it names."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._open: list[tuple[str | None, int]] = []  # anchor, and the count before
        self._sizes: dict[str, int] = {}
        self._count = 0

    def take(self, event: yaml.Event) -> None:
        match event:
            case yaml.AliasEvent():
                if event.anchor not in self._sizes:  # unknown, or still open: it would hold itself
                    raise InvalidInputError(f"{self._what}: the alias *{event.anchor} stands for nothing that is complete")
                self._count += self._sizes[event.anchor]
            case yaml.ScalarEvent():
                self._count += 1
                self._close(event.anchor, self._count - 1)
            case yaml.CollectionStartEvent():
                self._open.append((event.anchor, self._count))
                self._count += 1
            case yaml.CollectionEndEvent():
                self._close(*self._open.pop())
            case _:
                pass  # beginnings and ends of documents
        if len(self._open) > MAX_DEPTH:
            raise LimitError(f"{self._what} is nested more than {MAX_DEPTH} deep")
        if self._count > MAX_NODES:
            raise LimitError(f"{self._what} stands for more than {MAX_NODES:,} values")

    def _close(self, anchor: str | None, before: int) -> None:
        if anchor:
            self._sizes[anchor] = self._count - before


def _complaint(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
    return f"{str(problem)[:200]}" + (f" (line {mark.line + 1})" if mark else "")


class _Loader(_Base):  # type: ignore[misc]  # chosen at run time
    """The safe loader without dates, and with 1.2's booleans and numbers."""


class _Dumper(yaml.SafeDumper):
    """Quotes what either version of YAML would take for something else."""

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True

    def represent_text(self, data: str) -> yaml.ScalarNode:
        """Text, in double quotes where it has line ends that PyYAML would write as they are and read as others."""
        return self.represent_scalar("tag:yaml.org,2002:str", data, style='"' if _ODD_LINES.search(data) else None)


_ODD_LINES = re.compile("[\r\x85\u2028\u2029\ufeff]")
_Dumper.add_representer(str, _Dumper.represent_text)


def _integer(loader: Any, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    return int(text, 0) if text[:2] in {"0x", "0o"} else int(text)


def _number(loader: Any, node: yaml.ScalarNode) -> float:
    text = loader.construct_scalar(node)
    return float(text.replace(".inf", "inf").replace(".Inf", "inf").replace(".INF", "inf").lower().replace(".nan", "nan"))


def _core_schema() -> None:
    _Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag == "tag:yaml.org,2002:merge"]
        for first, resolvers in _Base.yaml_implicit_resolvers.items()
    }
    for tag, pattern, first in (
        (_NULL, r"(?:~|null|Null|NULL|)", ["~", "n", "N", ""]),
        (_BOOL, r"(?:true|True|TRUE|false|False|FALSE)", list("tTfF")),
        (_INT, r"(?:[-+]?[0-9]{1,100}|0o[0-7]{1,100}|0x[0-9a-fA-F]{1,100})", list("-+0123456789")),
        (_FLOAT, r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))", list("-+.0123456789")),
    ):  # fmt: skip
        for reader in (_Loader, _Dumper):
            reader.add_implicit_resolver(tag, re.compile(rf"^{pattern}$"), first)
    _Loader.add_constructor(_INT, _integer)
    _Loader.add_constructor(_FLOAT, _number)


_core_schema()
