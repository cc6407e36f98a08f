"""The words of a condition, and how an error points at one of them."""

import re
from dataclasses import dataclass
from enum import Enum, auto

from cas_registry.errors import InvalidInputError, LimitError
from cas_registry.model.rules import MAX_CONDITION_BYTES

_SHOWN = 120  # characters of the condition that an error shows

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<operator>!=|!~|<=|>=|==|[=<>~])
    | (?P<mark>[(),])
    | (?P<word>[^\s\x00-\x1f\x7f"'()=<>!~,]+)
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class Shape(Enum):
    """A WORD stands without quotes, a FIELD is a group's name with the rest QUOTED, a MARK is a comma or a parenthesis."""

    WORD = auto()
    QUOTED = auto()
    FIELD = auto()
    OPERATOR = auto()
    MARK = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """A word with its place. `text` of something quoted is what it stands for; `prefix` is what stands before a FIELD's quotes."""

    shape: Shape
    text: str
    start: int
    end: int
    prefix: str = ""

    def is_word(self, *words: str) -> bool:
        return self.shape is Shape.WORD and self.text.lower() in words


def read_tokens(text: str) -> list[Token]:
    """The tokens of a condition, an END behind them. InvalidInputError at what is none; LimitError over what a rule of a tag may hold."""
    if len(text.encode("utf-8", "replace")) > MAX_CONDITION_BYTES:
        raise LimitError(f"a condition of more than {MAX_CONDITION_BYTES:,} bytes; ask for less at once")
    tokens: list[Token] = []
    position = 0
    stop = len(text.rstrip())
    while position < stop:
        found = _TOKEN.match(text, position)
        if found is None:
            raise _not_a_token(text, position + len(text[position:]) - len(text[position:].lstrip()))
        position = found.end()
        shape = Shape[str(found.lastgroup).upper()]
        token = Token(shape, found[found.lastgroup or 0], found.start(found.lastgroup or 0), position)
        if shape is Shape.QUOTED:
            token = _unquoted(token, tokens)
        tokens.append(token)
    tokens.append(Token(Shape.END, "", stop, stop))
    return tokens


def error_at(text: str, position: int, what: str) -> InvalidInputError:
    """An error that shows the condition with a caret below the place."""
    first = max(0, position - _SHOWN // 2)
    shown, what = (_on_one_line(part) for part in (text[first : first + _SHOWN], what))
    return InvalidInputError(
        f"{what}\n    {shown}\n    {' ' * (position - first)}^", condition=text, position=position, what=what
    )


def _on_one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


def _unquoted(token: Token, before: list[Token]) -> Token:
    """Something quoted; together with `params.` right before it, a field."""
    content = _ESCAPE.sub(r"\1", token.text[1:-1])
    if before and before[-1].shape is Shape.WORD and before[-1].text.endswith(".") and before[-1].end == token.start:
        group = before.pop()
        return Token(Shape.FIELD, content, group.start, token.end, group.text[:-1])
    return Token(Shape.QUOTED, content, token.start, token.end)


def _not_a_token(text: str, position: int) -> InvalidInputError:
    if text[position] in "\"'":
        return error_at(text, position, "this quote is not closed")
    if text[position] == "!":
        return error_at(text, position, "'!' stands before = or ~ only; write not")
    return error_at(text, position, f"{text[position]!r} has no meaning here")
