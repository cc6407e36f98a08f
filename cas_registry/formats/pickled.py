"""Pickles as data: the opcodes of Lib/pickletools.py, followed by a machine that imports nothing and calls nothing.

What a pickle would import is a `Global`, a name; what it would build by a call is whatever the reader of this pickle makes of the
name and the arguments, and a `Thing` otherwise, which keeps both and swallows what is set on it. Nothing is ever hashed or
compared but plain scalars, nothing is copied, and strings that are too long for a name are dropped, so that time and memory follow
from the number of opcodes.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from cas_registry.formats.source import MalformedError

MAX_OPCODES = 1_000_000  # PyTorch takes about 35 a tensor
_MAX_STRING_BYTES = 1024
_MAX_LINE_BYTES = 1024
_MAX_INTEGER_BYTES = 16
_SCALARS = (str, int, float, bytes, type(None))


@dataclass(frozen=True, slots=True)
class Global:
    """What a pickle calls by module and name."""

    name: str


@dataclass(slots=True, eq=False)
class Thing:
    """What a call of no known meaning would have returned: its parts."""

    kind: object
    args: tuple[object, ...]
    state: object = None
    items: list[object] = field(default_factory=list)
    pairs: dict[object, object] = field(default_factory=dict)


def load(data: bytes, *, call: Callable[[str, tuple[object, ...]], object], persistent: Callable[[object], object]) -> object:
    """The value that a pickle describes.

    `call` makes a value of a global's name (`module.name`) and arguments, or returns `NotImplemented`; `persistent` makes one of a
    persistent id. Raises `MalformedError` and what `struct` and sequences raise for bad indices.
    """
    return _Machine(data, call, persistent).run()


class _Machine:
    def __init__(
        self, data: bytes, call: Callable[[str, tuple[object, ...]], object], persistent: Callable[[object], object]
    ) -> None:
        self._data = data
        self._position = 0
        self._call = call
        self._persistent = persistent
        self._stack: list[object] = []
        self._below: list[list[object]] = []  # the stacks under each open mark
        self._memo: dict[int, object] = {}

    def run(self) -> object:
        for _ in range(MAX_OPCODES):
            opcode = self._data[self._position]
            self._position += 1
            if opcode == _STOP:
                return self._stack.pop()
            _OPERATIONS[opcode](self)
        raise MalformedError("a pickle without end")

    # what follows an opcode

    def _take(self, length: int) -> bytes:
        start = self._position
        if length > len(self._data) - start:
            raise MalformedError("a pickle that ends early")
        self._position += length
        return self._data[start : start + min(length, _MAX_STRING_BYTES + 1)]

    def _number(self, form: struct.Struct) -> int:
        (number,) = form.unpack_from(self._data, self._position)
        self._position += form.size
        return int(number)

    def _line(self) -> str:
        end = self._data.find(b"\n", self._position, self._position + _MAX_LINE_BYTES)
        if end < 0:
            raise MalformedError("a line without end")
        line = self._data[self._position : end]
        self._position = end + 1
        return line.decode("latin-1")

    # values

    def push(self, value: object) -> None:
        self._stack.append(value)

    def push_integer(self, form: struct.Struct) -> None:
        self._stack.append(self._number(form))

    def push_long(self, form: struct.Struct) -> None:
        length = self._number(form)
        if length < 0:
            raise MalformedError("a number of negative length")
        data = self._take(length)
        self._stack.append(int.from_bytes(data, "little", signed=True) if length <= _MAX_INTEGER_BYTES else None)

    def push_double(self) -> None:
        (number,) = _DOUBLE.unpack(self._take(_DOUBLE.size))
        self._stack.append(number)

    def push_text(self, form: struct.Struct) -> None:
        data = self._sized(form)
        self._stack.append(data.decode("utf-8", "surrogatepass") if len(data) <= _MAX_STRING_BYTES else "")

    def push_bytes(self, form: struct.Struct) -> None:
        data = self._sized(form)
        self._stack.append(data if len(data) <= _MAX_STRING_BYTES else b"")

    def _sized(self, form: struct.Struct) -> bytes:
        length = self._number(form)
        if length < 0:
            raise MalformedError("a string of negative length")
        return self._take(length)

    def push_line(self, convert: Callable[[str], object]) -> None:
        self._stack.append(convert(self._line()))

    def pop_values(self) -> list[object]:
        """The values since the last mark, which goes too."""
        values = self._stack
        self._stack = self._below.pop()
        return values

    # the stack and the memo

    def mark(self) -> None:
        self._below.append(self._stack)
        self._stack = []

    def pop(self) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self.pop_values()

    def pop_mark(self) -> None:
        self.pop_values()

    def duplicate(self) -> None:
        self._stack.append(self._stack[-1])

    def memoize(self) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def put(self, form: struct.Struct) -> None:
        self._memo[self._number(form)] = self._stack[-1]

    def put_line(self) -> None:
        self._memo[int(self._line())] = self._stack[-1]

    def get(self, form: struct.Struct) -> None:
        self._stack.append(self._memo[self._number(form)])

    def get_line(self) -> None:
        self._stack.append(self._memo[int(self._line())])

    def skip(self, length: int) -> None:
        self._take(length)

    # containers

    def last_as_tuple(self, length: int) -> None:
        if len(self._stack) < length:
            raise MalformedError("a stack that is too short")
        start = len(self._stack) - length
        self._stack[start:] = [tuple(self._stack[start:])]

    def marked_as_tuple(self) -> None:
        self.push(tuple(self.pop_values()))

    def marked_as_list(self) -> None:
        self.push(self.pop_values())

    def marked_as_dict(self) -> None:
        values = self.pop_values()
        self.push(_set_pairs({}, values))

    def append(self) -> None:
        value = self._stack.pop()
        self._extend([value])

    def extend(self) -> None:
        self._extend(self.pop_values())

    def _extend(self, values: list[object]) -> None:
        match self._stack[-1]:
            case list() as target:
                target.extend(values)
            case Thing() as thing:
                thing.items.extend(values)
            case _:
                pass

    def set_item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set([key, value])

    def set_items(self) -> None:
        self._set(self.pop_values())

    def _set(self, values: list[object]) -> None:
        match self._stack[-1]:
            case dict() as target:
                _set_pairs(target, values)
            case Thing() as thing:
                _set_pairs(thing.pairs, values)
            case _:
                pass

    # what would be a call

    def name_global(self) -> None:
        module = self._line()
        self.push(Global(f"{module}.{self._line()}"))

    def name_global_from_stack(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self.push(Global(f"{module}.{name}" if isinstance(name, str) and isinstance(module, str) else ""))

    def name_extension(self, form: struct.Struct) -> None:
        self.push(Global(f"extension.{self._number(form)}"))

    def reduce(self) -> None:
        args, kind = self._stack.pop(), self._stack.pop()
        self._build(kind, args)

    def reduce_with_keywords(self) -> None:
        keywords, args, kind = self._stack.pop(), self._stack.pop(), self._stack.pop()
        self.push(Thing(kind, (args, keywords)))

    def instance(self) -> None:
        self.name_global()
        kind = self._stack.pop()
        self._build(kind, tuple(self.pop_values()))

    def instance_from_stack(self) -> None:
        kind, *args = self.pop_values()
        self._build(kind, tuple(args))

    def _build(self, kind: object, args: object) -> None:
        if not isinstance(args, tuple):
            raise MalformedError("arguments that are no tuple")
        made = self._call(kind.name, args) if isinstance(kind, Global) else NotImplemented
        self.push(Thing(kind, args) if made is NotImplemented else made)

    def set_state(self) -> None:
        state = self._stack.pop()
        if isinstance(thing := self._stack[-1], Thing):
            thing.state = state

    def refer(self) -> None:
        self.push(self._persistent(self._stack.pop()))

    def refer_line(self) -> None:
        self.push(self._persistent(self._line()))


def _set_pairs(target: dict[object, object], values: list[object]) -> dict[object, object]:
    pairs = zip(values[::2], values[1::2], strict=True)
    target.update((key, value) for key, value in pairs if isinstance(key, _SCALARS))  # a tuple's hash can take forever
    return target


def _text_integer(line: str) -> object:
    return line == "01" if line in {"00", "01"} else int(line.removesuffix("L"))


_STOP = ord(".")
_U8, _U16, _I32, _U32, _U64 = (struct.Struct(form) for form in ("<B", "<H", "<i", "<I", "<Q"))
_DOUBLE = struct.Struct(">d")

_OPERATIONS: dict[int, Callable[[_Machine], None]] = {
    opcode[0]: operation
    for opcode, operation in {
        b"\x80": lambda machine: machine.skip(1),  # PROTO
        b"\x95": lambda machine: machine.skip(8),  # FRAME
        b"N": lambda machine: machine.push(None),
        b"\x88": lambda machine: machine.push(True),  # noqa: FBT003
        b"\x89": lambda machine: machine.push(False),  # noqa: FBT003
        b"I": lambda machine: machine.push_line(_text_integer),
        b"L": lambda machine: machine.push_line(_text_integer),
        b"F": lambda machine: machine.push_line(float),
        b"S": lambda machine: machine.push_line(lambda line: line[1:-1]),
        b"V": lambda machine: machine.push_line(str),
        b"K": lambda machine: machine.push_integer(_U8),
        b"M": lambda machine: machine.push_integer(_U16),
        b"J": lambda machine: machine.push_integer(_I32),
        b"\x8a": lambda machine: machine.push_long(_U8),
        b"\x8b": lambda machine: machine.push_long(_I32),
        b"G": lambda machine: machine.push_double(),
        b"U": lambda machine: machine.push_text(_U8),
        b"T": lambda machine: machine.push_text(_I32),
        b"\x8c": lambda machine: machine.push_text(_U8),
        b"X": lambda machine: machine.push_text(_U32),
        b"\x8d": lambda machine: machine.push_text(_U64),
        b"C": lambda machine: machine.push_bytes(_U8),
        b"B": lambda machine: machine.push_bytes(_U32),
        b"\x8e": lambda machine: machine.push_bytes(_U64),
        b"\x96": lambda machine: machine.push_bytes(_U64),
        b"(": _Machine.mark,
        b"0": _Machine.pop,
        b"1": _Machine.pop_mark,
        b"2": _Machine.duplicate,
        b"\x94": _Machine.memoize,
        b"p": _Machine.put_line,
        b"q": lambda machine: machine.put(_U8),
        b"r": lambda machine: machine.put(_U32),
        b"g": _Machine.get_line,
        b"h": lambda machine: machine.get(_U8),
        b"j": lambda machine: machine.get(_U32),
        b")": lambda machine: machine.push(()),
        b"t": _Machine.marked_as_tuple,
        b"\x85": lambda machine: machine.last_as_tuple(1),
        b"\x86": lambda machine: machine.last_as_tuple(2),
        b"\x87": lambda machine: machine.last_as_tuple(3),
        b"]": lambda machine: machine.push([]),
        b"l": _Machine.marked_as_list,
        b"\x8f": lambda machine: machine.push([]),  # a set
        b"\x91": _Machine.marked_as_list,  # a frozen one
        b"a": _Machine.append,
        b"e": _Machine.extend,
        b"\x90": _Machine.extend,
        b"}": lambda machine: machine.push({}),
        b"d": _Machine.marked_as_dict,
        b"s": _Machine.set_item,
        b"u": _Machine.set_items,
        b"c": _Machine.name_global,
        b"\x93": _Machine.name_global_from_stack,
        b"\x82": lambda machine: machine.name_extension(_U8),
        b"\x83": lambda machine: machine.name_extension(_U16),
        b"\x84": lambda machine: machine.name_extension(_U32),
        b"R": _Machine.reduce,
        b"\x81": _Machine.reduce,  # NEWOBJ
        b"\x92": _Machine.reduce_with_keywords,  # NEWOBJ_EX
        b"i": _Machine.instance,
        b"o": _Machine.instance_from_stack,
        b"b": _Machine.set_state,
        b"P": _Machine.refer_line,
        b"Q": _Machine.refer,
    }.items()
}
