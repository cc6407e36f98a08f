"""From text to a condition.

    condition  = alternative { "or" alternative }
    alternative = part { "and" part }
    part       = "not" part | "(" condition ")" | "exists" field | field comparison
    comparison = operator value | [ "not" ] "in" "(" value { "," value } ")" | "is" [ "not" ] "null"

What a word on the right means depends on the field on the left: text for `author`, a time for `time`, and a version for what is measured.
"""

import math
import re
from typing import TypeVar

from cas_registry.errors import HostileNameError, InvalidInputError, LimitError
from cas_registry.model.canonical import MAX_INTEGER
from cas_registry.model.names import VERSION_NUMBER, check_ref
from cas_registry.model.revision import parse_time
from cas_registry.query.condition import (
    DAY_MS,
    MILLISECONDS,
    And,
    Comparison,
    Condition,
    Duration,
    Exists,
    Literal,
    Membership,
    Moment,
    Node,
    Not,
    Operator,
    Or,
    Reference,
    Value,
)
from cas_registry.query.fields import FIELDS, GROUPS, Field, Kind, parse_field
from cas_registry.query.lexing import Shape, Token, error_at, read_tokens

T = TypeVar("T")
MAX_DEPTH = 32  # of parentheses and `not`: nobody writes more by hand, and each takes a few frames of the stack
MAX_PARTS = 500  # comparisons: SQLite takes an expression of a thousand terms
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|[-+]?inf", re.ASCII)
_INTEGER = re.compile(r"[-+]?\d{1,19}", re.ASCII)
_DURATION = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)
_HEX = re.compile(r"[0-9a-fA-F]{1,64}")
_DATE = re.compile(r"\d{4}-?\d{2}-?\d{2}", re.ASCII)
_ELSEWHERE = re.compile(rf"(?P<version>.+?)\.(?P<field>(?:{'|'.join(GROUPS)})\..+|(?:{'|'.join(FIELDS)}))")
_KEYWORDS = ("and", "or", "not", "in", "is", "null", "exists")
_FEW_FIELDS = "a field such as metrics.auc, params.lr, tag, author or age"


def parse_condition(text: str) -> Condition:
    """The condition in `text`. InvalidInputError shows with a caret where it stops making sense, and says what was expected."""
    return Condition(_Parser(text).parse())


