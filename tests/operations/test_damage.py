"""No wrong byte: whatever happens to an object, every way of reading gives what was committed, or IntegrityError.

Each object of a small registry is flipped, cut, lengthened, emptied, replaced and removed in turn, and every way of reading is tried.
That every bit of every metadata object is covered is tested beside the stores.
"""

import io
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import IntegrityError, NotFoundError, RegistryError
from cas_registry.model.entry import RefKind, decode_entry, encode_entry
from cas_registry.model.ids import FileId, MapName
from cas_registry.model.maps import MapBuilder
from cas_registry.model.packs import HEADER_BYTES, decode_pack
from cas_registry.model.placement import Codec
from cas_registry.operations import placing
from cas_registry.registry import FileInfo, Model, Registry, registry_over
from tests.support.folders import CHUNK_BYTES, KIB, File, Folder, make_bytes, read_folder, write_folder
from tests.support.simulated import make_registry, make_world, memory_with, objects_of

Outcome = object
Damage = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True)
class Sample:
    """A registry with two models and three versions; `read` holds what every way of reading gives while all is well."""

    objects: dict[str, bytes]
    folders: dict[str, Folder]
    good: dict[str, Outcome]
    scratch: Path

    def after(self, objects: dict[str, bytes]) -> dict[str, Outcome]:
        return _read_everything(objects, list(self.folders), self.scratch)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    tmp_path = tmp_path_factory.mktemp("damage")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(placing, "BIG_FILE_BYTES", 12 * KIB)
        patch.setattr(placing, "INLINE_BYTES", 512)
        store = MemoryBackend("damage")
        registry = make_registry(store, make_world(tmp_path / "cache"), chunk_bytes=CHUNK_BYTES)
        one: dict[str, File | None] = {f"data/{n}.json": File(make_bytes(n, 2000)) for n in range(5)}
        one |= {
            "model.bin": File(make_bytes(100, 30 * KIB)),
            "zeros.bin": File(bytes(9000)),
            "run.sh": File(b"#!/bin/sh\n", True),
        }
        two = {**one, "model.bin": File(make_bytes(100, 20 * KIB) + make_bytes(101, 12 * KIB)), "notes.md": File(b"second")}
        first = registry.model("m").commit(write_folder(tmp_path / "one", one), metrics={"auc": 0.9})
        second = registry.model("m").commit(write_folder(tmp_path / "two", two), tags=["prod"], metrics={"auc": 0.95})
        registry.model("m").tag("old", "main~1", reason="for comparison")
        third = registry.model("other").commit(write_folder(tmp_path / "three", {"own.txt": File(b"another model")}))
    folders = {
        f"m@{first.commit.hex}": one,
        f"m@{second.commit.hex}": two,
        f"other@{third.commit.hex}": {"own.txt": File(b"another model")},
    }
    objects = objects_of(store)
    good = _read_everything(objects, list(folders), tmp_path / "out")
    assert not any(isinstance(outcome, RegistryError) for outcome in good.values())
    for revision, folder in folders.items():
        assert good[f"checkout {revision}"] == folder
    return Sample(objects, folders, good, tmp_path / "out")


def _flip(position: float) -> Damage:
    def flip(data: bytes, rng: random.Random) -> bytes:
        at = min(int(len(data) * position), len(data) - 1)
        return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]

    return flip


