"""What can be asked of a version: the named values of its groups (`metrics.auc`), and what every version has (`author`, `tag`)."""

import difflib
import re
from dataclasses import dataclass
from enum import Enum, auto

from cas_registry.errors import InvalidInputError

GROUPS = ("params", "metrics", "labels", "framework", "packages", "environment", "code")


class Kind(Enum):
    """What a field holds, and so what it is compared with.

    A SCALAR is whatever was stored under that name: a number, text, or true or false. A COMMIT is an id, of which the first digits do.
    MANY are texts of which a version has any number. AGE is what has passed since TIME. The others say what they are.
    """

    SCALAR = auto()
    NUMBER = auto()
    TEXT = auto()
    COMMIT = auto()
    TIME = auto()
    AGE = auto()
    MANY = auto()


FIELDS = {
    "tag": Kind.MANY,
    "branch": Kind.MANY,
    "author": Kind.TEXT,
    "message": Kind.TEXT,
    "time": Kind.TIME,
    "age": Kind.AGE,
    "number": Kind.NUMBER,
    "model": Kind.TEXT,
    "commit": Kind.COMMIT,
    "size": Kind.NUMBER,
    "stored": Kind.NUMBER,
    "files": Kind.NUMBER,
    "input": Kind.MANY,
}
_MEASURED = frozenset({Kind.NUMBER, Kind.TIME, Kind.AGE})
_WORD = re.compile(r"[^\s\x00-\x1f\x7f\"'()=<>!~,]+")


@dataclass(frozen=True, slots=True)
class Field:
    """A field by its name, in a `group` or, where that is None, one of `FIELDS`."""

    name: str
    group: str | None = None

    @property
    def kind(self) -> Kind:
        return FIELDS[self.name] if self.group is None else Kind.SCALAR

    @property
    def key(self) -> str:
        """Its name among a version's facts: `metrics.auc`."""
        return self.name if self.group is None else f"{self.group}.{self.name}"

    @property
    def takes_versions(self) -> bool:
        """Whether a bare name on the right of a comparison is a version's, not text: fields that measure something do."""
        return self.group == "metrics" or self.kind in _MEASURED

    def __str__(self) -> str:
        """As it is written in a condition: `params."learning rate"`."""
        if self.group is None or _WORD.fullmatch(self.name):
            return self.key
        return f"{self.group}.{quoted(self.name)}"


def parse_field(text: str) -> Field:
    """The field of a name without quotes. InvalidInputError says which names come near."""
    group, dot, name = text.partition(".")
    if dot and group in GROUPS and name:
        return Field(name, group)
    if text in FIELDS:
        return Field(text)
    raise InvalidInputError(f"there is no field {text[:80]!r}: {_advice(text)}", field=text[:80])


def quoted(text: str) -> str:
    """Text between quotes, as a condition is printed."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _advice(text: str) -> str:
    group, dot, name = text.partition(".")
    if group in GROUPS:
        return f"say which of the {group}, such as {group}.NAME"
    near = difflib.get_close_matches(group, [*GROUPS, *FIELDS], n=1)
    if near and near[0] in GROUPS:
        return f"did you mean {near[0]}.{name if dot and name else 'NAME'}?"
    if near and not dot:
        return f"did you mean {near[0]}?"
    if not dot:
        return f"write metrics.{text[:80]} or params.{text[:80]}, or one of {', '.join(FIELDS)}"
    return f"names begin with {', '.join(f'{known}.' for known in GROUPS)}"
