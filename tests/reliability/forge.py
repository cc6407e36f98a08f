"""Registries in which one thing is forged and everything round it is right: ids, seals, hashes, the chain of the log.

`Forge` starts from a valid registry in memory with one model and one version, and puts objects into it as no writer of this package
would. Its entry says that `main` stands at what was forged.
"""

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cas_registry.backends.memory import MemoryBackend
from cas_registry.model.canonical import seal
from cas_registry.model.ids import (
    ChunkId,
    CollectionId,
    CommitId,
    EntryId,
    FileId,
    FormatId,
    MapName,
    ObjectId,
    PackName,
    TreeId,
)
from cas_registry.model.maps import Located, MapBuilder, PackInfo
from cas_registry.model.packs import NONCE_BYTES, PackBuilder
from cas_registry.model.placement import Codec, Placement
from cas_registry.registry import registry_over
from cas_registry.store.layout import entry_key, hint_key, object_key
from tests.support.folders import File, make_bytes, write_folder
from tests.support.simulated import make_registry, make_world

MODEL = "m"
GOOD = {"good.txt": File(b"a good file\n"), "sub/noise.bin": File(make_bytes(7, 5000)), "zeros.bin": File(bytes(9000))}
NONCE = bytes(range(16))
NOTHING: Mapping[str, Any] = {}


def spelled(value: Any) -> bytes:
    """JSON as it is spelt here, whatever it says."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode("utf-8", "surrogatepass")


def row(name: str, data: bytes = b"", *, mode: str = "file", size: Any = None) -> list[Any]:
    """A row of a tree for a file of these bytes."""
    return [name, mode, len(data) if size is None else size, FileId.of(data).hex]


@dataclass
class Forge:
    """A registry to spoil. `good` is the commit of the valid version; `main` moves with `publish`, the tag `good` stays."""

    folder: Path
    store: MemoryBackend = field(default_factory=lambda: MemoryBackend("forged"))
    good: str = ""
    refs: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        model = make_registry(self.store, make_world()).model(MODEL)
        self.good = model.commit(write_folder(self.folder, GOOD), message="good", tags=["good"]).commit.hex
        self.refs = self.body(MODEL, 1)["refs"]

    def body(self, log: str, number: int) -> dict[str, Any]:
        """What an entry says."""
        return dict(json.loads(self.store.get(entry_key(log, number), length=2**21)[65:]))

    def put(self, kind: type[ObjectId], data: bytes) -> str:
        """An object under the id that its bytes have; returns the id in hex."""
        identity = kind.of(data)
        self.store.put(object_key(identity), data)  # type: ignore[arg-type]
        return identity.hex

    def tree(self, rows: Sequence[Any]) -> str:
        """A tree of these rows, in this order."""
        return self.put(TreeId, spelled({"v": 1, "kind": "tree", "entries": list(rows)}))

    def file(self, data: bytes, *, name: str = "f.bin", **placement: Any) -> None:
        """A version of one stored file; `placement` replaces what its map says of its only chunk, or (`stored`) the stored bytes."""
        stored, size = placement.pop("stored", data), placement.pop("size", None)
        info = self.pack(stored)
        there = {"offset": 32, "stored_bytes": len(stored), "raw_bytes": len(data), "codec": Codec.RAW} | placement
        builder = MapBuilder()
        builder.add_file(FileId.of(data), there["raw_bytes"], [Located(info, Placement(ChunkId.of(data), **there))])
        self.publish(
            self.tree([row(name, data, size=there["raw_bytes"] if size is None else size)]),
            self.put(MapName, builder.encode(NONCE)),
        )

    def pack(self, stored: bytes) -> PackInfo:
        """A pack of one chunk, valid in itself."""
        builder = PackBuilder(bytes(NONCE_BYTES))
        builder.add(ChunkId.of(stored).digest, stored, raw_bytes=len(stored), codec=Codec.RAW, element=0)
        data = bytes(builder.finish()[1])
        self.put(PackName, data)
        return PackInfo(PackName.of(data), len(data))

    def publish(self, tree: str, chunk_map: str | None = None, *, commit: str | None = None, **changed: Any) -> None:
        """Entry 2: a version of this tree on `main`. `changed` replaces fields of its commit."""
        chunk_map = chunk_map or self.put(MapName, MapBuilder().encode(NONCE))
        old = json.loads(self.store.get(f"commits/{self.good}", length=2**21))
        commit = commit or self.put(CommitId, spelled({**old, "tree": tree, "parents": [self.good], "position": 1, **changed}))
        refs = {**self.refs, "branches": {"main": [2, commit, 2, 2, tree, chunk_map]}}
        self.append(commit=commit, tree=tree, map=chunk_map, versions=2, refs=refs)

    def append(self, *, number: int = 2, log: str = MODEL, **fields: Any) -> None:
        """An entry after the last one of a log: as the one before it but for these fields, sealed."""
        before = self.store.get(entry_key(log, number - 1), length=2**21)
        body = {**json.loads(before[65:]), "n": number, "prev": EntryId.of(before[65:]).hex, "stats": None, **fields}
        self.store.put(entry_key(log, number), seal(spelled(body), EntryId))
        self.store.put(hint_key(log), str(number).encode())

    def catalogue(self, **fields: Any) -> None:
        """Another entry of the catalogue, with these fields."""
        self.append(
            log="catalogue", number=sum(info.key[-10:].isdigit() for info in self.store.list("catalogue/")) + 1, **fields
        )

    def note(
        self, *, number: int = 2, notes: int = 1, who: str = "mallory", entry: Mapping[str, Any] = NOTHING, **said: Any
    ) -> None:
        """Entry `number`: a note on the good version, unless `said` says otherwise. `entry` replaces fields of the entry."""
        note = {"commit": self.good, "labels": {}, "metrics": {}, "tag": None, "approved": None, **said}
        whole = {"op": "note", "note": note, "notes": notes, "who": who, "commit": None, "tree": None, "map": None}
        self.append(number=number, **{**whole, **entry})

    def release(self, rows: Any, **fields: Any) -> None:
        """A release `prod` with one entry, which names these rows `[commit, at, number, tree]` by model."""
        self.catalogue(releases={"prod": ["live", 3]})
        nothing = dict.fromkeys(("refs", "commit", "tree", "map", "stats"))
        body = {**self.body(MODEL, 1), **nothing, "log": "release:prod", "versions": 0, "release": rows, **fields}
        self.store.put(entry_key("release:prod", 1), seal(spelled(body), EntryId))
        self.store.put(hint_key("release:prod"), b"1")

    def format(self, **fields: Any) -> None:
        """Another `format`, sealed."""
        body = json.loads(self.store.get("format", length=2**16)[65:])
        self.store.put("format", seal(spelled({**body, **fields}), FormatId))

    def record(self, name: str, **fields: Any) -> None:
        """A record of collection 1 about all packs and maps that there are, sealed."""
        named = {area: sorted(info.key[len(area) + 1 :] for info in self.store.list(f"{area}/")) for area in ("maps", "packs")}
        body = {"v": 1, "kind": name, "registry": self.body(MODEL, 1)["registry"], "epoch": 1, "time": 1, "who": "mallory"}
        body |= {**named, "bytes": 1} if name in ("condemned", "delete") else {}
        self.store.put(f"gc/0000000001/{name}", seal(spelled(body | fields), CollectionId))


def rle_frame(size_bytes: int, *, window_log: int = 20) -> bytes:
    """A zstd frame of zeros that grows by a factor of 32,768: four bytes a block of 128 KiB."""
    blocks = [2**17] * (size_bytes // 2**17)
    parts = [
        struct.pack("<I", (number == len(blocks) - 1) | 1 << 1 | size << 3)[:3] + b"\0" for number, size in enumerate(blocks)
    ]
    return b"\x28\xb5\x2f\xfd" + bytes([0, (window_log - 10) << 3]) + b"".join(parts)


Build = Callable[[Forge], None]


def names(*hostile: str) -> list[Build]:
    """A registry a name, each with one file of that name."""
    return [lambda forge, name=name: forge.publish(forge.tree([row(name, b"hostile")])) for name in hostile]  # type: ignore[misc]


def trees(*versions: Sequence[Any]) -> list[Build]:
    return [lambda forge, rows=rows: forge.publish(forge.tree(rows)) for rows in versions]  # type: ignore[misc]


def raw_trees(*bodies: bytes) -> list[Build]:
    return [lambda forge, body=body: forge.publish(forge.put(TreeId, body)) for body in bodies]  # type: ignore[misc]


def formats(*changes: Mapping[str, Any]) -> list[Build]:
    return [lambda forge, change=change: forge.format(**change) for change in changes]  # type: ignore[misc]


def entries(*changes: Mapping[str, Any]) -> list[Build]:
    return [lambda forge, change=change: forge.append(**change) for change in changes]  # type: ignore[misc]


def releases(*versions: Callable[[str, str], Mapping[str, Any]]) -> list[Build]:
    """A registry each, with a release of what is made of the good version's commit and tree; a model `other` has one version of its own."""

    def build(forge: Forge, make: Callable[[str, str], Mapping[str, Any]]) -> None:
        registry_over(forge.store, make_world()).model("other").commit(
            write_folder(forge.folder, {"o": File(b"other")}), capture=False
        )
        _, commit, _, _, tree, _ = forge.refs["branches"]["main"]
        forge.release(make(commit, tree))

    return [lambda forge, make=make: build(forge, make) for make in versions]  # type: ignore[misc]


