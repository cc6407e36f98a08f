"""What was seen of a log: kept whole or not at all, and never in the way."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.model.ids import EntryId
from cas_registry.worktree.sightings import Seen, Sighting, forget_seen, read_seen, write_seen

FIRST, LATER = Sighting(3, EntryId(b"\1" * 32), 17), Sighting(5, EntryId(b"\2" * 32), 18)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "fraud.json"
    assert read_seen(path) is None
    write_seen(path, Seen(LATER, FIRST))
    assert read_seen(path) == Seen(LATER, FIRST)
    assert os.listdir(path.parent) == ["fraud.json"]
    forget_seen(path)
    assert read_seen(path) is None
    forget_seen(path)


def test_a_place_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    write_seen(tmp_path / "file" / "fraud.json", Seen(FIRST, FIRST))
    write_seen(Path("/proc/nowhere/fraud.json"), Seen(FIRST, FIRST))
    (tmp_path / "folder.json").mkdir()
    write_seen(tmp_path / "folder.json", Seen(FIRST, FIRST))
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.json"]
    assert read_seen(tmp_path / "folder.json") is None


DAMAGE = {
    "nothing": b"",
    "half": b'{"last": {"n": 3',
    "a list": b"[]",
    "a number": b"7",
    "no entries": b"{}",
    "entries that are none": b'{"last": 1, "followed": 2}',
    "no UTF-8": b"\xff\xfe",
    "deep": b"[" * 4000,
}


@pytest.mark.parametrize("data", DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_nothing_seen(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "fraud.json"
    path.write_bytes(data)
    assert read_seen(path) is None


@pytest.mark.parametrize(
    "change",
    [{"n": 0}, {"n": True}, {"n": "3"}, {"n": 6}, {"id": "xy"}, {"id": None}, {"time": -1}, {"time": 10**30}, {"time": 1.5}],
)
def test_numbers_that_make_no_sense_are_nothing_seen(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "fraud.json"
    write_seen(path, Seen(LATER, FIRST))
    value = json.loads(path.read_text())
    value["followed"].update(change)
    path.write_text(json.dumps(value))
    assert read_seen(path) is None


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_nothing(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "fraud.json"
    path.write_bytes(data)
    assert read_seen(path) is None
