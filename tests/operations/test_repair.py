"""Whatever is damaged: a repair gives back every byte that can be had, names what cannot, and changes nothing else."""

import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from cas_registry.backends import Backend
from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import AccessError, BackendError, ConflictError, OutcomeUnknownError, RegistryError
from cas_registry.model import entry as entries
from cas_registry.model.entry import Operation
from cas_registry.model.packs import decode_pack
from cas_registry.model.placement import Codec
from cas_registry.operations.findings import Severity
from cas_registry.operations.progress import NoProgress
from cas_registry.operations.repair import RepairReport, RepairRequest, repair_registry
from cas_registry.operations.version_files import VersionFiles, list_files
from cas_registry.registry import Registry, registry_over
from cas_registry.store import log
from cas_registry.store.log import Log
from tests.operations.test_deltas import fp32
from tests.support.faulty import Fault, FaultKind, FaultyBackend
from tests.support.folders import KIB, File, Folder, make_bytes, write_folder
from tests.support.simulated import HookedBackend, make_registry, make_world, memory_with, objects_of

ROW = "T21"

CHUNK = 4 * KIB
Contents = dict[str, dict[str, bytes]]


@pytest.fixture(autouse=True, scope="module")
def _small_borders():
    with pytest.MonkeyPatch.context() as patch:
        for module in ("placing", "repack_writing", "version_files", "repair_maps"):
            patch.setattr(f"cas_registry.operations.{module}.BIG_FILE_BYTES", 6 * KIB)
        for module in ("placing", "repack_writing", "repair_maps"):
            patch.setattr(f"cas_registry.operations.{module}.INLINE_BYTES", 600)
        patch.setattr("cas_registry.operations.placing.ATTACHED_TREE_BYTES", 500)
        patch.setattr("cas_registry.store.refs.MAX_INLINE_TABLE_BYTES", 900)
        patch.setattr(Log.__init__, "__kwdefaults__", {"sleep": lambda _: None})
        patch.setattr(log, "APPEND_DEADLINE_S", 0.05)
        yield


@dataclass(frozen=True)
class Sample:
    """A registry of two models; what its versions hold, and folders that hold the same."""

    objects: dict[str, bytes]
    contents: Contents
    folders: list[Path]

    def copy(self) -> MemoryBackend:
        return memory_with(self.objects, "registry")


def _weights(step: int) -> bytes:
    rng = np.random.default_rng(7)
    start, drift = rng.standard_normal(3000) * 0.05, rng.standard_normal(3000) * 1e-5
    return fp32({"w": (start + drift * step).astype(np.float32), "b": np.full(200, step, np.float32)})


def _folders() -> list[Folder]:
    noise = make_bytes(1, 40 * KIB)
    common: dict[str, File | None] = {
        "run.sh": File(b"#!/bin/sh\n", executable=True),
        "empty": File(b""),
        "vocab/noise.bin": File(noise),
        **{f"vocab/deep/{number}.txt": File(make_bytes(number + 50, 700)) for number in range(8)},
    }
    return [
        {
            **common,
            "model.safetensors": File(_weights(step)),
            "config.json": File(f'{{"step": {step}}}'.encode()),
            **({"late.bin": File(noise[: 20 * KIB] + make_bytes(9, 9 * KIB))} if step else {}),
        }
        for step in range(3)
    ]


def _build(tmp_path: Path, chunk_bytes: int = CHUNK) -> Sample:
    store = MemoryBackend("registry")
    registry = make_registry(store, chunk_bytes=chunk_bytes)
    places = [write_folder(tmp_path / f"v{number}", folder) for number, folder in enumerate(_folders())]
    for number, place in enumerate(places):
        registry.model("m").commit(place, message=f"step {number}", tags=[f"r{number}"])
    registry.model("other").commit(write_folder(tmp_path / "other", {"own.txt": File(b"another model")}))
    return Sample(objects_of(store), _contents(store), [*places, tmp_path / "other"])


