"""Format 1 a second time, made from docs/format.md alone: reads and writes a registry in a folder, without cas_registry.

It is what another implementer would write first: slow, plain, strict where the page says that a reader checks, and with the simplest
of the writer's choices (one pack, one root map, every chunk raw, one chunk a file).
"""

from __future__ import annotations

import json
import os
import struct
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import zstandard
from blake3 import blake3

Chunk = tuple[Any, ...]  # pack, offset, stored, raw, codec, chunk id, length of the pack, element, base
Files = Mapping[str, tuple[str, bytes]]  # path -> mode ("file" or "exec") and bytes; folders: "tree" and b""


# Reading


def read_format(root: Path) -> dict[str, Any]:
    value = _json(_unseal((root / "format").read_bytes(), "format"), "format")
    assert (value["format"], value["encryption"]) == (1, "none")
    return value


def log_folder(root: Path, log: str) -> Path:
    """Where the entries of a log are: `"catalogue"`, a model's name, or `"release:"` and a release's."""
    if log.startswith("release:"):
        return root / "releases" / log.removeprefix("release:")
    return root / "catalogue" if log == "catalogue" else root / "refs" / log


def read_log(root: Path, model: str) -> list[dict[str, Any]]:
    """All entries of a log, the chain of hashes checked."""
    registry = read_format(root)["registry"]
    folder = log_folder(root, model)
    entries: list[dict[str, Any]] = []
    previous = None
    while (path := folder / f"{len(entries) + 1:010d}").exists():
        body = _unseal(path.read_bytes(), "entry")
        value = _json(body, "entry")
        place = (value["registry"], value["log"], value["n"], value["prev"])
        assert place == (registry, model, len(entries) + 1, previous)
        previous = _derived(body, "entry")
        entries.append(value)
    return entries


def read_refs(root: Path, entry: Mapping[str, Any]) -> dict[str, dict[str, list[Any]]]:
    """The ref table that an entry leaves."""
    refs = entry["refs"]
    if isinstance(refs, str):
        return _json(_named(root, "trees", refs, "refs"), "refs")["table"]
    return refs


def read_remap(root: Path, entry: Mapping[str, Any]) -> dict[int, str | None]:
    """The maps of repacked versions, None for retired ones, by the number of the entry that introduced each, as an entry leaves them."""
    if entry["remap"] is None:
        return {}
    rows = _json(_named(root, "trees", entry["remap"], "remap"), "remap")["maps"]
    assert [at for at, _ in rows] == sorted({at for at, _ in rows})
    assert 0 < rows[0][0] <= rows[-1][0] < entry["n"]
    return dict(rows)


def read_notes(root: Path, model: str) -> list[dict[str, Any]]:
    """The entries of a model's log that are notes, as each entry counts them."""
    found: list[dict[str, Any]] = []
    known: set[str] = set()
    for entry in read_log(root, model):
        known |= {row[1] for section in read_refs(root, entry).values() for row in section.values() if len(row) > 1}
        known |= {entry["commit"]} - {None}
        assert (entry["op"] == "note") == (entry["note"] is not None)
        if note := entry["note"]:
            assert note.keys() == {"commit", "labels", "metrics", "tag", "approved"}
            assert note["commit"] in known
            assert (note["tag"] is None) == (note["approved"] is None)
            found.append(entry)
        assert entry["notes"] == len(found)
    return found


def read_said(root: Path, model: str, commit: str) -> dict[str, dict[Any, Any]]:
    """What is said of a version by now: its commit's labels and metrics with those of notes over them, and the last word of each person and tag."""
    body = _json(_named(root, "commits", commit, "commit"), "commit")
    said: dict[str, dict[Any, Any]] = {"labels": dict(body["labels"]), "metrics": dict(body["metrics"]), "words": {}}
    for entry in read_notes(root, model):
        note = entry["note"]
        if note["commit"] == commit:
            said["labels"] |= note["labels"]
            said["metrics"] |= note["metrics"]
            said["words"] |= {(entry["who"], note["tag"]): note["approved"]} if note["tag"] else {}
    said["labels"] = {name: value for name, value in said["labels"].items() if value is not None}
    return said