DAMAGES: dict[str, Damage] = {
    **{f"flip at {position:.0%}": _flip(position) for position in (0, 0.1, 0.4, 0.8, 1)},
    "cut to nothing": lambda _data, _rng: b"",
    "cut to one byte": lambda data, _rng: data[:1],
    "cut in half": lambda data, _rng: data[: len(data) // 2],
    "cut by one byte": lambda data, _rng: data[:-1],
    "one byte longer": lambda data, _rng: data + b"\n",
    "twice": lambda data, _rng: data + data,
    "zeros": lambda data, _rng: bytes(len(data)),
    "other noise of one length": lambda data, rng: data[:32] + rng.randbytes(max(len(data) - 32, 0)),
}


def _is_hint(key: str) -> bool:
    return key.startswith("files/") or key.endswith("/HEAD")


def test_the_sample_has_every_kind_of_object(sample: Sample) -> None:
    kinds = {"format", "catalogue", "commits", "trees", "maps", "packs", "files", "refs"}
    assert {key.partition("/")[0] for key in sample.objects} == kinds
    assert sum(1 for key in sample.objects if key.startswith("maps/")) >= 5


@pytest.mark.parametrize("damage", list(DAMAGES))
def test_damage_to_any_object_gives_right_bytes_or_an_integrity_error(sample: Sample, damage: str) -> None:
    rng = random.Random(damage)
    noticed = 0
    for key, data in sample.objects.items():
        damaged = DAMAGES[damage](data, rng)
        if damaged == data:
            continue
        after = sample.after({**sample.objects, key: damaged})
        for way, outcome in after.items():
            if isinstance(outcome, RegistryError):
                assert isinstance(outcome, IntegrityError), (key, way, outcome)
                assert not _is_hint(key), (key, way, outcome)
                noticed += 1
            else:
                assert outcome == sample.good[way], (key, way)
    assert noticed > 20


def test_a_missing_object_gives_right_bytes_or_an_error_that_names_it(sample: Sample) -> None:
    newest = {max(key for key in sample.objects if key.startswith(log)) for log in ("refs/m/0", "refs/other/0", "catalogue/0")}
    for key in sample.objects.keys() - newest:
        after = sample.after({name: data for name, data in sample.objects.items() if name != key})
        errors = {way: outcome for way, outcome in after.items() if isinstance(outcome, RegistryError)}
        for way, outcome in after.items():
            if key == "format":
                assert isinstance(outcome, NotFoundError)
            elif way not in errors:
                assert outcome == sample.good[way], (key, way)
            else:
                assert isinstance(outcome, IntegrityError), (key, way, outcome)
                assert key in outcome.message, (key, way, outcome)
        assert bool(errors) is not _is_hint(key) or key.startswith(("refs/m/0", "catalogue/0")), key


def test_without_its_newest_entry_a_log_gives_the_state_before_it_and_never_a_mixture(sample: Sample) -> None:
    after = sample.after({key: data for key, data in sample.objects.items() if key != "refs/m/0000000003"})
    for way, outcome in after.items():
        if way in {"refs m", "history m", "models"}:  # what entry 3 moved has not moved
            assert outcome != sample.good[way], way
        else:
            assert outcome == sample.good[way], way
    after = sample.after({key: data for key, data in sample.objects.items() if key != "refs/other/0000000001"})
    for way, outcome in after.items():
        if "other" in way:
            assert isinstance(outcome, NotFoundError) or way == "refs other", (way, outcome)


def test_a_version_that_does_not_use_the_damaged_object_still_comes_out(sample: Sample) -> None:
    """Of three versions, damage to one's own pack touches that one alone."""
    for key in (key for key in sample.objects if key.startswith("packs/")):
        after = sample.after({name: data for name, data in sample.objects.items() if name != key})
        whole = [revision for revision, folder in sample.folders.items() if after[f"checkout {revision}"] == folder]
        assert len(whole) in {1, 2}, key


def test_damage_between_the_chunks_of_a_pack_harms_no_reader_and_damage_in_a_chunk_always_shows(sample: Sample) -> None:
    rng = random.Random(5)
    for key, data in sample.objects.items():
        if not key.startswith("packs/"):
            continue
        footer = decode_pack(data)
        ends = [placement.offset + placement.stored_bytes for placement in footer.placements]
        raw = [placement for placement in footer.placements if placement.codec is Codec.RAW]  # every bit of these matters
        inside = [rng.randrange(placement.offset, placement.offset + placement.stored_bytes) for placement in raw]
        outside = [0, HEADER_BYTES - 1, max(ends), len(data) - 1, *(rng.randrange(max(ends), len(data)) for _ in range(5))]
        for at in outside:
            assert sample.after({**sample.objects, key: _flipped(data, at, rng)}) == sample.good
        for at in inside:
            after = sample.after({**sample.objects, key: _flipped(data, at, rng)})
            assert any(isinstance(after[f"checkout {revision}"], IntegrityError) for revision in sample.folders)
            assert all(outcome == sample.good[way] or isinstance(outcome, IntegrityError) for way, outcome in after.items())


def test_a_chunk_in_another_ones_place_is_noticed(sample: Sample) -> None:
    swaps = 0
    for key, data in sample.objects.items():
        if not key.startswith("packs/"):
            continue
        placements = decode_pack(data).placements
        for left in placements:
            for right in placements:
                if left.offset < right.offset and left.stored_bytes == right.stored_bytes:
                    swaps += 1
                    spoiled = bytearray(data)
                    spoiled[left.offset : left.offset + left.stored_bytes] = data[
                        right.offset : right.offset + right.stored_bytes
                    ]
                    after = sample.after({**sample.objects, key: bytes(spoiled)})
                    assert any(isinstance(outcome, IntegrityError) for outcome in after.values())
                    assert all(
                        outcome == sample.good[way] or isinstance(outcome, IntegrityError) for way, outcome in after.items()
                    )
    assert swaps > 3


@pytest.mark.parametrize("area", ["commits/", "trees/", "maps/", "packs/"])
def test_an_object_in_another_ones_place_is_noticed(sample: Sample, area: str) -> None:
    keys = sorted(key for key in sample.objects if key.startswith(area))
    for key, other in zip(keys, [*keys[1:], keys[0]], strict=True):
        after = sample.after({**sample.objects, key: sample.objects[other]})
        assert any(isinstance(outcome, IntegrityError) for outcome in after.values())
        assert all(outcome == sample.good[way] or isinstance(outcome, IntegrityError) for way, outcome in after.items())


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("refs/m/0000000003", "refs/m/0000000002"),
        ("refs/m/0000000002", "refs/m/0000000003"),
        ("refs/m/0000000004", "refs/m/0000000003"),
        ("refs/m/0000000001", "refs/other/0000000001"),
        ("refs/other/0000000001", "refs/m/0000000001"),
        ("refs/other/0000000002", "refs/m/0000000002"),
        ("catalogue/0000000003", "refs/m/0000000003"),
        ("refs/m/0000000003", "catalogue/0000000003"),
    ],
)
def test_log_entries_swapped_or_replayed_are_noticed(sample: Sample, place: str, source: str) -> None:
    after = sample.after({**sample.objects, place: sample.objects[source]})
    assert any(isinstance(outcome, IntegrityError) and place in outcome.message for outcome in after.values())
    assert all(outcome == sample.good[way] or isinstance(outcome, IntegrityError) for way, outcome in after.items())


