"""T22: what a large file costs in memory, and a long log in requests."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

import cas_registry as reg
from cas_registry.backends.memory import MemoryBackend
from cas_registry.model.canonical import seal
from cas_registry.model.entry import Ref, RefTable, VersionRow, encode_entry
from cas_registry.model.ids import CommitId, EntryId
from cas_registry.registry import Model, registry_over
from cas_registry.store.layout import entry_key
from tests.reliability.matrix import Row
from tests.reliability.peak import peak_of
from tests.support.folders import MIB, File, write_folder
from tests.support.simulated import RoundTripBackend, make_registry, make_world

ROW = "T22"
BLOCK_BYTES = 64 * MIB
BLOCKS = 30  # 2 GB
FRESH_BLOCKS = 5  # incompressible and new; the others have a new stamp in every MiB, for the chunks around that
LIMIT_MIB = 300
VERSIONS = 100_000


def write_large_file(path: Path) -> int:
    """A file of 2 GB; returns its size."""
    chance = random.Random(22)
    stamped = bytearray()
    with path.open("wb") as file:
        for number in range(BLOCKS):
            if number < FRESH_BLOCKS:
                stamped = bytearray(chance.randbytes(BLOCK_BYTES))
            for offset in range(0, BLOCK_BYTES, MIB):
                stamped[offset : offset + 8] = number.to_bytes(8, "big")
            file.write(stamped)
    return BLOCKS * BLOCK_BYTES


def test_a_file_of_2_gb_goes_in_and_out_in_little_memory(matrix: Row, tmp_path: Path) -> None:
    reg.init(tmp_path / "registry")
    (tmp_path / "in").mkdir()
    size_bytes = write_large_file(tmp_path / "in" / "model.bin")
    for verb, folder in (("commit", "in"), ("checkout", "out")):
        peak = peak_of(verb, tmp_path / "registry", tmp_path / folder)
        assert peak.size_bytes == size_bytes
        assert 0 < peak.mib < LIMIT_MIB, verb
        matrix.count()
    for folder in ("in", "out"):
        (tmp_path / folder / "model.bin").unlink()


@pytest.fixture(scope="module")
def long_log(tmp_path_factory: pytest.TempPathFactory) -> MemoryBackend:
    """A model of 100,000 versions, all but the first made of its entry by putting other numbers and ids there; `prod` stands at the first."""
    store = MemoryBackend("long")
    model = make_registry(store, make_world()).model("m")
    model.commit(write_folder(tmp_path_factory.mktemp("long"), {"a": File(b"a")}), tags=["prod"])
    stores = model._stores
    found = stores.refs("m").head()
    assert found
    first, table = found
    entry = first.entry
    assert entry.tree
    assert entry.map
    number, commit, before = 7_777_777_777, CommitId.of(b"a place"), EntryId.of(b"a place")
    row = VersionRow(commit, number, number, entry.tree, entry.map)
    refs = RefTable({"main": Ref(row, number)}, table.tags)
    mould = encode_entry(replace(entry, n=number, prev=before, commit=commit, versions=number, refs=refs)).partition(b"\n")[2]
    previous = first.id.hex.encode()
    for n in range(2, VERSIONS + 1):
        body = mould.replace(b"%d" % number, b"%d" % n).replace(before.hex.encode(), previous)
        data = seal(body.replace(commit.hex.encode(), CommitId.of(b"%d" % n).hex.encode()), EntryId)
        store.create(entry_key("m", n), data)
        previous = data[:64]
    stores.log("m").write_hint(VERSIONS)
    return store


def _over(store: MemoryBackend) -> tuple[Model, RoundTripBackend]:
    counted = RoundTripBackend(store)
    model = registry_over(counted, make_world()).model("m")
    counted.reset()
    return model, counted


@pytest.mark.parametrize(("name", "number"), [("main", VERSIONS), ("prod", 1)])
def test_a_name_in_a_log_of_100_000_versions_is_resolved_by_three_requests(
    name: str, number: int, long_log: MemoryBackend, matrix: Row
) -> None:
    model, counted = _over(long_log)
    assert model.resolve(name).number == number
    assert counted.keys == [("get", "refs/m/HEAD"), ("get", entry_key("m", VERSIONS)), ("get", entry_key("m", VERSIONS + 1))]
    assert counted.round_trips == 2
    matrix.count()


def test_a_version_is_found_by_its_number_by_halving(long_log: MemoryBackend, matrix: Row) -> None:
    model, counted = _over(long_log)
    assert model.resolve("v54321").number == 54_321
    assert counted.round_trips <= 2 + 5, "a sixteenth of the rest each time"
    matrix.count()


def test_whoever_follows_a_log_of_100_000_versions_asks_one_request(long_log: MemoryBackend, matrix: Row) -> None:
    model, counted = _over(long_log)
    log = model._stores.log("m")
    head = log.head()
    counted.reset()
    assert log.follow(head) == head
    assert counted.keys == [("get", entry_key("m", VERSIONS + 1))]
    matrix.count()