class _Parser:
    """One pass over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = read_tokens(text)
        self._next = 0
        self._parts = 0

    def parse(self) -> Node:
        if len(self._tokens) == 1:
            raise self._error("the condition is empty: expected " + _FEW_FIELDS)
        node = self._either(0)
        if self._next < len(self._tokens) - 1:
            raise self._error(f"expected and, or, or the end{self._instead()}")
        return node

    def _either(self, depth: int) -> Node:
        parts = [self._both(depth)]
        while self._take_word("or"):
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _both(self, depth: int) -> Node:
        parts = [self._part(depth)]
        while self._take_word("and"):
            parts.append(self._part(depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _part(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise LimitError(f"a condition with more than {MAX_DEPTH} parentheses or nots inside each other")
        if self._take_word("not"):
            return Not(self._part(depth + 1))
        if self._take_mark("("):
            node = self._either(depth + 1)
            self._expect_mark(")")
            return node
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise LimitError(f"a condition of more than {MAX_PARTS} comparisons")
        if self._take_word("exists"):
            if self._take_mark("("):
                field = self._field()
                self._expect_mark(")")
                return Exists(field)
            return Exists(self._field())
        return self._comparison(self._field())

    def _field(self) -> Field:
        token = self._now
        if token.shape is Shape.FIELD:
            if token.prefix not in GROUPS:
                raise self._error(f"there is no {token.prefix!r}; names begin with {', '.join(f'{name}.' for name in GROUPS)}")
            if not token.text:
                raise self._error(f"which of the {token.prefix}? The quotes are empty")
            return self._advance(Field(token.text, token.prefix))
        if token.shape is not Shape.WORD or token.is_word(*_KEYWORDS):
            raise self._error(f"expected {_FEW_FIELDS}{self._instead()}")
        try:
            return self._advance(parse_field(token.text))
        except InvalidInputError as error:
            raise self._error(error.message) from None

    def _comparison(self, field: Field) -> Node:
        if self._take_word("is"):
            denied = self._take_word("not")
            if not self._take_word("null"):
                raise self._error(f"expected null after is{self._instead()}")
            return Exists(field) if denied else Not(Exists(field))
        if self._now.is_word("not") and self._following.is_word("in"):
            self._advance(None)
            self._advance(None)
            return Not(self._membership(field))
        if self._take_word("in"):
            return self._membership(field)
        token = self._now
        if token.shape is not Shape.OPERATOR:
            raise self._error(f"expected =, !=, <, <=, >, >=, ~, in, or is null after {field}{self._instead()}")
        operator = self._advance(Operator("=" if token.text == "==" else token.text))
        if operator.looks_inside and field.kind in {Kind.NUMBER, Kind.TIME, Kind.AGE}:
            raise error_at(self._text, token.start, f"{field} is no text that could contain something")
        return Comparison(field, operator, self._value(field, operator))

    def _membership(self, field: Field) -> Membership:
        self._expect_mark("(")
        values = [self._literal(field)]
        while self._take_mark(","):
            values.append(self._literal(field))
        self._expect_mark(")")
        self._parts += len(values) - 1
        if self._parts > MAX_PARTS:
            raise LimitError(f"a condition of more than {MAX_PARTS} values and comparisons")
        return Membership(field, tuple(values))

    def _literal(self, field: Field) -> Literal:
        token = self._now
        value = self._value(field, Operator.EQUAL)
        if isinstance(value, Reference):
            raise error_at(self._text, token.start, f"expected {_expected(field)}: a list holds no versions")
        return value

    def _value(self, field: Field, operator: Operator) -> Value:
        token = self._now
        if token.shape is Shape.FIELD:
            return self._advance(self._quoted_reference(field, token))
        if token.shape not in {Shape.WORD, Shape.QUOTED} or token.is_word(*_KEYWORDS):
            null = token.is_word("null")
            hint = f"; write {field} is null" if null else "; put it between quotes" if token.is_word(*_KEYWORDS) else ""
            raise self._error(f"expected {_expected(field)}{self._instead()}{hint}")
        word = token.shape is Shape.WORD
        value: Value | None = token.text if operator.looks_inside else self._in_place(token, field)
        if value is None and word and field.takes_versions and not token.text[0].isdigit():
            value = self._reference(token, field)
        if value is None:
            raise self._error(f"expected {_expected(field)}{self._instead()}")
        return self._advance(value)

    def _in_place(self, token: Token, field: Field) -> Value | None:
        """What a word, or something quoted, means beside a field; None where it is no value of that kind."""
        match field.kind:
            case Kind.TEXT | Kind.MANY:
                return token.text
            case Kind.COMMIT:
                return token.text if _HEX.fullmatch(token.text) else None
            case Kind.TIME:
                return _moment(token.text)
            case Kind.SCALAR:
                return self._scalar(token, field) if token.shape is Shape.WORD else token.text
            case Kind.AGE | Kind.NUMBER:
                return _number(token.text) if field.kind is Kind.NUMBER else _duration(token.text)

    def _scalar(self, token: Token, field: Field) -> Value | None:
        """What a word stands for beside a field that may hold anything."""
        if token.is_word("true", "false"):
            return token.is_word("true")
        number = _number(token.text)
        if number is not None:
            return number
        found = _ELSEWHERE.fullmatch(token.text)
        if found and "." in found["field"]:
            return self._reference(token, field)
        return None if field.takes_versions else token.text

    def _reference(self, token: Token, field: Field) -> Reference | None:
        """`prod`, or `prod.metrics.auc`: a version, by tag, branch or number (`v17`), and which field of it."""
        found = _ELSEWHERE.fullmatch(token.text)
        version, other = (found["version"], parse_field(found["field"])) if found else (token.text, field)
        return self._checked(token, version, field, other)

    def _quoted_reference(self, field: Field, token: Token) -> Reference:
        """`prod.params."learning rate"`."""
        version, _, group = token.prefix.rpartition(".")
        if group not in GROUPS or not version or not token.text:
            raise self._error(f"expected {_expected(field)}{self._instead()}")
        return self._checked(token, version, field, Field(token.text, group))

    def _checked(self, token: Token, version: str, field: Field, other: Field) -> Reference:
        try:
            if not VERSION_NUMBER.fullmatch(version):
                check_ref(version)
        except (HostileNameError, LimitError):
            raise self._error(f"expected {_expected(field)}{self._instead()}") from None
        if not field.takes_versions and field.kind is not Kind.SCALAR:
            raise self._error(f"expected {_expected(field)}{self._instead()}; put all of it between quotes")
        if other.kind is Kind.MANY:
            raise error_at(self._text, token.start, "tags, branches and inputs are compared with text only")
        if _comparable(field) != _comparable(other) and Kind.SCALAR not in {field.kind, other.kind}:
            raise error_at(self._text, token.start, f"{field} does not compare with {other}")
        return Reference(version, other)

    @property
    def _now(self) -> Token:
        return self._tokens[self._next]

    @property
    def _following(self) -> Token:
        return self._tokens[min(self._next + 1, len(self._tokens) - 1)]

    def _advance(self, value: T) -> T:
        """`value`, once the token that it was made of is behind."""
        self._next += 1
        return value

    def _take_word(self, word: str) -> bool:
        taken = self._now.is_word(word)
        self._next += taken
        return taken

    def _take_mark(self, mark: str) -> bool:
        taken = self._now.shape is Shape.MARK and self._now.text == mark
        self._next += taken
        return taken

    def _expect_mark(self, mark: str) -> None:
        if not self._take_mark(mark):
            raise self._error(f"expected {mark!r}{self._instead()}")

    def _instead(self) -> str:
        return "" if self._now.shape is Shape.END else f", not {self._text[self._now.start : self._now.end][:40]!r}"

    def _error(self, what: str) -> InvalidInputError:
        return error_at(self._text, self._now.start, what)


def _expected(field: Field) -> str:
    match field.kind:
        case Kind.NUMBER:
            return "a number"
        case Kind.TIME:
            return "a date such as 2026-11-01 (how long ago is age, such as age < 30d)"
        case Kind.AGE:
            return "a span such as 30d, 12h or 2w"
        case Kind.COMMIT:
            return "the first hex digits of a commit"
        case Kind.TEXT | Kind.MANY:
            return "text"
        case Kind.SCALAR:
            return "a number, text in quotes, true, false, or a version such as prod" if field.takes_versions else "a value"


def _comparable(field: Field) -> str:
    return {Kind.TIME: "time", Kind.AGE: "age", Kind.NUMBER: "number"}.get(field.kind, "text")


def _number(text: str) -> int | float | None:
    if not _NUMBER.fullmatch(text):
        return None
    if _INTEGER.fullmatch(text) and abs(int(text)) <= MAX_INTEGER:
        return int(text)
    number = float(text)
    return None if math.isnan(number) else number


def _duration(text: str) -> Duration | None:
    found = _DURATION.fullmatch(text)
    return Duration(int(found[1]) * MILLISECONDS[found[2]]) if found else None


def _moment(text: str) -> Moment | None:
    try:
        end_ms = parse_time(text, now_ms=0) if text != "yesterday" else None
    except (InvalidInputError, OverflowError):
        return None
    if end_ms is None:
        return None
    return Moment(end_ms - DAY_MS + 1 if _DATE.fullmatch(text) else end_ms, end_ms)
