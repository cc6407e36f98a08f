"""Remap tables in a log: carried on, believed by readers only where they can be true, and checked by fsck."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import IntegrityError, InvalidInputError
from cas_registry.model.entry import CATALOGUE, Entry, Operation, decode_entry, encode_entry
from cas_registry.model.ids import MapName, RemapId
from cas_registry.model.remap import RemapTable
from cas_registry.registry import Model, Registry
from cas_registry.store.log import Recorded
from tests.support.folders import File, write_folder
from tests.support.simulated import make_registry


@pytest.fixture
def store() -> MemoryBackend:
    return MemoryBackend("remap")


@pytest.fixture
def registry(store: MemoryBackend, tmp_path: Path) -> Registry:
    """Three versions, each of which may be read by the first one's map or its own."""
    made = make_registry(store)
    for number in range(3):
        made.model("m").commit(write_folder(tmp_path / "work", {"a.txt": File(bytes([number]))}), message=str(number))
    return made


def _head(model: Model) -> Recorded:
    head = model._stores.log(model.name).head()
    assert head
    return head


def _append(model: Model, maps: dict[int, MapName], **changes: object) -> Entry:
    """An entry as a repack writes it (or would not)."""
    stores = model._stores
    refs = stores.refs(model.name)
    found = refs.head()
    assert found
    head, table = found
    identity = stores.objects.write_remap_table(RemapTable(maps))
    entry = refs.next_entry(head, table, registry=stores.format.registry, time_ms=1, who="me", why="repack")
    entry = replace(entry, op=Operation.REMAP, remap=identity, **changes)  # type: ignore[arg-type]
    assert refs.log.append(entry)
    refs.log.write_hint(entry.n)
    return entry


def _copy_of_map(model: Model, store: MemoryBackend, revision: str) -> MapName:
    """The same map under another name."""
    name = model.resolve(revision).map
    data = bytearray(store.get(f"maps/{name.hex}", length=1 << 20))
    data[8] ^= 1  # of the nonce
    return model._stores.objects.write_map(bytes(data)).name


def _problems(registry: Registry) -> list[tuple[str, str]]:
    return [(found.severity.value, found.problem) for found in registry.fsck().findings if found.severity != "note"]


def test_a_remapped_version_is_read_by_its_new_map_and_every_later_entry_says_so(
    store: MemoryBackend, registry: Registry, tmp_path: Path
) -> None:
    model = registry.model("m")
    name = _copy_of_map(model, store, "main~1")
    written = _append(model, {2: name})
    assert model.resolve("main~1").map == name
    assert model.resolve("main@{1}").map == name
    assert model.resolve(model.log()[1].id.hex).map == name
    assert model.resolve("main").map == _head(model).entry.refs.branches["main"].version.map  # type: ignore[union-attr]
    model.tag("prod", "main~1")
    model.commit(write_folder(tmp_path / "work", {"a.txt": File(b"more")}))
    model.delete_tag("prod")
    assert _head(model).entry.remap == written.remap
    assert model.resolve("main~2").map == name
    assert _problems(registry) == []


@pytest.mark.parametrize("at", [4, 5, 10**9])
def test_a_table_of_versions_to_come_is_refused(store: MemoryBackend, registry: Registry, at: int) -> None:
    model = registry.model("m")
    _append(model, {2: _copy_of_map(model, store, "main~1"), at: MapName(bytes(32))})
    with pytest.raises(IntegrityError, match="versions that come after"):
        model.resolve("main~1")
    model.resolve("main")
    assert any(severity == "lost" and "what are no versions" in problem for severity, problem in _problems(registry))


def test_a_lost_table_is_an_error_that_names_it_and_fsck_looks_at_the_maps_of_before(
    store: MemoryBackend, registry: Registry
) -> None:
    model = registry.model("m")
    entry = _append(model, {2: _copy_of_map(model, store, "main~1")})
    assert entry.remap
    store.delete(f"trees/{entry.remap.hex}")
    with pytest.raises(IntegrityError, match=f"trees/{entry.remap.hex} is missing"):
        model.resolve("main~1")
    assert model.read_bytes("main", "a.txt") == bytes([2])
    assert [severity for severity, _ in _problems(registry)] == ["repairable"]


def test_fsck_reads_versions_by_their_new_maps(store: MemoryBackend, registry: Registry) -> None:
    model = registry.model("m")
    old = model.resolve("main~1").map
    name = _copy_of_map(model, store, "main~1")
    _append(model, {2: name})
    store.delete(f"maps/{old.hex}")
    assert _problems(registry) == []
    store.delete(f"maps/{name.hex}")
    assert _problems(registry) == [("repairable", "missing; it can be rebuilt from packs")]


def test_fsck_tells_of_rows_with_another_map_than_the_table_gives(store: MemoryBackend, registry: Registry) -> None:
    model = registry.model("m")
    _append(model, {3: _copy_of_map(model, store, "main")})  # the row of main keeps the old one
    assert any("another tree or map" in problem for _, problem in _problems(registry))


def test_fsck_tells_of_an_entry_that_forgets_the_table_or_versions_of_it(store: MemoryBackend, registry: Registry) -> None:
    model = registry.model("m")
    name = _copy_of_map(model, store, "main~1")
    _append(model, {2: name})
    _append(model, {1: _copy_of_map(model, store, "main~2")})
    assert any("forgets versions" in problem for _, problem in _problems(registry))
    _append(model, {1: name, 2: name})
    stores = model._stores
    refs = stores.refs("m")
    head = _head(model)
    entry = refs.next_entry(head, refs.table(head), registry=stores.format.registry, time_ms=1, who="me", why="")
    assert refs.log.append(replace(entry, remap=None))
    assert any("no entry that may" in problem for _, problem in _problems(registry))


CHANGES: dict[str, Callable[[Entry], Entry]] = {
    "no table": lambda entry: replace(entry, remap=None),
    "a commit": lambda entry: replace(
        entry, commit=entry.refs.branches["main"].version.commit,  # type: ignore[union-attr]
        tree=entry.refs.branches["main"].version.tree, map=MapName(bytes(32)),  # type: ignore[union-attr]
    ),
    "of the catalogue": lambda entry: replace(entry, log=CATALOGUE, refs=None, models={}, op=Operation.SET),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_an_entry_that_remaps_and_cannot_is_refused(store: MemoryBackend, registry: Registry, what: str) -> None:
    model = registry.model("m")
    entry = _append(model, {2: _copy_of_map(model, store, "main~1")})
    assert decode_entry(encode_entry(entry))[1].remap == entry.remap
    assert isinstance(entry.remap, RemapId)
    with pytest.raises(InvalidInputError, match="remaps"):
        encode_entry(CHANGES[what](entry))
