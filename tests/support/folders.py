"""Model folders: as values, as hypothesis strategies, and on disk.

A `Folder` maps paths to files, and to None for folders that hold nothing; parents are implied. Versions are made from one
another by the edits that people make: files grow, change in the middle, are renamed, moved, copied, deleted, swapped for folders.
"""

import os
import random
import shutil
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

from cas_registry.model.names import MAX_NAME_BYTES, fold
from tests.support.strategies import ORDINARY_NAMES, names

CHUNK_BYTES = 4096  # the chunk size of registries in property tests: a file of some KiB has several chunks
KIB, MIB = 1024, 1024 * 1024
_EDGES = tuple(
    size + shift
    for size in (
        CHUNK_BYTES // 4,
        CHUNK_BYTES,
        CHUNK_BYTES * 4,
        64 * KIB,
    )  # shortest, average and longest chunk, a batch of them
    for shift in (-1, 0, 1)
)
_UNICODE_NAMES = ("é.txt", "Ångström", "가나다.json", "ﬁle", "ñandú.bin")


@dataclass(frozen=True)
class File:
    data: bytes
    executable: bool = False

    def __repr__(self) -> str:
        return f"File({len(self.data)} bytes{', executable' if self.executable else ''})"


Folder = Mapping[str, File | None]