def read_rules(root: Path, model: str, tag: str) -> dict[str, dict[str, Any]]:
    """The rules of a tag by the patterns that match its name: a model's own in place of one of all models with the same pattern."""
    rules = read_log(root, "catalogue")[-1]["rules"] or {}
    found = {**rules.get("*", {}), **rules.get(model, {})}
    assert all(rule.keys() == {"who", "approvals", "approvers", "when", "checks", "after"} for rule in found.values())
    return {pattern: rule for pattern, rule in found.items() if _matches(pattern, tag)}


def _matches(pattern: str, tag: str) -> bool:
    first, *others = pattern.split("*", 1)
    if not others:
        return tag == pattern
    return tag.startswith(first) and any(_matches(others[0], tag[at:]) for at in range(len(first), len(tag) + 1))


def read_release(root: Path, name: str) -> dict[str, list[Any]]:
    """The version of each model that a release names last, as a row of a ref table: with the map that the model's log has for it."""
    catalogue = read_log(root, "catalogue")
    assert catalogue[-1]["releases"][name][0] == "live"
    found: dict[str, list[Any]] = {}
    for model, (commit, at, number, tree) in read_log(root, f"release:{name}")[-1]["release"].items():
        log = read_log(root, model)
        entry = log[at - 1]
        assert (entry["commit"], entry["n"], entry["versions"], entry["tree"]) == (commit, at, number, tree)
        root_map = read_remap(root, log[-1]).get(at, entry["map"])
        assert root_map is not None, "retired"
        found[model] = [at, commit, at, number, tree, root_map]
    return found


def read_version(root: Path, row: list[Any]) -> dict[str, tuple[str, bytes]]:
    """Every file and folder of the version in a row of a ref table, all bytes verified."""
    _, commit, at, number, tree, root_map = row
    assert _json(_named(root, "commits", commit, "commit"), "commit")["tree"] == tree
    assert at >= number >= 1
    maps = [Map(root, root_map)]
    found: dict[str, tuple[str, bytes]] = {}
    for path, mode, size, identity, folder in _walk(root, tree, ""):
        if mode == "tree" or size == 0:
            found[path] = (mode, b"")
            continue
        chunks = maps[0].chunks(identity)
        if chunks is None:
            name, length = maps[0].references.get((1, identity)) or maps[0].references[2, folder]
            referenced = Map(root, name)
            assert referenced.length == length
            chunks = referenced.chunks(identity)
        assert chunks is not None
        data = b"".join(read_chunk(root, *chunk) for chunk in chunks)
        assert len(data) == size
        assert blake3(data).hexdigest() == identity
        found[path] = (mode, data)
    return found


def _walk(root: Path, tree: str, prefix: str) -> Iterator[tuple[str, str, int, str, str]]:
    entries = _json(_named(root, "trees", tree, "tree"), "tree")["entries"]
    assert [name for name, *_ in entries] == sorted({name for name, *_ in entries})
    for name, mode, size, identity in entries:
        yield prefix + name, mode, size, identity, tree
        if mode == "tree":
            below = list(_walk(root, identity, f"{prefix}{name}/"))
            assert size == sum(item[2] for item in below if item[1] != "tree")
            yield from below


