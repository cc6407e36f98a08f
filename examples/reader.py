"""Writes the files of a version into a folder, without cas_registry: the way out, should the program be lost.

    pip install blake3 numpy zstandard
    python reader.py REGISTRY_FOLDER MODEL REF DESTINATION

It follows docs/format.md alone. The registry is a folder (a bucket is copied into one first), REF is a branch, a tag, or `v3` for the
third version, and DESTINATION is a folder that is not there yet. Every hash is checked: those of the log's entries and their chain, ref
tables, commits, trees, maps, chunks and files. Nothing is written outside DESTINATION; what is in it after an error is no version.

It leaves out what guards against a hostile writer, or is of no use here: that JSON has its one spelling and no unknown fields; the grammar
of names; that tables are sorted, and lengths and sums right that no byte depends on; most limits on sizes, so that a forged registry may
take all memory; signatures, rules, notes, releases and collections; and what a damaged map or pack could be had from instead.
"""

import json
import struct
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from blake3 import blake3

RAW, ZSTD, PLANES, DELTA = range(4)  # codecs
BIG_FILE, FOLDER = 1, 2  # what a reference of a map covers
WIDTHS = (1, 1, 1, 1, 1, 2, 2, 4, 4, 8, 8, 2, 2, 4, 8, 4, 8, 1, 1, 1, 1, 1)  # bytes of an element, by its code
F16, BF16 = 11, 12
# Packs, placements, files, chunks, trees, references and tensor indexes of a map
TABLES = ("<32sQ", "<32sIIIIBBHII", "<32sQIIB3x", "<I", "<32sI", "<BB6x32s32sQ", "<32sI")


def check(holds: bool, what: object) -> None:  # noqa: FBT001 - a condition
    if not holds:
        sys.exit(f"{what} is damaged, or written by a newer version")


def derived(data: bytes, kind: str) -> str:
    return blake3(data, derive_key_context=f"cas_registry v1 {kind}").hexdigest()


def read_json(path: Path, kind: str, *, is_sealed: bool = False) -> tuple[str, dict[str, Any]]:
    """The id and the value of an object that is named by its id, or sealed with it."""
    data = path.read_bytes()
    identity, body = (data[:64].decode(), data[65:]) if is_sealed else (path.name, data)
    check(derived(body, kind) == identity, path)
    value = json.loads(body)
    check((value["v"], value["kind"]) == (1, kind), path)
    return identity, value


def find_version(registry: Path, model: str, ref: str) -> tuple[str, str]:
    """The root tree and the root map of a version, from the log of its model."""
    whole = read_json(registry / "format", "format", is_sealed=True)[1]
    check((whole["format"], whole["encryption"]) == (1, "none"), "format")
    previous, head, numbered = None, {"n": 0}, {}
    while (path := registry / "refs" / model / f"{head['n'] + 1:010d}").exists():
        place = (whole["registry"], model, head["n"] + 1, previous)
        previous, head = read_json(path, "entry", is_sealed=True)
        check((head["registry"], head["log"], head["n"], head["prev"]) == place, path)
        if head["commit"]:
            numbered[f"v{head['versions']}"] = [head[field] for field in ("n", "commit", "n", "versions", "tree", "map")]
    table = head.get("refs", {"branches": {}, "tags": {}})
    if isinstance(table, str):  # too large for the entry
        table = read_json(registry / "trees" / table, "refs")[1]["table"]
    live = {name: row for kind in ("branches", "tags") for name, row in table[kind].items() if len(row) > 1}
    if ref not in live | numbered:
        sys.exit(f"there is no {ref} of {model}; there are: {', '.join(live | numbered)}")
    _, commit, at, _, tree, root_map = (numbered | live)[ref]
    if head["remap"] and ref not in live:  # it was encoded anew, or retired
        root_map = dict(read_json(registry / "trees" / head["remap"], "remap")[1]["maps"]).get(at, root_map)
    check(read_json(registry / "commits" / commit, "commit")[1]["tree"] == tree, commit)
    return tree, root_map or sys.exit(f"{ref} was retired")


