"""From a condition to SQL, for a database with these tables (more tables and columns do no harm):

    version v   id, model, number, commit_id (hex), author, message, time, size, stored, files; a holder for each group, and for `input`
    model       id, name
    ref         model, kind ('tag' or 'branch'), name, version: where each stands
    fact        holder, name, value: what a holder has under a name of its group
    name        id, text: the names of `fact`
    input       holder, text

Numbers are numbers, text is text, false and true are the blobs 00 and 01, so that SQLite's own order keeps the three apart: numbers come
before `''`, texts before `x''`. Null and NaN are not there. The function `contains` is to be registered with the connection.

`not` is carried down to the comparisons first; then each of them only has to say what is known to be true, and unknown is as false.
"""

from dataclasses import dataclass

from cas_registry.model.canonical import Scalar
from cas_registry.model.names import VERSION_NUMBER
from cas_registry.query.condition import (
    And,
    Comparison,
    Condition,
    Exists,
    Membership,
    Node,
    Not,
    Operator,
    Or,
    Plain,
    Reference,
    bounds,
    plain,
)
from cas_registry.query.fields import Field, Kind
from cas_registry.query.order import Order

Stored = int | float | str | bytes
_BOOLS = (b"\x00", b"\x01")


@dataclass(frozen=True, slots=True)
class Sql:
    """An expression with the values of its question marks. What is put together here are constants and other expressions, never a
    name or a value from outside."""

    text: str
    parameters: tuple[Stored, ...] = ()


def where(condition: Condition, *, now_ms: int) -> Sql:
    """The expression over `version v` that is true of exactly those versions that the condition matches."""
    return _node(condition.root, now_ms, denied=False)


def order_by(order: Order, *, now_ms: int) -> Sql:
    """What to sort `version v` by. What has no value comes last, and numbers come before text."""
    value = value_of(order.field, now_ms=now_ms)
    return _sql("{} IS NULL, {} >= '', {} {}", value, value, value, "DESC" if order.highest_first else "ASC")


def value_of(field: Field, *, now_ms: int, version: str = "v") -> Sql:
    """The value of a field (but for tags, branches and inputs) of the version of that alias; null where it has none."""
    if field.group is not None:
        return _sql("(SELECT f.value FROM fact f WHERE f.holder = {}.{} AND f.name = {})", version, field.group, _name(field))
    match field.name:
        case "age":
            return _sql("({} - {}.time)", _bind(now_ms), version)
        case "model":
            return _sql("(SELECT m.name FROM model m WHERE m.id = {}.model)", version)
        case "commit":
            return _sql("{}.commit_id", version)
        case column:
            return _sql("{}.{}", version, column)


def stored(value: Scalar) -> Stored | None:
    """A scalar as the tables have it, None for what they do not have."""
    found = plain(value)
    return _BOOLS[found] if isinstance(found, bool) else found


def scalar(value: Stored) -> Plain:
    """The reverse of `stored`."""
    return value == _BOOLS[True] if isinstance(value, bytes) else value


def _node(node: Node, now_ms: int, *, denied: bool) -> Sql:
    match node:
        case Not():
            return _node(node.part, now_ms, denied=not denied)
        case And():
            return _joined([_node(part, now_ms, denied=denied) for part in node.parts], "OR" if denied else "AND")
        case Or():
            return _joined([_node(part, now_ms, denied=denied) for part in node.parts], "AND" if denied else "OR")
        case Exists():
            return _exists(node.field, denied=denied)
        case Membership():
            equal = [Comparison(node.field, Operator.EQUAL, value) for value in node.values]
            return _joined([_comparison(part, now_ms, denied=denied) for part in equal], "AND" if denied else "OR")
        case Comparison():
            return _comparison(node, now_ms, denied=denied)


def _exists(field: Field, *, denied: bool) -> Sql:
    if field.kind is Kind.MANY:
        return _many(field, Sql("1"), denied=denied)
    if field.group is not None:
        found = _sql("(SELECT holder FROM fact WHERE name = {})", _name(field))
        return _sql("ifnull(v.{}, 0) {}IN {}", field.group, "NOT " if denied else "", found)
    return _sql("{} IS {}NULL", value_of(field, now_ms=0), "" if denied else "NOT ")


