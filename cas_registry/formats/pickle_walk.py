"""Whether a pickle stands somewhere: its opcodes are followed as an unpickler would, on kinds of values instead of values.

An unpickler runs opcode after opcode and stops at the first that it cannot run, so whatever a pickle makes it call is called by a
prefix that it accepts. The walk here accepts at least those prefixes (opcodes and their arguments as in Lib/pickletools.py, stack
and marks as in Modules/_pickle.c), which is why nothing that would run is missed; that a prefix makes sense is why neither weights
nor texts are taken for pickles.
"""

import re
import struct
from collections.abc import Callable
from enum import Enum, auto

from cas_registry.formats.cursor import Cursor
from cas_registry.formats.source import MalformedError, Window

MAX_OPCODES = 100_000  # a stream that makes sense for so long is a pickle; it costs a tenth of a second
MAX_LINE_BYTES = 16 << 20
_ENOUGH_OPCODES = 1_000  # behind a protocol's number: random bytes make sense for two or three
_HIGHEST_PROTOCOL = 5
_KEPT_BYTES = 1024  # of a text: longer than names of modules are
_LINE_BLOCK_BYTES = 4096
_NUMBER = re.compile(rb"\s*[+-]?(?:0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|[0-9][0-9_]*)L?\s*")
_PATH = re.compile(r"[\w\-]+(?:\.[\w\-]+)*")  # as names of modules, and of what is in them, look
_ANYTHING = re.compile(rb".*", re.DOTALL)  # from here on, how lines begin that have not ended after a block
_DIGITS = re.compile(rb"\s*[+-]?[0-9a-fA-FxXoO_]*L?\s*")
_DECIMALS = re.compile(rb"[\s0-9eE+\-._]*")
_QUOTED = re.compile(rb"\s*['\"].*", re.DOTALL)
_ASCII = re.compile(rb"[\x00-\x7f]*")
_WORDS = re.compile(rb"[\w\-.\x80-\xff]*")


class Found(Enum):
    """What a walk ended with."""

    NOTHING = auto()
    PICKLE = auto()
    CUT_SHORT = auto()  # it made sense up to the end of the bytes


class _Kind(Enum):
    """A value on the stack, as far as it matters; texts stand for themselves."""

    PLAIN = auto()
    CALLABLE = auto()  # an import, or what came from outside: it may be called
    LONG_TEXT = auto()


_Value = _Kind | bytes


class _EndOfBytesError(Exception):
    """The bytes end within an opcode."""


class _IsPickleError(Exception):
    """Enough was seen."""


def starts_like_pickle(head: bytes) -> bool:
    """Whether the first byte is an opcode that may come first: what costs nothing to ask of every file."""
    return head[:1] != b"" and head[0] in _FIRST


def walk(window: Window, start: int = 0) -> Found:
    """What the bytes from `start` on are. Reads on only as long as they make sense.

    A pickle is: a stream with the number of a protocol that ends or imports something; any other that calls what it imported, or ends
    after an import or a call; and any number of complete ones that take up all bytes.
    """
    machine = _Machine(window, start)
    try:
        while machine.position < window.size_bytes:
            machine.run()
    except _IsPickleError:
        return Found.PICKLE
    except _EndOfBytesError:
        return Found.CUT_SHORT
    except (MalformedError, ValueError):
        return Found.NOTHING
    return Found.PICKLE if machine.position > start else Found.NOTHING


