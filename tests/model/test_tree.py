"""Trees: canonical order, unique names, sizes that add up."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.errors import FormatError, HostileNameError, InvalidInputError, LimitError
from cas_registry.model import canonical, tree
from cas_registry.model.ids import FileId, TreeId
from cas_registry.model.names import fold
from cas_registry.model.tree import EMPTY_TREE, Mode, Tree, TreeEntry, decode_tree, encode_tree, make_tree
from tests.support import strategies as make

FILE = FileId.of(b"file")
HEX = FILE.hex


def _file(name: str, size_bytes: int = 1) -> TreeEntry:
    return TreeEntry(name, Mode.FILE, size_bytes, FILE)


def _spelled(*rows: Any) -> bytes:
    text = json.dumps({"v": 1, "kind": "tree", "entries": rows}, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


@given(value=make.trees())
def test_a_tree_round_trips(value: Tree) -> None:
    data = encode_tree(value)
    assert decode_tree(data) == value
    assert encode_tree(decode_tree(data)) == data


@given(rows=st.lists(make.tree_entries(), max_size=6, unique_by=lambda entry: fold(entry.name)), data=st.data())
def test_the_order_of_entries_does_not_change_the_id(rows: list[TreeEntry], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(rows))
    assert encode_tree(make_tree(shuffled)) == encode_tree(make_tree(rows))


def test_the_spelling_of_a_tree() -> None:
    value = make_tree(
        [TreeEntry("sub", Mode.FOLDER, 3, TreeId.of(b"")), _file("a", 5), TreeEntry("run", Mode.EXECUTABLE, 2, FILE)]
    )
    assert encode_tree(value).decode() == (
        f'{{"entries":[["a","file",5,"{HEX}"],["run","exec",2,"{HEX}"],["sub","tree",3,"{TreeId.of(b"").hex}"]],'
        '"kind":"tree","v":1}'
    )
    assert encode_tree(EMPTY_TREE) == b'{"entries":[],"kind":"tree","v":1}'


def test_entries_are_sorted_by_code_point() -> None:
    names = ["é", "Z", "a", "\U0001f917", "\uffe6", "a.b", "a-b", "a b"]
    value = make_tree(_file(name) for name in names)
    assert [entry.name for entry in value.entries] == ["Z", "a", "a b", "a-b", "a.b", "é", "\uffe6", "\U0001f917"]


def test_a_tree_knows_its_size_and_its_entries() -> None:
    value = make_tree([_file("a", 5), _file("b", 7)])
    assert value.size_bytes == 12
    assert value.get("b") == _file("b", 7)
    assert value.get("B") is None
    assert (EMPTY_TREE.size_bytes, EMPTY_TREE.get("")) == (0, None)


def test_entries_of_each_mode_come_back_with_the_id_of_their_kind() -> None:
    value = decode_tree(_spelled(["a", "file", 1, HEX], ["b", "exec", 1, HEX], ["c", "tree", 1, HEX]))
    assert [type(entry.id) for entry in value.entries] == [FileId, FileId, TreeId]
    assert [entry.is_folder for entry in value.entries] == [False, False, True]


COLLISIONS = [("A", "a"), ("é", "É"), ("straße", "STRASSE"), ("ς", "Σ"), ("same", "same")]


@pytest.mark.parametrize(("left", "right"), COLLISIONS)
def test_names_that_a_case_insensitive_file_system_confuses_are_refused(left: str, right: str) -> None:
    with pytest.raises(HostileNameError, match="one name") as caught:
        make_tree([_file(right), _file("between"), _file(left)])
    assert set(caught.value.fields["names"]) == {left, right}
    rows = sorted([left, right])
    with pytest.raises(FormatError, match=r"differ only in case|sorted and unique"):
        decode_tree(_spelled(*([name, "file", 1, HEX] for name in rows)))


def test_the_same_entry_twice_is_refused() -> None:
    entry = _file("a")
    with pytest.raises(HostileNameError):
        make_tree([entry, entry])


def test_twins_in_another_normal_form_are_refused() -> None:
    with pytest.raises(HostileNameError, match="NFC"):
        make_tree([_file("é"), _file("e\u0301")])
    with pytest.raises(FormatError, match="hostile"):
        decode_tree(_spelled(["e\u0301", "file", 1, HEX], ["é", "file", 1, HEX]))


@pytest.mark.parametrize("name", ["..", "a/b", "a\\b", "CON", "x.", ".git", "\x00", "", "a\u202eb", "a\r", "/etc", "-\n"])
def test_hostile_names_are_refused_in_values_and_in_bytes(name: str) -> None:
    with pytest.raises(HostileNameError):
        make_tree([_file(name)])
    with pytest.raises(FormatError, match="hostile name"):
        decode_tree(_spelled([name, "file", 1, HEX]))


@pytest.mark.parametrize(
    "mode", ["120000", "160000", "4755", "100644", "link", "FILE", "", None, 0, 420, True, ["file"], {"file": 1}]
)
def test_links_devices_and_other_modes_are_refused(mode: Any) -> None:
    with pytest.raises(FormatError, match="mode"):
        decode_tree(_spelled(["a", mode, 1, HEX]))


@pytest.mark.parametrize("size_bytes", [-1, 2**63, True, None, "1", [1], 1.0])
def test_sizes_are_integers_of_63_bits(size_bytes: Any) -> None:
    with pytest.raises(FormatError):
        decode_tree(_spelled(["a", "file", size_bytes, HEX]))


def test_sizes_may_reach_63_bits_together_and_no_further() -> None:
    half = 2**62
    decoded = decode_tree(_spelled(["a", "file", half, HEX], ["b", "file", half - 1, HEX]))
    assert decoded.size_bytes == 2**63 - 1
    with pytest.raises(FormatError, match="overflow"):
        decode_tree(_spelled(["a", "file", half, HEX], ["b", "file", half, HEX]))


@pytest.mark.parametrize(
    "row",
    [[], ["a"], ["a", "file", 1], ["a", "file", 1, HEX, 0], "a", None, 5, {"name": "a"}, ["a", "file", 1, HEX.upper()]]
    + [["a", "file", 1, wrong] for wrong in ("", HEX[:-1], HEX + "0", None, 0, [HEX], {HEX: 1})]
    + [[wrong, "file", 1, HEX] for wrong in (None, 1, True, ["a"], {"a": 1})],
    ids=lambda row: repr(row)[:30],
)
def test_rows_of_another_shape_are_refused(row: Any) -> None:
    with pytest.raises(FormatError):
        decode_tree(_spelled(row))


def test_unsorted_entries_are_refused() -> None:
    with pytest.raises(FormatError, match="sorted"):
        decode_tree(_spelled(["b", "file", 1, HEX], ["a", "file", 1, HEX]))


def test_a_folder_has_a_largest_number_of_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "MAX_ENTRIES", 2)
    value = make_tree([_file("a"), _file("b")])
    assert decode_tree(encode_tree(value)) == value
    with pytest.raises(InvalidInputError, match="limit"):
        make_tree([_file("a"), _file("b"), _file("c")])
    with pytest.raises(FormatError, match="at most 2"):
        decode_tree(_spelled(*([name, "file", 1, HEX] for name in "abc")))


def test_a_tree_too_large_to_be_read_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    value = make_tree(_file(f"file-{number}") for number in range(20))
    monkeypatch.setattr(canonical, "MAX_METADATA_BYTES", len(encode_tree(value)))
    assert decode_tree(encode_tree(value)) == value
    with pytest.raises(LimitError):
        encode_tree(make_tree([*value.entries, _file("one-more")]))