class Map:
    def __init__(self, root: Path, name: str) -> None:
        data = (root / "maps" / name).read_bytes()
        assert blake3(data).hexdigest() == name
        magic, _, *counts = struct.unpack_from("<8s16s8I", data)
        packs, placements, files, chunks, trees, references, indexes, attached = counts
        assert magic == b"CASMAPS\x01"
        self.length = len(data)
        position = 56
        tables = []
        for layout, count in (
            ("<32sQ", packs),
            ("<32sIIIIBBHII", placements),
            ("<32sQIIB3x", files),
            ("<I", chunks),
            ("<32sI", trees),
            ("<BB6x32s32sQ", references),
            ("<32sI", indexes),
        ):
            size = struct.calcsize(layout) * count
            tables.append(list(struct.iter_unpack(layout, data[position : position + size])))
            position += size
        assert position + attached == len(data)
        self._packs, self._placements, self._files, self._chunks, trees_table, _, indexes_table = tables
        self.trees: dict[str, bytes] = {}
        self.indexes: dict[str, Any] = {}
        for digest, length in trees_table:
            self.trees[digest.hex()] = data[position : position + length]
            assert length == 0 or _derived(self.trees[digest.hex()], "tree") == digest.hex()
            position += length
        for digest, length in indexes_table:
            body = zstandard.ZstdDecompressor().decompress(data[position : position + length])
            self.indexes[digest.hex()] = _json(body, "tensors")
            position += length
        assert position == len(data)
        self.references = {(covers, key.hex()): (map_name.hex(), length) for covers, _, key, map_name, length in tables[5]}
        self.marks = {key.hex(): mark for _, mark, key, _, _ in tables[5] if mark} | {
            row[0].hex(): row[4] for row in self._files
        }
        assert set(self.marks.values()) <= {0, 1, 2, 3, 4}

    def chunks(self, file: str) -> list[Chunk] | None:
        """The chunks of a file, or None without a row."""
        for digest, size, first, count, _ in self._files:
            if digest.hex() == file:
                found = [self._chunk(number) for (number,) in self._chunks[first : first + count]]
                assert sum(chunk[3] for chunk in found) == size
                return found
        return None

    def _chunk(self, number: int) -> Chunk:
        digest, pack, offset, stored, raw, codec, element, _, base, _ = self._placements[number]
        assert (codec == 3) == (base != 0xFFFFFFFF)
        name, length = self._packs[pack]
        under = self._chunk(base) if codec == 3 else None
        assert under is None or under[4] != 3
        return name.hex(), offset, stored, raw, codec, digest.hex(), length, element, under


WIDTHS = dict(enumerate((1, 1, 1, 1, 1, 2, 2, 4, 4, 8, 8, 2, 2, 4, 8, 4, 8, 1, 1, 1, 1, 1)))
F16, BF16, F32 = 11, 12, 13


