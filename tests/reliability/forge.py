"""A valid registry in which one thing is forged, its ids and seals made right: what somebody who may write to the bucket can do.

What is forged is spelled as JSON here, not by the package's encoders, which would refuse it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cas_registry.backends.memory import MemoryBackend
from cas_registry.model.canonical import seal
from cas_registry.model.ids import CommitId, EntryId, FileId, FormatId, MapName, ObjectId, PackName, RefTableId, TreeId
from cas_registry.model.maps import MapBuilder, decode_map
from tests.support.folders import CHUNK_BYTES, KIB, File, make_bytes, write_folder
from tests.support.simulated import make_registry, make_world, memory_with, objects_of

MODEL = "m"
FILES = {"a.txt": b"first", "sub/b.txt": b"second", "weights.bin": make_bytes(7, 20 * KIB)}
_SEAL_BYTES = 65

Json = Any


def spell(value: Json) -> bytes:
    """Canonical JSON of anything, what no encoder of the package lets pass included."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


@dataclass
class Forge:
    """The objects of a registry of one model with one version, for forging the next."""

    objects: dict[str, bytes]

    @classmethod
    def new(cls, scratch: Path) -> "Forge":
        """A version of three files, named by `main` and by the tag `prod`."""
        store = MemoryBackend("forge")
        registry = make_registry(store, make_world(), chunk_bytes=CHUNK_BYTES)
        folder = write_folder(scratch / "source", {path: File(data) for path, data in FILES.items()})
        registry.model(MODEL).commit(folder, message="first", tags=["prod"])
        return cls(objects_of(store))

    def store(self) -> MemoryBackend:
        """The registry as it is now."""
        return memory_with(self.objects, "hostile")

    @property
    def last(self) -> int:
        """The number of the log's last entry."""
        return max(int(key[-10:]) for key in self.objects if key.startswith(f"refs/{MODEL}/0"))

    def entry_body(self, number: int | None = None) -> dict[str, Json]:
        """The fields of an entry, of the last one by default."""
        body: dict[str, Json] = json.loads(self.objects[self.entry_key(number or self.last)][_SEAL_BYTES:])
        return body

    @staticmethod
    def entry_key(number: int) -> str:
        return f"refs/{MODEL}/{number:010d}"

    @property
    def row(self) -> list[Json]:
        """Where `main` stands: moved, commit, at, number, tree, map."""
        return list(self.entry_body(1)["refs"]["branches"]["main"])

    def commit_body(self) -> dict[str, Json]:
        """The fields of the valid commit."""
        body: dict[str, Json] = json.loads(self.objects[f"commits/{self.row[1]}"])
        return body

    def tree_rows(self, identity: str | None = None) -> list[list[Json]]:
        """The entries of a folder of the valid version, of its root by default."""
        rows: list[list[Json]] = json.loads(self.objects[f"trees/{identity or self.row[4]}"])["entries"]
        return rows

    def file_row(self, name: Json, *, size: Json = 5, mode: Json = "file", identity: Json = None) -> list[Json]:
        """A tree's row of the file `a.txt` under another name."""
        return [name, mode, size, identity or FileId.of(FILES["a.txt"]).hex]

    def put(self, area: str, kind: type[ObjectId], data: bytes) -> str:
        """Bytes under their right id."""
        identity = kind.of(data).hex
        self.objects[f"{area}/{identity}"] = data
        return identity

    def tree(self, rows: Json) -> str:
        """A tree of these entries, whatever they are."""
        return self.raw_tree(spell({"v": 1, "kind": "tree", "entries": rows}))

    def raw_tree(self, data: bytes) -> str:
        return self.put("trees", TreeId, data)

    def builder(self) -> MapBuilder:
        """The rows of the valid root map without its trees, so that trees are read from their own objects."""
        root = decode_map(self.objects[f"maps/{self.row[5]}"])
        builder = MapBuilder()
        for digest, (size_bytes, _, _) in root.files.items():
            builder.add_file(FileId(digest), size_bytes, root.file(digest) or ())
        return builder

    def map(self, data: bytes | None = None) -> str:
        """A root map; by default one that holds what the valid one does."""
        return self.put("maps", MapName, self.builder().encode(b"forged map nonce") if data is None else data)

    def pack(self, data: bytes) -> PackName:
        return PackName.of(self.objects.setdefault(f"packs/{PackName.of(data).hex}", data))

    def version(self, tree: str | None = None, *, root: str | None = None, commit: str | None = None) -> None:
        """The next version on `main`: with this tree, this root map, this commit."""
        _, _, _, _, old_tree, _ = self.row
        tree = tree or old_tree
        if commit is None:
            commit = self.put(
                "commits",
                CommitId,
                spell({**self.commit_body(), "tree": tree, "parents": [self.row[1]], "position": self.last}),
            )
        number = self.last + 1
        root = root or self.map()
        body = self.entry_body()
        refs = {**body["refs"], "branches": {"main": [number, commit, number, body["versions"] + 1, tree, root]}}
        self.entry(refs=refs, commit=commit, tree=tree, map=root, versions=body["versions"] + 1)

    def entry(self, number: int | None = None, /, **changes: Json) -> None:
        """The next entry, or one under this number: the last one's fields with these changes, chained and sealed."""
        last = self.last
        body = self.entry_body(last)
        introduced = {"commit": None, "tree": None, "map": None, "stats": None, "op": "set"}
        fresh = {"n": number or last + 1, "prev": self.seal_of(last), "nonce": f"{last:032x}"}
        self.raw_entry(number or last + 1, spell({**body, **introduced, **fresh, **changes}))

    def raw_entry(self, number: int, body: bytes) -> None:
        self.objects[self.entry_key(number)] = seal(body, EntryId)
        self.objects[f"refs/{MODEL}/HEAD"] = str(number).encode()

    def seal_of(self, number: int) -> str:
        return self.objects[self.entry_key(number)][: _SEAL_BYTES - 1].decode()

    def format(self, **changes: Json) -> None:
        """The parameters of the registry with these changes."""
        body = json.loads(self.objects["format"][_SEAL_BYTES:])
        self.objects["format"] = seal(spell({**body, **changes}), FormatId)

    def ref_table(self, table: Json) -> str:
        return self.put("trees", RefTableId, spell({"v": 1, "kind": "refs", "table": table}))