def test_the_log_of_another_registry_is_noticed(sample: Sample, tmp_path: Path) -> None:
    store = MemoryBackend("elsewhere")
    elsewhere = make_registry(store, make_world(None))
    elsewhere.model("m").commit(write_folder(tmp_path / "work", {"a": File(b"a")}))
    foreign = {key: data for key, data in objects_of(store).items() if not key.startswith(("format", "catalogue"))}
    after = sample.after({**sample.objects, **foreign})
    assert isinstance(after["refs m"], IntegrityError) or after["refs m"] == sample.good["refs m"]
    assert isinstance(sample.after({**foreign, "format": sample.objects["format"]})["refs m"], IntegrityError)


def test_a_map_that_names_whole_chunks_in_the_wrong_order_is_noticed_when_the_file_is_read_whole(
    sample: Sample, tmp_path: Path
) -> None:
    """A writer at fault, not a store: every id is right but that of the file."""
    revision, folder = next((revision, folder) for revision, folder in sample.folders.items() if revision.startswith("other"))
    data = make_bytes(3, 3 * CHUNK_BYTES)
    store = memory_with(sample.objects)
    model = registry_over(store, make_world(None)).model("other")
    model.commit(write_folder(tmp_path / "work", {**folder, "big.bin": File(data + bytes(20_000))}))
    _forge_last_entry(store, model, _with_chunks_reversed(model, FileId.of(data + bytes(20_000))))
    forged = registry_over(store, make_world(None)).model("other")
    assert forged.read_bytes("main", "own.txt") == b"another model"
    with pytest.raises(IntegrityError, match="the map is wrong"):
        forged.read_bytes("main", "big.bin")
    with pytest.raises(IntegrityError, match="the map is wrong"), forged.open("main", "big.bin") as file:
        file.read()
    with pytest.raises(IntegrityError, match="the map is wrong"):
        forged.checkout("main", tmp_path / "out")
    assert not (tmp_path / "out/big.bin").exists()
    assert forged.read_bytes(revision.removeprefix("other@"), "own.txt") == b"another model"