def planes(data: bytes, raw: int, width: int) -> tuple[list[int], bytes]:
    """The elements, and the bytes after the last."""
    count, rest = divmod(raw, width)
    values = [0] * count
    position = 4 * width
    for number, length in enumerate(struct.unpack_from(f"<{width}I", data)):
        plane = data[position : position + length]
        position += length
        if length not in {0, count}:
            assert zstandard.frame_content_size(plane) == count
            plane = zstandard.ZstdDecompressor().decompress(plane)
        for place, byte in enumerate(plane):
            values[place] |= byte << 8 * number
    tail = data[position : position + rest]
    padding = data[position + rest :]
    assert len(padding) == max(0, -(-raw // 1000) - position - rest)
    assert not any(padding)
    return values, tail


def predict(base: bytes, element: int, wanted: int, count: int) -> list[int]:
    width = WIDTHS[element]
    found = [int.from_bytes(base[at : at + width], "little") for at in range(0, len(base) // width * width, width)]
    if (element, wanted) == (F32, BF16):
        found = [(value + 0x7FFF + (value >> 16 & 1)) % 2**32 >> 16 for value in found]
    else:
        assert element == wanted, "the other conversions are left to the next reader"
    return (found + [0] * count)[:count]


def undo_delta(data: bytes, raw: int, element: int, base: bytes, base_element: int) -> bytes:
    width = WIDTHS[element]
    folded, tail = planes(data, raw, width)
    predicted = predict(base, base_element, element, len(folded))
    values = [((z >> 1) ^ -(z & 1)) + p & 2 ** (8 * width) - 1 for z, p in zip(folded, predicted, strict=True)]
    return b"".join(value.to_bytes(width, "little") for value in values) + tail


def read_chunk(
    root: Path,
    pack: str,
    offset: int,
    stored: int,
    raw: int,
    codec: int,
    chunk: str,
    length: int,
    element: int,
    base: Chunk | None,
) -> bytes:
    path = root / "packs" / pack
    assert path.stat().st_size == length
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read(stored)
    assert len(data) == stored
    if codec == 1:
        assert zstandard.frame_content_size(data) == raw
        data = zstandard.ZstdDecompressor().decompress(data)
    elif codec == 2:
        values, tail = planes(data, raw, WIDTHS[element])
        data = b"".join(value.to_bytes(WIDTHS[element], "little") for value in values) + tail
    elif codec == 3:
        assert base is not None
        data = undo_delta(data, raw, element, read_chunk(root, *base), base[7])
    else:
        assert codec == 0
    assert len(data) == raw
    assert blake3(data).hexdigest() == chunk
    return data


def read_pack(data: bytes) -> tuple[list[tuple[Any, ...]], dict[str, tuple[int, dict[int, str]]]]:
    """A pack's chunk rows (with the base's id for its number), and its recipes: file id -> number of chunks and the ids by position."""
    digest, length, rows, recipes, base_count, magic = struct.unpack("<32sIIII8s", data[-56:])
    footer = data[-56 - length : -56]
    assert (data[:8], magic) == (b"CASPACK\x01", b"KCAPSAC\x01")
    assert blake3(footer).digest() == digest
    position = rows * 52
    bases = [footer[position + 32 * number : position + 32 * (number + 1)].hex() for number in range(base_count)]
    chunks = [
        (*row[:7], bases[row[7]] if row[4] == 3 else None) for row in struct.iter_unpack("<32sIIIBBHI", footer[:position])
    ]
    position += base_count * 32
    found: dict[str, tuple[int, dict[int, str]]] = {}
    for _ in range(recipes):
        file, _, total, first, held = struct.unpack_from("<32sQIII", footer, position)
        position += 52
        ids = found.setdefault(file.hex(), (total, {}))[1]
        for number in range(first, first + held):
            ids[number] = footer[position : position + 32].hex()
            position += 32
    assert position == length
    return chunks, found


def _named(root: Path, area: str, identity: str, kind: str) -> bytes:
    data = (root / area / identity).read_bytes()
    assert _derived(data, kind) == identity
    return data


def _unseal(data: bytes, kind: str) -> bytes:
    body = data[65:]
    assert data[:65] == _derived(body, kind).encode() + b"\n"
    return body


def _json(data: bytes, kind: str) -> dict[str, Any]:
    value = json.loads(data)
    assert canonical(value) == data
    assert (value["v"], value["kind"]) == (1, kind)
    return value


def canonical(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _derived(data: bytes, kind: str) -> str:
    return blake3(data, derive_key_context=f"cas_registry v1 {kind}").hexdigest()


# Writing


def write_registry(root: Path, model: str, files: Files, *, time_ms: int) -> None:
    """A registry with one model, one version on `main` and a tag `prod` at it."""
    registry = os.urandom(16).hex()
    body = {
        "v": 1, "kind": "format", "format": 1, "registry": registry, "created": time_ms, "pack_bytes": 32 * 1024**2,
        "chunking": {"algorithm": "fastcdc-2020", "min": 16384, "avg": 65536, "max": 262144, "elements": 262144},
        "encryption": "none", "writers": "shared",
    }  # fmt: skip
    common = {
        "v": 1,
        "kind": "entry",
        "registry": registry,
        "op": "set",
        "gc_seen": 0,
        "gc_settled": 0,
        "time": time_ms,
        "who": "book",
    }
    nothing = {
        "refs": None, "models": None, "format": None, "commit": None, "tree": None, "map": None, "remap": None, "keep": None, "stats": None,
        "note": None, "notes": 0, "rules": None, "releases": None, "release": None,
    }  # fmt: skip
    catalogue = {**common, **nothing, "log": "catalogue", "versions": 0, "why": ""}
    first = _append(root, {**catalogue, "n": 1, "prev": None, "models": {}, "format": canonical(body).decode()})
    _write(root / "format", sealed(body, "format"))

    trees: dict[str, bytes] = {}
    tree, _ = _add_tree(files, "", trees)
    pack, placements = _make_pack([data for mode, data in files.values() if mode != "tree" and data])
    root_map = _make_map(pack, placements, trees)
    _write(root / "packs" / blake3(pack).hexdigest(), pack)
    _write(root / "maps" / blake3(root_map).hexdigest(), root_map)
    for identity, data in trees.items():
        _write(root / "trees" / identity, data)
    commit = canonical(
        {
            "v": 1, "kind": "commit", "tree": tree, "parents": [], "author": "book", "time": time_ms, "message": "by the book",
            "params": {"lr": {"float": "1e-05"}}, "metrics": {}, "labels": {}, "framework": {}, "packages": {},
            "environment": {}, "code": {}, "inputs": [], "schema": None, "log": model, "position": 0,
        }
    )  # fmt: skip
    introduced = {"commit": _derived(commit, "commit"), "tree": tree, "map": blake3(root_map).hexdigest()}
    _write(root / "commits" / introduced["commit"], commit)
    row = [1, introduced["commit"], 1, 1, tree, introduced["map"]]
    _append(root, {**catalogue, "n": 2, "prev": first, "models": {model: ["live", 2]}})
    entry = {**common, **nothing, "log": model, "versions": 1, "why": "by the book"}
    first = _append(root, {**entry, **introduced, "n": 1, "prev": None, "refs": {"branches": {"main": row}, "tags": {}}})
    _append(root, {**entry, "n": 2, "prev": first, "refs": {"branches": {"main": row}, "tags": {"prod": [2, *row[1:]]}}})


def _append(root: Path, entry: dict[str, Any]) -> str:
    folder = log_folder(root, entry["log"])
    data = sealed({**entry, "nonce": os.urandom(16).hex()}, "entry")
    _write(folder / f"{entry['n']:010d}", data)
    return data[:64].decode()


def sealed(body: object, kind: str) -> bytes:
    data = canonical(body)
    return _derived(data, kind).encode() + b"\n" + data


def _add_tree(files: Files, prefix: str, trees: dict[str, bytes]) -> tuple[str, int]:
    """The id and size of the folder whose paths start with `prefix`; it and all below it go into `trees`."""
    rows: dict[str, list[Any]] = {}
    for path, (mode, data) in files.items():
        name, below, _ = path.removeprefix(prefix).partition("/")
        assert unicodedata.is_normalized("NFC", name)
        if not path.startswith(prefix) or name in rows:
            continue
        if below or mode == "tree":
            identity, size = _add_tree(files, f"{prefix}{name}/", trees)
            rows[name] = [name, "tree", size, identity]
        else:
            rows[name] = [name, mode, len(data), blake3(data).hexdigest()]
    data = canonical({"v": 1, "kind": "tree", "entries": [rows[name] for name in sorted(rows)]})
    trees[_derived(data, "tree")] = data
    return _derived(data, "tree"), sum(row[2] for row in rows.values())


def _make_pack(contents: list[bytes]) -> tuple[bytes, dict[bytes, tuple[int, int]]]:
    """A pack of one raw chunk a file, and where each chunk lies."""
    data = struct.pack("<8s16s8x", b"CASPACK\x01", os.urandom(16))
    placements: dict[bytes, tuple[int, int]] = {}
    for content in contents:
        digest = blake3(content).digest()
        if digest not in placements:
            placements[digest] = (len(data), len(content))
            data += content
    footer = b"".join(
        struct.pack("<32sIIIBBHI", digest, offset, size, size, 0, 0, 0, 0xFFFFFFFF)
        for digest, (offset, size) in placements.items()
    )
    for digest, (_, size) in placements.items():
        footer += struct.pack("<32sQIII", digest, size, 1, 0, 1) + digest
    count = len(placements)
    return data + footer + struct.pack(
        "<32sIIII8s", blake3(footer).digest(), len(footer), count, count, 0, b"KCAPSAC\x01"
    ), placements


def _make_map(pack: bytes, placements: Mapping[bytes, tuple[int, int]], trees: Mapping[str, bytes]) -> bytes:
    digests = sorted(placements)
    count = len(digests)
    parts = [struct.pack("<8s16s8I", b"CASMAPS\x01", os.urandom(16), 1, count, count, count, len(trees), 0, 0, 0)]
    parts.append(struct.pack("<32sQ", blake3(pack).digest(), len(pack)))
    for digest in digests:
        offset, size = placements[digest]
        parts.append(struct.pack("<32sIIIIBBHII", digest, 0, offset, size, size, 0, 0, 0, 0xFFFFFFFF, 0))
    for number, digest in enumerate(digests):
        parts.append(struct.pack("<32sQIIB3x", digest, placements[digest][1], number, 1, 0))
    parts += [struct.pack("<I", number) for number in range(count)]
    parts += [bytes.fromhex(identity) + bytes(4) for identity in sorted(trees)]
    return b"".join(parts)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(data)