class _Machine:
    """One pickle after another."""

    def __init__(self, window: Window, start: int) -> None:
        self._window = window
        self._cursor = Cursor(window, start, window.size_bytes)
        self._opcodes = 0

    @property
    def position(self) -> int:
        return self._cursor.position

    def run(self) -> None:
        """One pickle up to its end."""
        self._stack: list[_Value] = []
        self._below: list[list[_Value]] = []  # the stacks under each open mark
        self._memo: dict[int, _Value] = {}
        self._has_protocol = False
        self._has_import = False
        self._has_call = False
        while True:
            self._opcodes += 1
            if self._opcodes > (_ENOUGH_OPCODES if self._has_protocol else MAX_OPCODES):
                raise _IsPickleError
            opcode = self.take(1)[0]
            if opcode == _STOP:
                self.pop()
                if self._has_protocol or self._has_import or self._has_call:
                    raise _IsPickleError
                return
            operation = _OPERATIONS.get(opcode)
            if operation is None:
                raise MalformedError("not an opcode")
            operation(self)

    # what follows an opcode

    def take(self, length: int) -> bytes:
        self._check_room(length)
        return self._cursor.take(length)

    def skip(self, length: int) -> None:
        self._check_room(length)
        self._cursor.skip(length)

    def number(self, form: struct.Struct) -> int:
        (number,) = form.unpack(self.take(form.size))
        if number < 0:
            raise MalformedError("a negative length")
        return int(number)

    def line(self, begins: re.Pattern[bytes] = _ANYTHING) -> bytes:
        """The bytes up to the next line feed; their beginning where they are many, which has to look like `begins`."""
        kept = b""
        length = 0
        while length < MAX_LINE_BYTES:
            block = self._window.read_up_to(self.position + length, _LINE_BLOCK_BYTES << (length > 0) * 4)
            end = block.find(b"\n")
            kept += block[: end if end >= 0 else len(block)][: _KEPT_BYTES + 1 - len(kept)]
            if end >= 0:
                self._cursor.skip(length + end + 1)
                return kept
            if not begins.fullmatch(kept):
                raise MalformedError("a line of something else")
            if not block:
                raise _EndOfBytesError
            length += len(block)
        raise _IsPickleError  # for all that can be known

    def _check_room(self, length: int) -> None:
        if length > self._cursor.end - self.position:
            raise _EndOfBytesError

    # the stack, its marks and the memo

    def push(self, value: _Value = _Kind.PLAIN) -> None:
        self._stack.append(value)

    def pop(self, count: int = 1, *, leave: int = 0) -> list[_Value]:
        """The last values, of which there must be so many since the last mark, and below them as many as to `leave`."""
        if len(self._stack) < count + leave:
            raise MalformedError("a stack that is too short")
        values = self._stack[len(self._stack) - count :]
        del self._stack[len(self._stack) - count :]
        return values

    def mark(self) -> None:
        self._below.append(self._stack)
        self._stack = []

    def pop_mark(self, *, leave: int = 0) -> list[_Value]:
        """The values since the last mark, which goes too."""
        if not self._below:
            raise MalformedError("no mark")
        values, self._stack = self._stack, self._below.pop()
        if len(self._stack) < leave:
            raise MalformedError("a stack that is too short")
        return values

    def pop_one_or_mark(self) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self.pop_mark()

    def duplicate(self) -> None:
        self._stack += self._top() * 2

    def look_at_top(self) -> None:
        self._stack += self._top()

    def put(self, number: int) -> None:
        (self._memo[number],) = top = self._top()
        self._stack += top

    def memoize(self) -> None:
        self.put(len(self._memo))

    def get(self, number: int) -> None:
        if number not in self._memo:
            raise MalformedError("a memo without this")
        self.push(self._memo[number])

    def _top(self) -> list[_Value]:
        return self.pop()

    # values

    def protocol(self) -> None:
        if self.take(1)[0] > _HIGHEST_PROTOCOL:
            raise MalformedError("not a protocol")
        self._has_protocol = True

    def push_sized(self, form: struct.Struct) -> None:
        self.skip(self.number(form))
        self.push()

    def push_text(self, form: struct.Struct) -> None:
        length = self.number(form)
        if length > _KEPT_BYTES:
            self.skip(length)
            self.push(_Kind.LONG_TEXT)
        else:
            self.push(self.take(length))

    def push_number_line(self) -> None:
        self.number_line()
        self.push()

    def number_line(self) -> int:
        line = self.line(_DIGITS)
        if len(line) > _KEPT_BYTES:
            return -1
        if not _NUMBER.fullmatch(line):
            raise MalformedError("not a number")
        text = line.strip().removesuffix(b"L")
        return int(text) if text.isdigit() else -1

    def push_float_line(self) -> None:
        float(self.line(_DECIMALS))
        self.push()

    def push_quoted_line(self) -> None:
        line = self.line(_QUOTED).strip()
        if len(line) <= _KEPT_BYTES and (len(line) < 2 or line[:1] not in {b"'", b'"'} or line[:1] != line[-1:]):  # noqa: PLR2004
            raise MalformedError("a text without quotes")
        self._push_line_text(line[1:-1])

    def push_line(self) -> None:
        self._push_line_text(self.line())

    def _push_line_text(self, line: bytes) -> None:
        self.push(_Kind.LONG_TEXT if len(line) > _KEPT_BYTES - 2 else line)  # without its quotes

    def persistent_line(self) -> None:
        if not self.line(_ASCII).isascii():
            raise MalformedError("not an id")
        self.push(_Kind.CALLABLE)

    def persistent(self) -> None:
        self.pop()
        self.push(_Kind.CALLABLE)

    # what would be an import, or a call

    def extension(self, form: struct.Struct) -> None:
        self.number(form)
        self.push(_Kind.CALLABLE)

    def import_lines(self) -> None:
        module, name = self.line(_WORDS), self.line(_WORDS)
        self._import(module, name)
        self.push(_Kind.CALLABLE)

    def import_from_stack(self) -> None:
        module, name = self.pop(2)
        if isinstance(module, _Kind) and module is not _Kind.LONG_TEXT:
            raise MalformedError("a module without a name")
        if isinstance(name, _Kind) and name is not _Kind.LONG_TEXT:
            raise MalformedError("an import without a name")
        self._import(module, name)
        self.push(_Kind.CALLABLE)

    def instance(self) -> None:
        self.pop_mark()
        self._import(self.line(_WORDS), self.line(_WORDS))
        raise _IsPickleError

    def _import(self, module: _Value, name: _Value) -> None:
        plausible = _is_text if self._has_protocol else _is_path
        if not (plausible(module) and plausible(name)):
            raise MalformedError("not the names of an import")
        if self._has_protocol:
            raise _IsPickleError
        self._has_import = True

    def call(self, arguments: int) -> None:
        callee, *_ = self.pop(1 + arguments)
        self._call(callee)

    def call_marked(self) -> None:
        values = self.pop_mark()
        self._call(values[0] if values else _Kind.PLAIN)

    def set_state(self) -> None:
        self.pop(leave=1)
        if self._stack[-1] is _Kind.CALLABLE and self._has_import:
            raise _IsPickleError

    def _call(self, callee: _Value) -> None:
        """Only what was imported, or came from outside, can be called. The latter is rare, and easily met by chance."""
        if callee is not _Kind.CALLABLE:
            raise MalformedError("a call of nothing")
        if self._has_protocol or self._has_import:
            raise _IsPickleError
        self._has_call = True
        self.push(_Kind.CALLABLE)


