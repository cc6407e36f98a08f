"""A condition as a value: what it asks, whether a version's facts meet it, and how it is written.

Three answers, as in SQL: true, false, and unknown. A comparison with a field that the version lacks, or whose value is of another kind
(text with a number), is unknown, and so is its `not`; `and` and `or` go on with what is known. Only what is true matches, so that nothing
passes a rule because it was not measured. Of `tag`, `branch` and `input` a version has any number, and that is always known: `tag = prod`
is true where one of them is `prod`, `tag != prod` where none is.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from cas_registry.errors import InvalidInputError
from cas_registry.model.canonical import Scalar
from cas_registry.query.fields import Field, Kind, quoted

Fact = Scalar | Sequence[str]
Facts = Mapping[str, Fact]  # `metrics.auc`, `author` -> a value; `tag`, `branch`, `input` -> several
VersionFacts = Callable[
    [str], Facts | None
]  # the facts of the version at a tag or branch, or of `v17`; None where there is none

MILLISECONDS = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000}
DAY_MS = MILLISECONDS["d"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_AFTER_HEX = "g"  # follows every hex digit: with it an id's first digits bound all ids that begin so


class Operator(Enum):
    EQUAL = "="
    UNEQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    GREATER = ">"
    AT_LEAST = ">="
    CONTAINS = "~"
    LACKS = "!~"

    @property
    def opposite(self) -> "Operator":
        """What holds of the same known values exactly where this does not."""
        return _OPPOSITES[self]

    @property
    def denies(self) -> bool:
        """Whether it says what is not so."""
        return self in {Operator.UNEQUAL, Operator.LACKS}

    @property
    def looks_inside(self) -> bool:
        """Whether it asks for a part of a text."""
        return self in {Operator.CONTAINS, Operator.LACKS}


_OPPOSITES = {
    Operator.EQUAL: Operator.UNEQUAL,
    Operator.LESS: Operator.AT_LEAST,
    Operator.AT_MOST: Operator.GREATER,
    Operator.CONTAINS: Operator.LACKS,
}
_OPPOSITES |= {opposite: operator for operator, opposite in _OPPOSITES.items()}


@dataclass(frozen=True, slots=True)
class Duration:
    """`30d`: milliseconds, whole seconds of them."""

    ms: int

    def __str__(self) -> str:
        unit = next(unit for unit, length in MILLISECONDS.items() if self.ms % length == 0)
        return f"{self.ms // MILLISECONDS[unit]}{unit}"


@dataclass(frozen=True, slots=True)
class Moment:
    """`2026-11-01`, all of that day (UTC), or one millisecond where a time is given: from `start_ms` to `end_ms`, both included."""

    start_ms: int
    end_ms: int

    def __str__(self) -> str:
        start = _EPOCH + timedelta(milliseconds=self.start_ms)
        if self.end_ms - self.start_ms == DAY_MS - 1:
            return start.date().isoformat()
        return start.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Reference:
    """A field of another version of the same model: `prod.metrics.auc`. `version` is a tag, a branch, or `v` and a number."""

    version: str
    field: Field

    def __str__(self) -> str:
        return f"{self.version}.{self.field}"


Literal = bool | int | float | str | Duration | Moment
Value = Literal | Reference
Plain = bool | int | float | str  # what facts are once it is known that they are there


@dataclass(frozen=True, slots=True)
class Comparison:
    field: Field
    operator: Operator
    value: Value

    def __str__(self) -> str:
        return f"{self.field} {self.operator.value} {_written(self.value)}"


@dataclass(frozen=True, slots=True)
class Membership:
    """`number in (3, 5)`."""

    field: Field
    values: tuple[Literal, ...]

    def __str__(self) -> str:
        return f"{self.field} in ({', '.join(map(_written, self.values))})"


@dataclass(frozen=True, slots=True)
class Exists:
    """Whether the version has a value under that name (null is none); of tags, branches and inputs, whether it has any."""

    field: Field

    def __str__(self) -> str:
        return f"exists {self.field}"


@dataclass(frozen=True, slots=True)
class Not:
    part: "Node"

    def __str__(self) -> str:
        return f"not {_grouped(self.part)}"


@dataclass(frozen=True, slots=True)
class And:
    parts: "tuple[Node, ...]"

    def __str__(self) -> str:
        return " and ".join(map(_grouped, self.parts))


@dataclass(frozen=True, slots=True)
class Or:
    parts: "tuple[Node, ...]"

    def __str__(self) -> str:
        return " or ".join(map(_grouped, self.parts))


Node = Comparison | Membership | Exists | Not | And | Or


@dataclass(frozen=True, slots=True)
class Condition:
    """A parsed condition. `str` of it is one that parses to the same."""

    root: Node

    def __str__(self) -> str:
        return str(self.root)

    def matches(self, facts: Facts, *, now_ms: int, version: VersionFacts | None = None) -> bool:
        """Whether these facts meet it. `version` gives those of another version of the same model by tag, branch or `v17`.

        InvalidInputError where the condition compares with another version and nobody can give its facts.
        """
        return _judge(self.root, _World(facts, now_ms, version)) is True

    def objections(self, facts: Facts, *, now_ms: int, version: VersionFacts | None = None) -> tuple[str, ...]:
        """Why these facts do not meet it: each part of its `and` that is not true, with the values that were found. Empty if they do."""
        world = _World(facts, now_ms, version)
        parts = self.root.parts if isinstance(self.root, And) else (self.root,)
        return tuple(f"{part} ({_found(part, world)})" for part in parts if _judge(part, world) is not True)

    def fields(self) -> tuple[Field, ...]:
        """The fields that it asks for, each once, as they come."""
        return tuple(dict.fromkeys(_fields(self.root)))

    def versions(self) -> tuple[str, ...]:
        """The tags, branches and numbers (`v17`) of the versions that it compares with, each once, as they come."""
        return tuple(dict.fromkeys(reference.version for reference in _references(self.root)))


def contains(text: str, part: str) -> bool:
    """Whether `part` occurs in `text`, whatever the case: what `~` means."""
    return part.casefold() in text.casefold()


def bounds(field: Field, value: Literal) -> tuple[Plain, Plain]:
    """The first and the last value that count as equal to a literal: the whole day of a date, every id that begins so."""
    match value:
        case Duration():
            return value.ms, value.ms
        case Moment():
            return value.start_ms, value.end_ms
        case str() if field.kind is Kind.COMMIT:
            return value.lower(), value.lower() + _AFTER_HEX
        case _:
            return value, value


def plain(fact: Fact | None) -> Plain | None:
    """A single fact, None where there is none: null and NaN are no values."""
    if isinstance(fact, float) and math.isnan(fact):
        return None
    return fact if isinstance(fact, bool | int | float | str) else None


@dataclass(frozen=True, slots=True)
class _World:
    facts: Facts
    now_ms: int
    version: VersionFacts | None

    def value(self, field: Field) -> Plain | None:
        if field.kind is Kind.AGE:
            then_ms = plain(self.facts.get("time"))
            return self.now_ms - then_ms if isinstance(then_ms, int) else None
        return plain(self.facts.get(field.key))

    def many(self, field: Field) -> Sequence[str]:
        found = self.facts.get(field.key)
        return (found,) if isinstance(found, str) else found if isinstance(found, Sequence) else ()

    def elsewhere(self, reference: Reference) -> Plain | None:
        if self.version is None:
            raise InvalidInputError(f"{reference} is another version's: there is nothing to compare with here")
        facts = self.version(reference.version)
        return None if facts is None else _World(facts, self.now_ms, None).value(reference.field)


def _judge(node: Node, world: _World) -> bool | None:
    match node:
        case Comparison():
            return _compare(node, world)
        case Membership():
            answers = [_compare(Comparison(node.field, Operator.EQUAL, value), world) for value in node.values]
            return _any(answers)
        case Exists():
            return bool(world.many(node.field)) if node.field.kind is Kind.MANY else world.value(node.field) is not None
        case Not():
            answer = _judge(node.part, world)
            return None if answer is None else not answer
        case And():
            judged = [_judge(part, world) for part in node.parts]
            return False if False in judged else None if None in judged else True
        case Or():
            return _any([_judge(part, world) for part in node.parts])


def _any(answers: Sequence[bool | None]) -> bool | None:
    return True if True in answers else None if None in answers else False


def _compare(node: Comparison, world: _World) -> bool | None:
    operator = node.operator
    if node.field.kind is Kind.MANY:
        assert isinstance(node.value, str)  # noqa: S101 - the parser gives nothing else
        wanted = operator.opposite if operator.denies else operator
        found = any(_holds(value, wanted, (node.value, node.value)) for value in world.many(node.field))
        return not found if operator.denies else found
    value = world.value(node.field)
    if isinstance(node.value, Reference):
        other = world.elsewhere(node.value)
        ends = None if other is None else (other, other)
    else:
        ends = bounds(node.field, node.value)
    if value is None or ends is None or _sort(value) is not _sort(ends[0]):
        return None
    return _holds(value, operator, ends)


def _holds(value: Plain, operator: Operator, ends: tuple[Plain, Plain]) -> bool | None:
    """Of values of one sort; None where they cannot be looked into."""
    low, high = ends
    if operator in _ORDERS:
        return _ORDERS[operator](value, low, high)
    if not isinstance(value, str) or not isinstance(low, str):
        return None
    return contains(value, low) is (operator is Operator.CONTAINS)


_ORDERS: Mapping[Operator, Callable[[Any, Any, Any], bool]] = {
    Operator.EQUAL: lambda value, low, high: low <= value <= high,
    Operator.UNEQUAL: lambda value, low, high: not low <= value <= high,
    Operator.LESS: lambda value, low, _: value < low,
    Operator.AT_MOST: lambda value, _, high: value <= high,
    Operator.GREATER: lambda value, _, high: value > high,
    Operator.AT_LEAST: lambda value, low, _: value >= low,
}


def _sort(value: Plain) -> type:
    """Numbers compare with numbers, text with text, true and false with each other."""
    return bool if isinstance(value, bool) else str if isinstance(value, str) else float


def _grouped(node: Node) -> str:
    return f"({node})" if isinstance(node, And | Or) else str(node)


def _written(value: Value) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return quoted(value)
        case int() | float():
            return repr(value)
        case Duration() | Moment() | Reference():
            return str(value)


def _parts(node: Node) -> Iterator[Node]:
    match node:
        case Not():
            yield from _parts(node.part)
        case And() | Or():
            for part in node.parts:
                yield from _parts(part)
        case _:
            yield node


def _fields(node: Node) -> Iterator[Field]:
    for part in _parts(node):
        if isinstance(part, Comparison | Membership | Exists):
            yield part.field
        if isinstance(part, Comparison) and isinstance(part.value, Reference):
            yield part.value.field


def _references(node: Node) -> Iterator[Reference]:
    for part in _parts(node):
        if isinstance(part, Comparison) and isinstance(part.value, Reference):
            yield part.value


def _found(node: Node, world: _World) -> str:
    said = {str(field): _shown(field, world) for field in dict.fromkeys(_own_fields(node))}
    said |= {str(reference): _told(world.elsewhere(reference)) for reference in dict.fromkeys(_references(node))}
    return ", ".join(f"{name} is {value}" for name, value in said.items())


def _own_fields(node: Node) -> Iterator[Field]:
    return (part.field for part in _parts(node) if isinstance(part, Comparison | Membership | Exists))


def _shown(field: Field, world: _World) -> str:
    if field.kind is Kind.MANY:
        return ", ".join(map(quoted, world.many(field))) or "missing"
    value = world.value(field)
    if field.kind is Kind.AGE and isinstance(value, int):
        return str(Duration(max(value, 0) // 1000 * 1000))
    return _told(value)


def _told(value: Plain | None) -> str:
    return "missing" if value is None else _written(value)