def _with_chunks_reversed(model: Model, wanted: FileId) -> MapName:
    root, _ = model._stores.objects.read_map(model.resolve("main").map)
    assert root.references == {}
    builder = MapBuilder(trees={digest: bytes(data) for digest, data in root.trees.items()})
    for digest, (size_bytes, *_) in root.files.items():
        chunks = root.file(digest)
        assert chunks is not None
        builder.add_file(FileId(digest), size_bytes, reversed(chunks) if digest == wanted.digest else chunks)
    return model._stores.objects.write_map(builder.encode(bytes(16))).name


def _forge_last_entry(store: MemoryBackend, model: Model, map_root: MapName) -> None:
    version = model.resolve("main")
    key = f"refs/{version.log}/{version.at:010}"
    _, entry = decode_entry(store.get(key, length=2**20))
    assert entry.refs is not None
    ref = entry.refs.branches["main"]
    table = entry.refs.with_ref(RefKind.BRANCH, "main", replace(ref, version=replace(ref.version, map=map_root)))
    store.put(key, encode_entry(replace(entry, map=map_root, refs=table)))


def _flipped(data: bytes, at: int, rng: random.Random) -> bytes:
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def _read_everything(objects: dict[str, bytes], revisions: list[str], scratch: Path) -> dict[str, Outcome]:
    """Every way of reading, by name: what it gave, or the error that it raised."""
    store = memory_with(objects)
    found: dict[str, Outcome] = {}

    def attempt(way: str, read: Callable[[Registry], Outcome]) -> None:
        try:
            found[way] = read(registry_over(store, make_world(None)))
        except RegistryError as error:
            found[way] = error

    attempt("models", lambda registry: [(row.model, row.versions, row.tags) for row in registry.models()])
    for name in ("m", "other"):
        attempt(f"refs {name}", lambda registry, name=name: (registry.model(name).branches(), registry.model(name).tags()))
        attempt(f"show {name}", lambda registry, name=name: registry.model(name).show("main"))
        attempt(f"log {name}", lambda registry, name=name: registry.model(name).log("main")[-1].commit)
    attempt("history m", lambda registry: registry.model("m").history(RefKind.TAG, "old"))
    attempt("diff", lambda registry: registry.model("m").diff(revisions[0], revisions[1]))
    for revision in revisions:
        attempt(f"files {revision}", lambda registry, revision=revision: _listed(registry.model("m").files(revision)))
        attempt(f"checkout {revision}", lambda registry, revision=revision: _checked_out(registry, revision, scratch))
        path = "own.txt" if revision.startswith("other") else "model.bin"
        attempt(f"read {revision}", lambda registry, where=(revision, path): registry.model("m").read_bytes(*where))
        attempt(f"open {revision}", lambda registry, where=(revision, path): _read_parts(registry, *where))
    assert objects_of(store) == objects
    return found


def _checked_out(registry: Registry, revision: str, scratch: Path) -> Folder:
    shutil.rmtree(scratch, ignore_errors=True)
    registry.model("m").checkout(revision, scratch, remember=False)
    return read_folder(scratch)


def _read_parts(registry: Registry, revision: str, path: str) -> list[bytes]:
    with registry.model("m").open(revision, path) as file:
        file.seek(-5000 if path == "model.bin" else -5, io.SEEK_END)
        end = file.read()
        file.seek(2)
        return [end, file.read(100)]


def _listed(files: list[FileInfo]) -> list[tuple[object, ...]]:
    """What trees tell of files. Their marks are told by maps, and without those nobody has looked: see test_marks.py."""
    return [(file.path, file.size_bytes, file.id, file.mode) for file in files]