def _comparison(node: Comparison, now_ms: int, *, denied: bool) -> Sql:
    operator = node.operator.opposite if denied else node.operator
    if isinstance(node.value, Reference):
        return _with_version(node.field, operator, node.value, now_ms)
    ends = bounds(node.field, node.value)
    if node.field.kind is Kind.MANY:  # one of them holds, or none of them does
        asked = node.operator.opposite if node.operator.denies else node.operator
        return _many(node.field, _holds(Sql("r.name"), asked, ends), denied=denied is not node.operator.denies)
    if node.field.group is None:
        return _holds(value_of(node.field, now_ms=now_ms), operator, ends)
    holds = _holds(Sql("value"), operator, ends)
    return _sql("v.{} IN (SELECT holder FROM fact WHERE name = {} AND {})", node.field.group, _name(node.field), holds)


def _many(field: Field, test: Sql, *, denied: bool) -> Sql:
    negation = "NOT " if denied else ""
    if field.name == "input":
        found = _sql("(SELECT r.holder FROM (SELECT holder, text AS name FROM input) r WHERE {})", test)
        return _sql("ifnull(v.input, 0) {}IN {}", negation, found)
    return _sql("v.id {}IN (SELECT r.version FROM ref r WHERE r.kind = {} AND {})", negation, _bind(field.name), test)


def _holds(value: Sql, operator: Operator, ends: tuple[Plain, Plain]) -> Sql:
    """That a value is of the sort of these ends, and stands to them as the operator says."""
    low, high = (_bind(_BOOLS[end] if isinstance(end, bool) else end) for end in ends)
    if operator is Operator.EQUAL:
        return _sql("{} BETWEEN {} AND {}", value, low, high)
    sort = _sort(value, ends[0])
    if operator is Operator.UNEQUAL:
        return _sql("({} NOT BETWEEN {} AND {} AND {})", value, low, high, sort)
    if operator.looks_inside:
        return _sql("({} AND {}contains({}, {}))", sort, "NOT " if operator.denies else "", value, low)
    end = high if operator in {Operator.AT_MOST, Operator.GREATER} else low
    return _sql("({} {} {} AND {})", value, operator.value, end, sort)


def _sort(value: Sql, like: Plain) -> Sql:
    if isinstance(like, bool):
        return _sql("{} >= x''", value)
    if isinstance(like, str):
        return _sql("{} >= '' AND {} < x''", value, value)
    return _sql("{} < ''", value)


def _with_version(field: Field, operator: Operator, reference: Reference, now_ms: int) -> Sql:
    """Compared with another version's field. A tag goes before a branch of the same name, as everywhere."""
    number = VERSION_NUMBER.fullmatch(reference.version)
    standing = (
        _sql(
            "(SELECT n.id FROM version n WHERE n.model = v.model AND n.number = {} ORDER BY n.id LIMIT 1)",
            _bind(int(number[1])),
        )
        if number
        else _sql(
            "(SELECT r.version FROM ref r WHERE r.model = v.model AND r.name = {} ORDER BY r.kind DESC LIMIT 1)",
            _bind(reference.version),
        )
    )
    there = _sql("(SELECT {} FROM version w WHERE w.id = {})", value_of(reference.field, now_ms=now_ms, version="w"), standing)
    return _sql(
        "EXISTS (SELECT 1 FROM (SELECT {} AS here, {} AS there LIMIT 1) "
        "WHERE here {} there AND (here < '') = (there < '') AND (here < x'') = (there < x''))",
        value_of(field, now_ms=now_ms),
        there,
        operator.value,
    )


def _name(field: Field) -> Sql:
    return _sql("(SELECT id FROM name WHERE text = {})", _bind(field.name))


def _joined(parts: list[Sql], word: str) -> Sql:
    return Sql(
        f"({f' {word} '.join(part.text for part in parts)})", tuple(value for part in parts for value in part.parameters)
    )


def _bind(value: Stored) -> Sql:
    return Sql("?", (value,))


def _sql(pattern: str, *parts: Sql | str) -> Sql:
    """The pattern with its parts in place, and their values in the same order."""
    texts = [part if isinstance(part, str) else part.text for part in parts]
    return Sql(pattern.format(*texts), tuple(value for part in parts if isinstance(part, Sql) for value in part.parameters))