def make_bytes(seed: int, size_bytes: int) -> bytes:
    """Incompressible bytes, the same for the same seed; longer ones start as shorter ones do."""
    return random.Random(seed).randbytes(-(-size_bytes // 8) * 8)[:size_bytes]


def write_folder(root: Path, folder: Folder, *, decomposed: bool = False) -> Path:
    """Make `root` hold exactly this, touching only what differs; `.reg` stays. `decomposed` writes new names in NFD, as macOS may."""
    root.mkdir(parents=True, exist_ok=True)
    there = read_folder(root)
    gone = [path for path in there if path not in folder or there[path] != folder[path]]
    for path in gone:
        _remove(root, _on_disk(root, path))
    for path, file in folder.items():
        if path in there and path not in gone:
            continue
        disk = _on_disk(root, path, decomposed=decomposed)
        if file is None:
            disk.mkdir(parents=True, exist_ok=True)
            continue
        disk.parent.mkdir(parents=True, exist_ok=True)
        disk.write_bytes(file.data)
        disk.chmod(0o755 if file.executable else 0o644)
    return root


def read_folder(root: Path) -> dict[str, File | None]:
    """What is below `root`, names in NFC, without `.reg`. Fails on links and devices."""
    found: dict[str, File | None] = {}
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        if here == root and ".reg" in folders:
            folders.remove(".reg")
        if not folders and not files and here != root:
            found[_relative(root, here)] = None
        for name in files:
            disk = here / name
            assert disk.is_file(), disk
            assert not disk.is_symlink(), disk
            found[_relative(root, disk)] = File(disk.read_bytes(), bool(disk.stat().st_mode & 0o100))
    return found


def files_of(folder: Folder) -> dict[str, File]:
    """The files alone."""
    return {path: file for path, file in folder.items() if file is not None}


def contents() -> st.SearchStrategy[bytes]:
    """Bytes of every character: nothing, text, zeros, noise, repeats, and sizes around every border of the chunker."""
    sizes = st.one_of(st.sampled_from(_EDGES), st.integers(0, 3000), st.integers(0, 100 * KIB))
    seeds = st.integers(0, 5)  # few, so that files share beginnings
    return st.one_of(
        st.just(b""),
        st.binary(max_size=40),
        sizes.map(bytes),
        st.builds(make_bytes, seeds, sizes),
        st.builds(lambda seed, block, times: make_bytes(seed, block) * times, seeds, st.integers(1, 9000), st.integers(2, 12)),
        st.builds(lambda size: (b'{"layer": "encoder"}\n' * (size // 20 + 1))[:size], sizes),
    )


def file_values() -> st.SearchStrategy[File]:
    return st.builds(File, contents(), st.booleans())


def components() -> st.SearchStrategy[str]:
    return st.one_of(
        st.sampled_from(("a", "b", "model.bin", "config.json", "x")), st.sampled_from(ORDINARY_NAMES + _UNICODE_NAMES), names()
    ).map(lambda name: unicodedata.normalize("NFC", name))


def paths() -> st.SearchStrategy[str]:
    return st.lists(components(), min_size=1, max_size=4).map("/".join)


@st.composite
def folders(draw: st.DrawFn, *, max_files: int = 8) -> dict[str, File | None]:
    """One folder; no two names in it collide on any file system."""
    folder: dict[str, File | None] = {}
    for path, file in draw(st.lists(st.tuples(paths(), st.one_of(file_values(), st.none())), max_size=max_files)):
        put(folder, path, file)
    put(folder, "always.txt", File(b"a version has a file\n"))
    return folder


@st.composite
def versions(draw: st.DrawFn, *, max_versions: int = 4) -> list[dict[str, File | None]]:
    """Versions of one folder, each made from the one before by a few edits."""
    made = [draw(folders())]
    for _ in range(draw(st.integers(1, max_versions - 1))):
        folder = dict(made[-1])
        for _ in range(draw(st.integers(0, 4))):
            draw(_edits(folder))
        made.append(folder)
    return made


def put(folder: dict[str, File | None], path: str, file: File | None) -> bool:
    """Put a file (or empty folder) where the folder can take it, on any file system; says whether it could."""
    taken = {key for other in folder for key in _folded_prefixes(other) if other != path}
    exact = {prefix for other in folder for prefix in _prefixes(other) if other != path}
    if any(prefix not in exact and key in taken for prefix, key in zip(_prefixes(path), _folded_prefixes(path), strict=True)):
        return False
    parents = _prefixes(path)[:-1]
    if path in exact or any(folder.get(parent) is not None for parent in parents):
        return False
    for parent in parents:
        folder.pop(parent, None)  # an empty folder that is none any more
    folder[path] = file
    return True


@st.composite
def _edits(draw: st.DrawFn, folder: dict[str, File | None]) -> None:
    """One edit, made in place."""
    kind = draw(
        st.sampled_from(("write", "rename", "copy", "delete", "chmod", "middle", "append", "to folder", "to file", "empty"))
    )
    there = sorted(files_of(folder))
    if kind == "write" or not there:
        put(folder, draw(paths()), draw(file_values()))
        return
    path = draw(st.sampled_from(there))
    file = folder[path]
    assert file is not None
    match kind:
        case "rename" | "copy":
            target = draw(paths())
            if target not in folder and put(folder, target, file) and kind == "rename":
                _delete(folder, path)
        case "delete":
            _delete(folder, path)
        case "chmod":
            folder[path] = File(file.data, not file.executable)
        case "middle":
            at = draw(st.integers(0, len(file.data)))
            cut = draw(st.integers(0, 200))
            folder[path] = File(file.data[:at] + draw(st.binary(max_size=200)) + file.data[at + cut :], file.executable)
        case "append":
            folder[path] = File(file.data + draw(contents()), file.executable)
        case "to folder":
            del folder[path]
            if not put(folder, f"{path}/{draw(components())}", file):
                folder[path] = file
        case "to file":
            top = path.partition("/")[0]
            if top != path:
                for other in [other for other in folder if other.startswith(f"{top}/")]:
                    del folder[other]
                folder[top] = file
        case "empty":
            put(folder, draw(paths()), None)


def _delete(folder: dict[str, File | None], path: str) -> None:
    """Delete a file; its folder stays, as on disk."""
    del folder[path]
    parent = path.rpartition("/")[0]
    if parent and not any(other.startswith(f"{parent}/") for other in folder):
        folder[parent] = None


def _prefixes(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


def _folded_prefixes(path: str) -> list[str]:
    return _prefixes("/".join(fold(part) for part in path.split("/")))


def _relative(root: Path, disk: Path) -> str:
    return unicodedata.normalize("NFC", disk.relative_to(root).as_posix())


def _on_disk(root: Path, path: str, *, decomposed: bool = False) -> Path:
    """Where a path is on disk, component by component as it is spelled there; what is not there is spelled as asked."""
    disk = root
    for part in path.split("/"):
        fresh = unicodedata.normalize("NFD", part)
        if not decomposed or len(fresh.encode()) > MAX_NAME_BYTES:
            fresh = part
        if not part.isascii():
            spelled = os.listdir(disk) if disk.is_dir() else []
            fresh = next((name for name in spelled if unicodedata.normalize("NFC", name) == part), fresh)
        disk /= fresh
    return disk


def _remove(root: Path, disk: Path) -> None:
    """Remove a file or an empty folder, and the folders that this empties."""
    if disk.is_dir():
        shutil.rmtree(disk)
    else:
        disk.unlink()
    for parent in disk.parents:
        if parent == root or any(parent.iterdir()):
            break
        parent.rmdir()