class Map:
    """Where the chunks of files lie."""

    def __init__(self, registry: Path, name: str) -> None:
        self.registry = registry
        data = (registry / "maps" / name).read_bytes()
        check(blake3(data).hexdigest() == name and data.startswith(b"CASMAPS\x01"), f"maps/{name}")
        _, _, *counts = struct.unpack_from("<8s16s8I", data)
        position, tables = 56, []
        for layout, count in zip(TABLES, counts[:-1], strict=True):
            end = position + struct.calcsize(layout) * count
            tables.append(list(struct.iter_unpack(layout, data[position:end])))
            position = end
        self.packs, self.placements, files, chunks, trees, references, _ = tables
        self.files = {row[0].hex(): chunks[row[2] : row[2] + row[3]] for row in files}
        self.references = {(covers, key.hex()): other.hex() for covers, _, key, other, _ in references}
        self.trees = {}
        for tree, length in trees:
            self.trees[tree.hex()] = data[position : position + length]
            position += length

    def tree(self, name: str) -> list[list[Any]]:
        """The entries of a folder; a root map brings some along."""
        data = self.trees.get(name)
        if data and derived(data, "tree") == name:
            return json.loads(data)["entries"]
        return read_json(self.registry / "trees" / name, "tree")[1]["entries"]

    def pieces(self, file: str, folder: str) -> Iterator[bytes]:
        """The bytes of a file right in a folder of the version whose root map this is."""
        found = self
        if file not in self.files:
            found = read_map(self.registry, self.references.get((BIG_FILE, file)) or self.references[FOLDER, folder])
        return (found.chunk(number) for (number,) in found.files[file])

    def chunk(self, number: int) -> bytes:
        digest, pack, offset, stored, raw, codec, element, _, base, _ = self.placements[number]
        with (self.registry / "packs" / self.packs[pack][0].hex()).open("rb") as file:
            file.seek(offset)
            data = file.read(stored)
        try:
            if codec == ZSTD:
                data = unzip(data, raw)
            elif codec == PLANES:
                data = b"".join(read_planes(data, raw, WIDTHS[element]))
            elif codec == DELTA:
                data = undo_delta(data, raw, element, self.chunk(base), self.placements[base][6])
        except (zstandard.ZstdError, struct.error, ValueError):
            data = b""
        check(codec <= DELTA and blake3(data).digest() == digest, f"chunk {digest.hex()} in packs/{self.packs[pack][0].hex()}")
        return data


read_map = cache(Map)


def unzip(data: bytes, size_bytes: int) -> bytes:
    if zstandard.frame_content_size(data) != size_bytes:
        raise ValueError(size_bytes)
    return zstandard.ZstdDecompressor().decompress(data)


def read_planes(data: bytes, raw: int, width: int) -> tuple[np.ndarray, bytes]:
    """The elements as unsigned integers, and the bytes after the last."""
    count, rest = divmod(raw, width)
    values, position = np.zeros(count, f"<u{width}"), 4 * width
    for number, length in enumerate(struct.unpack_from(f"<{width}I", data)):
        plane = data[position : position + length]
        position += length
        if length:
            whole = np.frombuffer(plane if length == count else unzip(plane, count), "u1")
            values |= whole.astype(values.dtype) << values.dtype.type(8 * number)
    return values, data[position : position + rest]


def undo_delta(data: bytes, raw: int, element: int, base: bytes, base_element: int) -> bytes:
    folded, tail = read_planes(data, raw, WIDTHS[element])
    width = WIDTHS[base_element]
    predicted = np.frombuffer(base, f"<u{width}", len(base) // width)[: len(folded)]
    one = folded.dtype.type(1)
    values = folded >> one ^ -(folded & one)
    values[: len(predicted)] += convert(predicted, base_element, element)
    return values.tobytes() + tail


def convert(bits: np.ndarray, source: int, target: int) -> np.ndarray:
    """The bit patterns of F16, BF16 or F32 as another of these, by way of F32: to the nearest, ties to even."""
    if source == target:
        return bits
    with np.errstate(all="ignore"):
        if source == F16:
            bits = one_nan(bits.view("<f2").astype("<f4"), 0x7FC00000)
        if source == BF16:
            bits = bits.astype("<u4") << np.uint32(16)
        if target == F16:
            bits = one_nan(bits.view("<f4").astype("<f2"), 0x7E00)
        if target == BF16:
            bits = (bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1)) >> np.uint32(16)).astype("<u2")
    return bits


def one_nan(floats: np.ndarray, nan: int) -> np.ndarray:
    bits = floats.view(f"<u{floats.itemsize}")
    bits[np.isnan(floats)] = nan
    return bits


def write_folder(root: Map, tree: str, folder: Path) -> None:
    folder.mkdir()
    for name, mode, size, identity in root.tree(tree):
        path = folder / name
        check(name not in {"", ".", ".."} and not set(name) & set('/\\:"<>|?*\0') and mode in {"file", "exec", "tree"}, tree)
        if mode == "tree":
            write_folder(root, identity, path)
            continue
        whole = blake3()
        with path.open("xb") as file:
            for piece in root.pieces(identity, tree) if size else ():
                whole.update(piece)
                file.write(piece)
        check(path.stat().st_size == size and whole.hexdigest() == identity, path)
        path.chmod(0o755 if mode == "exec" else 0o644)


if __name__ == "__main__":
    if len(sys.argv) != 5:  # noqa: PLR2004 - the four arguments
        sys.exit(__doc__)
    place, wanted, ref, target = sys.argv[1:]
    top, root_map = find_version(Path(place), wanted, ref)
    write_folder(read_map(Path(place), root_map), top, Path(target))