def _is_path(name: _Value) -> bool:
    """Lines of words are texts more often than imports, so where nothing else says that this is a pickle names have to be names."""
    if isinstance(name, _Kind) or len(name) > _KEPT_BYTES:
        return True
    return _PATH.fullmatch(name.decode("utf-8", "replace")) is not None


def _is_text(name: _Value) -> bool:
    return isinstance(name, _Kind) or name.decode("utf-8", "surrogateescape").isprintable()


_STOP = ord(".")
_U8, _U16, _I32, _U32, _U64 = (struct.Struct(form) for form in ("<B", "<H", "<i", "<I", "<Q"))


def _pushed(argument_bytes: int = 0) -> Callable[[_Machine], None]:
    def operation(machine: _Machine) -> None:
        machine.skip(argument_bytes)
        machine.push()

    return operation


def _replaced(count: int) -> Callable[[_Machine], None]:
    def operation(machine: _Machine) -> None:
        machine.pop(count)
        machine.push()

    return operation


def _gathered(machine: _Machine) -> None:
    machine.pop_mark()
    machine.push()


_OPERATIONS: dict[int, Callable[[_Machine], object]] = {
    opcode[0]: operation
    for opcode, operation in {
        b"\x80": _Machine.protocol,
        b"\x95": lambda machine: machine.skip(8),  # FRAME
        b"N": _pushed(), b"\x88": _pushed(), b"\x89": _pushed(), b")": _pushed(), b"]": _pushed(), b"}": _pushed(),
        b"\x8f": _pushed(), b"\x97": _pushed(),
        b"K": _pushed(1), b"M": _pushed(2), b"J": _pushed(4), b"G": _pushed(8),
        b"I": _Machine.push_number_line, b"L": _Machine.push_number_line, b"F": _Machine.push_float_line,
        b"S": _Machine.push_quoted_line, b"V": _Machine.push_line,
        b"\x8a": lambda machine: machine.push_sized(_U8), b"\x8b": lambda machine: machine.push_sized(_I32),
        b"C": lambda machine: machine.push_sized(_U8), b"B": lambda machine: machine.push_sized(_U32),
        b"\x8e": lambda machine: machine.push_sized(_U64), b"\x96": lambda machine: machine.push_sized(_U64),
        b"U": lambda machine: machine.push_text(_U8), b"T": lambda machine: machine.push_text(_I32),
        b"\x8c": lambda machine: machine.push_text(_U8), b"X": lambda machine: machine.push_text(_U32),
        b"\x8d": lambda machine: machine.push_text(_U64),
        b"(": _Machine.mark, b"0": _Machine.pop_one_or_mark, b"1": _Machine.pop_mark,
        b"2": _Machine.duplicate, b"\x98": _Machine.look_at_top,
        b"\x94": _Machine.memoize, b"p": lambda machine: machine.put(machine.number_line()),
        b"q": lambda machine: machine.put(machine.number(_U8)), b"r": lambda machine: machine.put(machine.number(_U32)),
        b"g": lambda machine: machine.get(machine.number_line()),
        b"h": lambda machine: machine.get(machine.number(_U8)), b"j": lambda machine: machine.get(machine.number(_U32)),
        b"t": _gathered, b"l": _gathered, b"d": _gathered, b"\x91": _gathered,
        b"\x85": _replaced(1), b"\x86": _replaced(2), b"\x87": _replaced(3),
        b"a": lambda machine: machine.pop(leave=1), b"s": lambda machine: machine.pop(2, leave=1),
        b"e": lambda machine: machine.pop_mark(leave=1), b"u": lambda machine: machine.pop_mark(leave=1),
        b"\x90": lambda machine: machine.pop_mark(leave=1),
        b"P": _Machine.persistent_line, b"Q": _Machine.persistent,
        b"\x82": lambda machine: machine.extension(_U8), b"\x83": lambda machine: machine.extension(_U16),
        b"\x84": lambda machine: machine.extension(_U32),
        b"c": _Machine.import_lines, b"\x93": _Machine.import_from_stack,
        b"R": lambda machine: machine.call(1), b"\x81": lambda machine: machine.call(1), b"\x92": lambda machine: machine.call(2),
        b"i": _Machine.instance, b"o": _Machine.call_marked, b"b": _Machine.set_state,
    }.items()
}  # fmt: skip
_NEED_A_STACK = b"012\x94pqrghjtlde\x91\x85\x86\x87aseu\x90Q\x93R\x81\x92iob\x98."
_FIRST = frozenset(_OPERATIONS) - frozenset(_NEED_A_STACK)