def rules(*tags: Mapping[str, Mapping[str, Any]]) -> list[Build]:
    """A registry each, with these rules of tags of all models; what a rule does not say it does not ask for."""
    asked: dict[str, Any] = {"who": [], "approvals": 0, "approvers": [], "when": None, "checks": [], "after": []}
    return [
        lambda forge, of_tags=of_tags: forge.catalogue(rules={"*": {tag: {**asked, **rule} for tag, rule in of_tags.items()}})  # type: ignore[misc]
        for of_tags in tags
    ]


def notes(*said: Mapping[str, Any]) -> list[Build]:
    """A registry each, with a note on the good version that says this."""
    return [lambda forge, one=one: forge.note(**one) for one in said]  # type: ignore[misc]


def refs(*hostile: str) -> list[Build]:
    """A registry a name, with a branch of that name at the good version."""

    def build(forge: Forge, name: str) -> None:
        stands = forge.refs["branches"]["main"]
        forge.append(refs={**forge.refs, "branches": {"main": stands, name: stands}}, commit=None, tree=None, map=None)

    return [lambda forge, name=name: build(forge, name) for name in hostile]  # type: ignore[misc]


def maps(*changes: Callable[[bytearray], None], data: bytes = b"stored bytes" * 20) -> list[Build]:
    """A valid version of one file whose map is then changed and named anew."""

    def build(forge: Forge, change: Callable[[bytearray], None]) -> None:
        forge.file(data)
        body = forge.body(MODEL, 2)
        spoiled = bytearray(forge.store.get(f"maps/{body['map']}", length=2**21))
        change(spoiled)
        forge.publish(body["tree"], forge.put(MapName, bytes(spoiled)))

    return [lambda forge, change=change: build(forge, change) for change in changes]  # type: ignore[misc]
