"""Pickles are found by following them, whatever their protocol, and nothing else is taken for one."""

import collections
import datetime as dt
import decimal
import pickle
import pickletools
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cas_registry.formats import pickle_walk
from cas_registry.formats.pickle_walk import Found, starts_like_pickle, walk
from cas_registry.formats.source import Window
from tests.formats.files import Source

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner) | st.frozensets(st.integers()),
)
OBJECTS = st.sampled_from(
    [
        print,
        collections.OrderedDict,
        dt.date(2026, 1, 1),
        decimal.Decimal("1.5"),
        collections.Counter("ab"),
        bytearray(b"x"),
    ]
)


def found(data: bytes, start: int = 0) -> Found:
    result = walk(Window(Source(data)), start)
    assert starts_like_pickle(data[start:]) or result is not Found.PICKLE
    return result


def test_every_opcode_of_pickletools_is_known() -> None:
    codes = {ord(opcode.code) for opcode in pickletools.opcodes}
    assert pickle_walk._OPERATIONS.keys() | {ord(".")} == codes


@given(value=PLAIN | OBJECTS | st.lists(PLAIN | OBJECTS), protocol=st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_every_pickle_of_every_protocol_is_found(value: object, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    assert found(data) is Found.PICKLE
    assert found(b"\0\0" + data, 2) is Found.PICKLE
    assert found(pickletools.optimize(data)) is Found.PICKLE


@given(value=PLAIN, behind=st.binary(max_size=200), protocol=st.integers(2, pickle.HIGHEST_PROTOCOL))
def test_what_stands_behind_a_pickle_does_not_hide_it(value: object, behind: bytes, protocol: int) -> None:
    assert found(pickle.dumps(value, protocol) + behind) is Found.PICKLE


@given(values=st.lists(PLAIN, min_size=1, max_size=3), protocol=st.integers(0, 1))
def test_plain_pickles_without_a_protocols_number_are_followed_to_the_one_that_runs(
    values: list[object], protocol: int
) -> None:
    data = b"".join(pickle.dumps(value, protocol) for value in values)
    assert found(data + b"cos\nsystem\n(S'id'\ntR.") is Found.PICKLE


@given(st.binary(max_size=2_000))
@example(b"\x80")
@example(b"(")
@example(b"cos\n")
def test_random_bytes_never_raise(data: bytes) -> None:
    found(data)


@given(PLAIN | OBJECTS, st.integers(0, 5), st.integers(0, 10_000), st.binary(max_size=3))
def test_a_damaged_pickle_never_raises(value: object, protocol: int, at: int, instead: bytes) -> None:
    data = pickle.dumps(value, protocol)
    at %= len(data)
    found(data[:at] + instead + data[at + 1 :])
    found(data[:at])


RUNNING = {
    "by name": b"cos\nsystem\n(S'id'\ntR.",
    "by name, cut behind the call": b"cos\nsystem\n(S'id'\ntR",
    "as an instance": b"(S'id'\nios\nsystem\n.",
    "as an object": b"(cos\nsystem\nS'id'\no.",
    "by names on the stack": b"\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R.",
    "by names from the memo": b"\x8c\x02osq\x000\x8c\x06systemq\x010h\x00h\x01\x93)R.",
    "by a name twice on the stack": b"\x8c\x04this2\x93)R.",
    "behind values thrown away": b"N0I1\n0](0(NN1cos\nsystem\n)R.",
    "behind a long text": b"V" + b"x" * 100_000 + b"\n0cos\nsystem\n)R.",
    "behind bytes of a MiB": b"B" + struct.pack("<I", 1 << 20) + bytes(1 << 20) + b"0cos\nsystem\n)R.",
    "by a long name": b"\x80\x04\x8c\x08builtinsX" + struct.pack("<I", 2_000) + b"a." * 1_000 + b"\x93.",
    "with a number's line that is long": b"I" + b"1" * 5_000 + b"\n0cos\nsystem\n)R.",
    "with new arguments": b"cos\nsystem\n)\x81.",
    "with keywords": b"cos\nsystem\n)}\x92.",
    "by state": b"cos\nsystem\n}b",
    "from an extension": b"\x82\x01)R.",
    "from outside": b"Pid\n)R.",
    "from outside, named by a value": b"NQ)R.",
    "a protocol's number in the middle": b"N0\x80\x04cthis\nx\n",
    "only imported, with a protocol": b"\x80\x02cthis\nx\n garbage",
    "only imported, to the end": b"cthis\nx\n.",
    "more than anybody reads": b"N0" * pickle_walk.MAX_OPCODES,
}


@pytest.mark.parametrize("data", RUNNING.values(), ids=RUNNING)
def test_what_an_unpickler_would_run_is_found(data: bytes) -> None:
    assert found(data) is Found.PICKLE


OTHERS = {
    "nothing": b"",
    "words": b"cat\ndog\nhorse\n",
    "requirements": b"certifi==2024.1\ncharset-normalizer\nclick>=8\n",
    "a vocabulary of V": b"Vase\nVat\nVault\n" * 100,
    "text in brackets": b"(in our\ntime)\n",
    "prose": b"It is a truth universally acknowledged\n" * 50,
    "quoted": b"S'\n",
    "numbers": b"1.0\n2.0\n",
    "a call of nothing": b"N)R.",
    "a protocol of the future": b"\x80\x77N.",
    "a stack that is too short": b"\x80\x02.",
    "an import of what is no name": b"\x80\x04NN\x93.",
    "a negative length": b"\x80\x02T\xff\xff\xff\xff.",
    "a memo that is empty": b"\x80\x02h\x00.",
    "an image": b"II*\0" + bytes(100_000),
}


@pytest.mark.parametrize("data", OTHERS.values(), ids=OTHERS)
def test_what_only_looks_like_a_pickle_is_none(data: bytes) -> None:
    assert found(data) is not Found.PICKLE


def test_a_pickle_that_makes_sense_to_the_end_of_the_bytes_is_cut_short() -> None:
    data = pickle.dumps(["x" * 300] * 3, 4)
    assert found(data[:100]) is Found.CUT_SHORT
    assert found(b"V" + b"x" * 100) is Found.CUT_SHORT


def test_little_is_read_of_what_is_no_pickle() -> None:
    source = Source(b"Random " + bytes(10 << 20))
    assert walk(Window(source)) is Found.NOTHING
    assert source.read_bytes <= 1 << 20