@pytest.fixture(scope="module")
def sample(_small_borders: None, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return _build(tmp_path_factory.mktemp("repair"))


def _open(store: Backend) -> Registry:
    return registry_over(store, make_world(None))


def _contents(store: Backend) -> Contents:
    """Every version of every model that can be listed, with the bytes of its files; an unreadable file as nothing."""
    found: Contents = {}
    registry = _open(store)
    for name in registry.model_names():
        model = registry.model(name)
        for record in model.log():
            found[f"{name}@{record.id.short}"] = files = {}
            for file in model.files(record.id.hex):
                with contextlib.suppress(RegistryError):
                    files[file.path] = model.read_bytes(record.id.hex, file.path)
    return found


def _repair(store: Backend, *sources: Path | str, read_data: float = 1, dry_run: bool = False) -> RepairReport:
    request = RepairRequest("mechanic", 5, [str(place) for place in sources], read_data=read_data, dry_run=dry_run)
    return repair_registry(store, request, progress=NoProgress())


def _is_hint(key: str) -> bool:
    return key.startswith("files/") or key.endswith("/HEAD")


def _kept(before: dict[str, bytes], after: dict[str, bytes]) -> bool:
    """Whether all that was there is there as it was, but for hints and for bytes that did not match their name."""
    return all(
        after.get(key) == data or _is_hint(key) or after.get(f"quarantine/{key}") == data for key, data in before.items()
    )


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_the_sample_has_deltas_and_spilled_tables_and_maps_of_every_kind(sample: Sample) -> None:
    placements = [
        row for key, data in sample.objects.items() if key.startswith("packs/") for row in decode_pack(data).placements
    ]
    assert any(row.codec is Codec.DELTA for row in placements)
    assert sum(1 for key in sample.objects if key.startswith("maps/")) >= 6
    refs = [entries.decode_entry(data)[1].refs for key, data in sample.objects.items() if key.startswith("refs/m/0")]
    assert any(not isinstance(table, entries.RefTable) for table in refs)
    assert _repair(sample.copy()).actions == ()


def test_all_maps_deleted_come_back_from_packs(sample: Sample) -> None:
    store = sample.copy()
    for key in [key for key in sample.objects if key.startswith("maps/")]:
        store.delete(key)
    report = _repair(store)
    assert report.check.exit_code == 0
    assert _open(store).fsck(read_data=True).exit_code == 0
    assert _contents(store) == sample.contents
    assert _repair(store).actions == ()
    model = _open(store).model("m")
    assert [tensor.name for tensor in model.tensors("r1", "model.safetensors")] == ["b", "w"] or model.tensors(
        "r1", "model.safetensors"
    )


@pytest.mark.parametrize("damage", ["missing", "flipped", "cut"])
def test_damage_to_any_object_is_repaired_or_named_and_nothing_else_changes(sample: Sample, damage: str) -> None:
    rng = random.Random(damage)
    whole = 0
    for key, data in sample.objects.items():
        if _is_hint(key):
            continue
        store = sample.copy()
        if damage == "missing":
            store.delete(key)
        else:
            store.put(key, _flipped(data, rng.randrange(len(data))) if damage == "flipped" else data[: len(data) // 2])
        before = objects_of(store)
        report = _repair(store)
        assert _kept(before, objects_of(store)), key
        again = _repair(store)
        assert again.actions == (), (key, again.actions)
        assert again.exit_code == report.exit_code, key
        lost = {name for finding in report.check.findings if finding.severity is Severity.LOST for name in finding.versions}
        if report.exit_code == 0:
            whole += 1
            assert _contents(store) == sample.contents, key
        else:
            assert report.exit_code == 5, (key, report.check.findings)
            assert any(finding.key == key for finding in report.check.findings), key
        if report.exit_code == 5 and not key.startswith(("refs/", "catalogue/", "commits/", "trees/")):
            now = _contents(store)
            assert {name for name in sample.contents if now[name] != sample.contents[name]} == lost, key
    assert whole >= 8


@pytest.mark.parametrize("damage", ["missing", "flipped"])
def test_a_folder_gives_back_packs_and_trees(sample: Sample, damage: str) -> None:
    for key, data in sample.objects.items():
        if key.startswith(("packs/", "maps/", "trees/")):
            store = sample.copy()
            if damage == "missing":
                store.delete(key)
            else:
                store.put(key, _flipped(data, len(data) // 3))
            report = _repair(store, *sample.folders)
            if _is_table(data):
                continue
            assert report.exit_code == 0, (key, report.check.findings)
            assert _contents(store) == sample.contents, key


def test_folders_give_back_everything_when_packs_and_maps_are_all_gone(sample: Sample) -> None:
    store = sample.copy()
    for key in sample.objects:
        if key.startswith(("packs/", "maps/")):
            store.delete(key)
    report = _repair(store, *sample.folders)
    assert report.exit_code == 0, report.check.findings
    assert _contents(store) == sample.contents


@pytest.mark.parametrize("chunk_bytes", [CHUNK, 16 * KIB])
def test_another_registry_gives_back_what_it_has(sample: Sample, tmp_path: Path, chunk_bytes: int) -> None:
    elsewhere = _into_folder(_build(tmp_path, chunk_bytes).objects, tmp_path / "elsewhere")
    for key in (key for key in sample.objects if key.startswith("packs/")):
        store = sample.copy()
        store.delete(key)
        report = _repair(store, elsewhere)
        assert report.exit_code == 0, (key, report.check.findings)
        assert _contents(store) == sample.contents
        assert any(str(elsewhere) in action.done for action in report.actions)


def test_a_mirror_gives_back_every_object_named_by_its_content(sample: Sample, tmp_path: Path) -> None:
    mirror = _into_folder(sample.objects, tmp_path / "mirror")
    store = sample.copy()
    gone = [key for key in sample.objects if key.startswith(("commits/", "trees/", "maps/"))]
    for key in gone[::2]:
        store.delete(key)
    for key in gone[1::2]:
        store.put(key, b"noise")
    report = _repair(store, mirror)
    assert report.exit_code == 0, report.check.findings
    assert {action.key for action in report.actions} == set(gone)
    after = objects_of(store)
    assert {key: after[key] for key in sample.objects} == sample.objects
    assert {key for key in after if key.startswith("quarantine/")} == {f"quarantine/{key}" for key in gone[1::2]}


def test_what_a_damaged_pack_still_holds_is_saved_and_only_the_rest_is_fetched(sample: Sample) -> None:
    key, data = max(((k, d) for k, d in sample.objects.items() if k.startswith("packs/")), key=lambda item: len(item[1]))
    placement = next(row for row in decode_pack(data).placements if row.codec is Codec.RAW)
    store = sample.copy()
    store.put(key, _flipped(data, placement.offset + 5))
    lost = _repair(store, dry_run=True)
    assert lost.exit_code == 5
    report = _repair(store, *sample.folders)
    (stored,) = [action.done for action in report.actions if action.key == "packs/"]
    assert f"from damaged packs and 1 from {sample.folders[0]}" in stored
    assert report.exit_code == 0
    assert store.get(key, length=len(data)) != data
    assert _contents(store) == sample.contents


def test_a_part_that_cannot_be_had_does_not_keep_the_rest_from_coming_back(sample: Sample, tmp_path: Path) -> None:
    """A pack is gone; a folder has some of the files that it held."""
    store = sample.copy()
    key = max((key for key in sample.objects if key.startswith("packs/")), key=lambda key: len(sample.objects[key]))
    store.delete(key)
    partial = write_folder(tmp_path / "partial", {"x": File(sample.contents[next(iter(sample.contents))]["vocab/noise.bin"])})
    report = _repair(store, partial)
    assert report.exit_code == 5
    now = _contents(store)
    assert all(
        files["vocab/noise.bin"] == sample.contents[name]["vocab/noise.bin"] for name, files in now.items() if "m@" in name
    )
    assert _repair(store, partial).actions == ()
    assert _repair(store, *sample.folders).exit_code == 0
    assert _contents(store) == sample.contents


def test_deltas_are_kept_where_their_base_comes_back(sample: Sample) -> None:
    store = sample.copy()
    bases = {
        row.base for key, data in sample.objects.items() if key.startswith("packs/") for row in decode_pack(data).placements
    } - {None}
    home = next(
        key for key, data in sample.objects.items()
        if key.startswith("packs/") and any(row.chunk in bases for row in decode_pack(data).placements)
    )  # fmt: skip
    store.delete(home)
    assert _repair(store, *sample.folders).exit_code == 0
    assert _contents(store) == sample.contents
    model = _open(store).model("m")
    version = model.resolve("r2")
    files = VersionFiles(model._stores.objects, version.map)
    rows = [files.chunks(file.entry, file.folder) for file in list_files(model._stores.objects, version.tree)[0]]
    assert any(located.base for row in rows for located in row)


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(sample: Sample) -> None:
    store = sample.copy()
    for key in [key for key in sample.objects if key.startswith("maps/")]:
        store.delete(key)
    store.delete("format")
    before = objects_of(store)
    rehearsed = _repair(store, dry_run=True)
    assert objects_of(store) == before
    assert rehearsed.dry_run
    assert rehearsed.exit_code == 1
    done = _repair(store)
    assert [action.versions for action in done.actions] == [action.versions for action in rehearsed.actions]
    assert done.exit_code == 0


@pytest.mark.parametrize("damage", [None, b"noise"])
def test_the_format_comes_back(sample: Sample, damage: bytes | None) -> None:
    store = sample.copy()
    store.delete("format")
    if damage:
        store.put("format", damage)
    assert [action.key for action in _repair(store).actions] == ["format"]
    assert store.get("format", length=10_000) == sample.objects["format"]
    assert objects_of(store).get("quarantine/format") == damage


@pytest.mark.parametrize("hint", [b"1", b"noise", b"99999999999999", None])
def test_hints_that_are_behind_or_no_numbers_are_set(sample: Sample, hint: bytes | None) -> None:
    store = sample.copy()
    for key in ("refs/m/HEAD", "catalogue/HEAD"):
        store.delete(key)
        if hint:
            store.put(key, hint)
    _repair(store)
    assert {key: objects_of(store)[key] for key in ("refs/m/HEAD", "catalogue/HEAD")} == {
        key: sample.objects[key] for key in ("refs/m/HEAD", "catalogue/HEAD")
    }


def test_a_hint_that_tells_of_lost_entries_stays_and_its_log_is_not_written_to(sample: Sample) -> None:
    store = sample.copy()
    last = max(key for key in sample.objects if key.startswith("refs/m/0"))
    store.delete(last)
    for key in [key for key in sample.objects if key.startswith("maps/")]:
        store.delete(key)
    report = _repair(store)
    assert report.exit_code == 5
    after = objects_of(store)
    assert last not in after
    assert after["refs/m/HEAD"] == sample.objects["refs/m/HEAD"]
    assert _open(store).model("other").read_bytes("main", "own.txt") == b"another model"


@pytest.mark.parametrize("seed", range(10))
def test_any_damage_at_once_is_repaired_step_by_step_as_sources_turn_up(sample: Sample, seed: int) -> None:
    """What could be read can be read after each step; with all folders everything comes back, as far as trees and logs are whole."""
    rng = random.Random(seed)
    store = sample.copy()
    for key, data in sample.objects.items():
        if key.startswith(("packs/", "maps/")) and rng.random() < 0.6:
            if rng.random() < 0.5:
                store.delete(key)
            else:
                store.put(key, _flipped(data, rng.randrange(len(data))))
    if rng.random() < 0.3:
        store.delete("format")
    codes = []
    readable: Contents = {}
    for sources in ([], sample.folders[:1], sample.folders):
        before = objects_of(store)
        report = _repair(store, *sources)
        assert _kept(before, objects_of(store))
        assert _repair(store, *sources).actions == ()
        now = _contents(store)
        for name, files in readable.items():
            assert files.items() <= now[name].items()
        readable = now
        lost = {name for finding in report.check.findings if finding.severity is Severity.LOST for name in finding.versions}
        assert {name for name in sample.contents if now[name] != sample.contents[name]} == lost
        codes.append(report.exit_code)
    assert codes[-1] == 0
    assert readable == sample.contents
    assert _open(store).fsck(read_data=True).exit_code == 0


# what became of versions


def _remapped(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> MemoryBackend:
    for name in ("WORTH_BYTES", "WORTH_SHARE"):
        monkeypatch.setattr(f"cas_registry.operations.repack.{name}", 0)
    store = sample.copy()
    assert _open(store).model("m").repack(level=19).remapped
    return store


def _tables(store: MemoryBackend) -> list[str]:
    return [key for key, data in objects_of(store).items() if b'"kind":"remap"' in data]


def test_a_lost_remap_table_is_replaced_where_the_maps_of_before_are_whole(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = _remapped(sample, monkeypatch)
    (table,) = _tables(store)
    store.delete(table)
    assert [finding.key for finding in _open(store).fsck().findings if finding.severity is Severity.REPAIRABLE] == [table]
    report = _repair(store)
    assert report.exit_code == 0, report.check.findings
    assert _contents(store) == sample.contents
    assert _repair(store).actions == ()


def test_a_lost_remap_table_is_lost_where_the_maps_of_before_are_not(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    store = _remapped(sample, monkeypatch)
    new = objects_of(store).keys() - sample.objects.keys()
    for key in [*_tables(store), *(key for key in new if key.startswith("packs/"))]:
        store.delete(key)
    for key in sample.objects:
        if key.startswith(("packs/", "maps/")):
            store.delete(key)
    found = {finding.key: finding.severity for finding in _open(store).fsck().findings}
    assert found[next(key for key in found if key.startswith("trees/"))] is Severity.LOST


def test_a_lost_table_that_retired_versions_is_lost_and_brings_none_back(sample: Sample) -> None:
    store = sample.copy()
    model = _open(store).model("m")
    model.delete_tag("r0")
    gone = model.resolve("main~2").commit
    model.retire(gone.hex)
    (table,) = _tables(store)
    data = store.get(table, length=10_000)
    store.delete(table)
    report = _repair(store)
    assert report.exit_code == 5
    assert {finding.key for finding in report.check.findings if finding.severity is Severity.LOST} == {table}
    assert report.actions == ()
    store.put(table, data)
    with pytest.raises(RegistryError, match="retired"):
        model.read_bytes(gone.hex, "config.json")


def test_retired_versions_stay_retired_and_what_only_they_needed_is_not_missed(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = _remapped(sample, monkeypatch)
    model = _open(store).model("m")
    model.delete_tag("r0")
    gone = model.resolve("main~2").commit
    model.retire(gone.hex)
    garbage = _open(store).gc(grace_s=0).garbage_objects
    assert _open(store).gc(delete=True, grace_s=0, trash_window_s=0, confirmed=garbage).deleted_objects == garbage
    for key in [key for key in objects_of(store) if key.startswith("maps/")]:
        store.delete(key)
    report = _repair(store)
    assert report.exit_code == 0, report.check.findings
    with pytest.raises(RegistryError, match="retired"):
        model.read_bytes(gone.hex, "config.json")
    assert not any(gone.short in label for action in report.actions for label in action.versions)


def test_packs_that_a_collection_threatens_are_not_used(sample: Sample) -> None:
    """The only other place of a chunk is a pack that is to be deleted: the chunk counts as lost."""
    store = sample.copy()
    registry = _open(store)
    for key in [key for key in objects_of(store) if key.startswith("files/")]:
        store.delete(key)
    registry.model("twin").commit(sample.folders[2])
    registry.retire("twin")
    registry.gc(delete=True, grace_s=0)
    packs = {key for key in sample.objects if key.startswith("packs/")}
    for key in packs:
        store.delete(key)
    report = _repair(store)
    assert report.exit_code == 5
    assert not any(action.key.startswith("refs/m/") for action in report.actions)
    undo = registry.undo_gc(1)
    assert undo.objects
    assert any(action.key.startswith("refs/m/") for action in _repair(store).actions)
    version = registry.model("m").resolve("r2")
    assert (
        registry.model("m").read_bytes("r2", "vocab/noise.bin")
        == sample.contents[f"m@{version.commit.short}"]["vocab/noise.bin"]
    )


def test_a_collection_that_begins_meanwhile_stops_the_repair_or_spares_what_it_wrote(sample: Sample) -> None:
    store = sample.copy()
    for key in [key for key in sample.objects if key.startswith("maps/")]:
        store.delete(key)
    begun = False

    def begin(method: str, key: str) -> None:
        nonlocal begun
        if method == "create" and key.startswith("refs/m/") and not begun:
            begun = True
            with contextlib.suppress(RegistryError):
                _open(store).gc(delete=True, grace_s=0, confirmed=10**6)

    with contextlib.suppress(ConflictError):
        _repair(HookedBackend(store, begin))
    assert begun
    assert _repair(store).exit_code == 0
    assert _contents(store) == sample.contents


# whoever is in the way


def _hurt(sample: Sample) -> MemoryBackend:
    """Maps, a tree, a pack and the format are gone, another pack is damaged."""
    store = sample.copy()
    packs = sorted(key for key in sample.objects if key.startswith("packs/"))
    store.delete(packs[0])
    store.put(packs[1], _flipped(sample.objects[packs[1]], 40))
    for key in sorted(key for key in sample.objects if key.startswith("maps/"))[::2]:
        store.delete(key)
    store.delete("format")
    tree = next(key for key, data in sample.objects.items() if key.startswith("trees/") and not _is_table(data))
    store.put(tree, b"noise")
    return store


def test_a_failure_at_any_write_harms_nothing_and_a_rerun_succeeds(sample: Sample) -> None:
    calls: list[tuple[str, str]] = []
    _repair(HookedBackend(_hurt(sample), lambda method, key: calls.append((method, key))), *sample.folders)
    failed = 0
    for method in ("create", "put", "flush"):
        for call in range(sum(1 for name, _ in calls if name == method)):
            store = _hurt(sample)
            before = objects_of(store)
            try:  # stopped after this write is stopped before the next
                _repair(FaultyBackend(store, [Fault(method, FaultKind.FAIL_AFTER, call=call)]), *sample.folders)
            except (BackendError, OutcomeUnknownError):
                failed += 1
            assert _kept(before, objects_of(store)), (method, call)
            assert _repair(store, *sample.folders).exit_code == 0, (method, call)
            assert _contents(store) == sample.contents
    assert failed > 10


def test_without_rights_to_write_nothing_changes(sample: Sample) -> None:
    for prefix in ("", "packs/", "refs/"):
        store = _hurt(sample)
        before = objects_of(store)
        faults = [Fault(method, FaultKind.DENY, key=prefix, times=None) for method in ("create", "put")]
        with pytest.raises(AccessError):
            _repair(FaultyBackend(store, faults), *sample.folders)
        assert _kept(before, objects_of(store))
        assert bool(prefix) or objects_of(store) == before


def test_commits_and_another_repair_meanwhile_are_followed(sample: Sample, tmp_path: Path) -> None:
    work = write_folder(tmp_path / "work", {"new.txt": File(b"meanwhile")})
    pack = max((key for key in sample.objects if key.startswith("packs/")), key=lambda key: len(sample.objects[key]))
    without_pack = memory_with({key: data for key, data in sample.objects.items() if key != pack})
    for store, interfere in (
        (without_pack, lambda store: _open(store).model("m").commit(work)),
        (_hurt(sample), lambda store: _open(store).model("m").tag("r0", "r1")),
        (_hurt(sample), lambda store: _repair(store, *sample.folders)),
    ):
        met = False

        def meanwhile(method: str, key: str, act: Callable[[Backend], object] = interfere, store: Backend = store) -> None:
            nonlocal met
            if method == "create" and key.startswith("refs/m/") and not met:
                met = True
                act(store)

        report = _repair(HookedBackend(store, meanwhile), *sample.folders)
        assert met
        assert report.exit_code == 0, [(action.key, action.done) for action in report.actions if action.key.startswith("refs")]
        now = _contents(store)
        assert {name: now[name] for name in sample.contents} == sample.contents
        operations = [entries.decode_entry(data)[1].op for key, data in objects_of(store).items() if key.startswith("refs/m/0")]
        assert operations.count(Operation.REMAP) == 1


def _is_table(data: bytes) -> bool:
    return b'"kind":"refs"' in data or b'"kind":"remap"' in data


def _into_folder(objects: dict[str, bytes], folder: Path) -> Path:
    for key, data in objects.items():
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder
