"""A small registry with every kind of object, and how each object is read by itself."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.model.ids import CommitId, MapName, RefTableId, RemapId, TreeId
from cas_registry.operations import collection, placing
from cas_registry.store import refs
from cas_registry.store.epochs import Epochs
from cas_registry.store.log import Log
from cas_registry.store.objects import ObjectStore
from cas_registry.store.stores import open_stores
from tests.support.folders import CHUNK_BYTES, KIB, File, Folder, make_bytes, write_folder
from tests.support.simulated import make_registry, objects_of

METADATA = ("format", "catalogue", "refs", "commits", "trees", "maps", "gc")
HINTS = ("HEAD",)


@dataclass(frozen=True)
class Sample:
    """`versions` are those that are alive, by `model@commit`; `kinds` says which object under `trees/` is what, `of_other` what the one
    version of model `other` brought with it, and `retired` what nobody but the retired version needs."""

    objects: dict[str, bytes]
    versions: dict[str, Folder]
    registry: str
    kinds: dict[str, str]
    of_other: frozenset[str]
    retired: frozenset[str]

    def metadata(self) -> list[str]:
        """The keys of everything but packs and hints."""
        return [key for key in sorted(self.objects) if key.partition("/")[0] in METADATA and not key.endswith(HINTS)]

    def packs(self) -> list[str]:
        return [key for key in sorted(self.objects) if key.startswith("packs/")]

    def read(self, store: MemoryBackend, key: str) -> object:  # noqa: PLR0911 - one for each area
        """One object as whoever needs it reads it; IntegrityError where it is not what its name or its place says."""
        area, _, name = key.partition("/")
        objects = ObjectStore(store)
        match area:
            case "format":
                return open_stores(store).format
            case "catalogue":
                return Log(store, self.registry, "catalogue").read(int(name))
            case "refs":
                model, _, number = name.partition("/")
                return Log(store, self.registry, model).read(int(number))
            case "commits":
                return objects.read_commit(CommitId.parse(name))
            case "maps":
                return objects.read_map(MapName.parse(name))[1]
            case "gc":
                number, _, record = name.partition("/")
                epochs = Epochs(store, self.registry)
                if record in ("condemned", "delete"):
                    return (epochs.condemned if record == "condemned" else epochs.deletions)([int(number)])
                return epochs.read([int(number)])
            case _:
                match self.kinds[key]:
                    case "tree":
                        return objects.read_tree(TreeId.parse(name))
                    case "refs":
                        return objects.read_ref_table(RefTableId.parse(name))
                    case _:
                        return objects.read_remap_table(RemapId.parse(name))


def make_sample(folder: Path) -> Sample:
    """Two models; three versions of one of which the first is retired and collected; a spilled ref table, big and small files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(placing, "BIG_FILE_BYTES", 6 * KIB)
        patch.setattr(placing, "INLINE_BYTES", 300)
        patch.setattr(collection, "MAX_SHARE", 1.0)
        store = MemoryBackend("sample")
        registry = make_registry(store, chunk_bytes=CHUNK_BYTES)
        common = {
            "d/a.json": File(make_bytes(1, 700)),
            "d/b.json": File(make_bytes(2, 500)),
            "run.sh": File(b"#!/bin/sh\n", True),
        }
        contents: list[Folder] = [{**common, "w.bin": File(make_bytes(10 + number, 8 * KIB))} for number in range(3)]
        commits = []
        for number, content in enumerate(contents):
            patch.setattr(refs, "MAX_INLINE_TABLE_BYTES", 0 if number == 1 else 64 * KIB)
            commits.append(registry.model("m").commit(write_folder(folder / "work", content), message=f"{number}").commit.hex)
        before = objects_of(store).keys()
        first = registry.model("m").resolve("main~2")
        other: Folder = {"own.txt": File(make_bytes(30, 900))}
        commits.append(registry.model("other").commit(write_folder(folder / "other", other)).commit.hex)
        of_other = frozenset(objects_of(store).keys() - before)
        registry.model("m").tag("prod", "main~1")
        registry.model("m").retire("main~2", reason="old")
        registry.gc(delete=True, grace_s=0, trash_window_s=0)
    objects = objects_of(store)
    retired = frozenset({f"commits/{first.commit.hex}", f"trees/{first.tree.hex}"})
    versions = {f"m@{commits[1]}": contents[1], f"m@{commits[2]}": contents[2], f"other@{commits[3]}": other}
    kinds = {
        key: data.split(b'"kind":"', 1)[1].split(b'"')[0].decode() for key, data in objects.items() if key.startswith("trees/")
    }
    return Sample(objects, versions, registry.id, kinds, of_other, retired)
