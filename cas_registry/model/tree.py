"""Trees: a folder as a value, named by its canonical bytes."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from cas_registry.errors import FormatError, HostileNameError, InvalidInputError
from cas_registry.model import canonical
from cas_registry.model.ids import FileId, TreeId
from cas_registry.model.names import check_component, find_collision

MAX_ENTRIES = 1_000_000
MAX_VERSION_ENTRIES = (
    1_000_000  # of all folders together: a few small trees that name each other twice each stand for any number
)


class Mode(StrEnum):
    """What an entry is. Nothing else exists: no links, no devices, no other permission bits."""

    FILE = "file"  # 0644
    EXECUTABLE = "exec"  # 0755
    FOLDER = "tree"


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One name in a folder. `size_bytes` of a folder is the sum of the files below it."""

    name: str
    mode: Mode
    size_bytes: int
    id: FileId | TreeId

    @property
    def is_folder(self) -> bool:
        return self.mode is Mode.FOLDER


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder: entries sorted by name (code points), unique even on a case-insensitive file system."""

    entries: tuple[TreeEntry, ...]

    @property
    def size_bytes(self) -> int:
        return sum(entry.size_bytes for entry in self.entries)

    def get(self, name: str) -> TreeEntry | None:
        """The entry of that name, or None."""
        return next((entry for entry in self.entries if entry.name == name), None)


EMPTY_TREE = Tree(())


def make_tree(entries: Iterable[TreeEntry]) -> Tree:
    """A tree of these entries in canonical order. Raises HostileNameError or InvalidInputError."""
    ordered = tuple(sorted(entries, key=lambda entry: entry.name))
    for entry in ordered:
        check_component(entry.name)
    clash = find_collision(entry.name for entry in ordered)
    if clash:
        raise HostileNameError(
            f"{clash[0]!r} and {clash[1]!r} are one name on a case-insensitive file system; rename one", names=clash
        )
    if len(ordered) > MAX_ENTRIES:
        raise InvalidInputError(f"a folder of {len(ordered):,} entries is over the limit of {MAX_ENTRIES:,}")
    return Tree(ordered)


def encode_tree(tree: Tree) -> bytes:
    """The canonical bytes of a tree; their `TreeId` is its name."""
    rows = [[entry.name, entry.mode.value, entry.size_bytes, entry.id.hex] for entry in tree.entries]
    return canonical.encode({"v": 1, "kind": "tree", "entries": rows})


def decode_tree(data: bytes) -> Tree:
    """The tree in `data`, every rule checked. Raises FormatError."""
    (rows,) = canonical.fields(canonical.decode(data, kind="tree"), "entries", what="tree")
    entries = tuple(_decode_entry(row) for row in canonical.array(rows, what="entries", max_items=MAX_ENTRIES))
    if any(left.name >= right.name for left, right in pairwise(entries)):
        raise FormatError("a tree whose entries are not sorted and unique")
    if find_collision(entry.name for entry in entries):
        raise FormatError("a tree with two names that differ only in case or normal form")
    if sum(entry.size_bytes for entry in entries) > canonical.MAX_INTEGER:
        raise FormatError("a tree whose sizes overflow")
    return Tree(entries)


def _decode_entry(row: canonical.Json) -> TreeEntry:
    if not isinstance(row, list) or len(row) != _COLUMNS:
        raise FormatError("a tree entry that is not [name, mode, size, id]")
    name, mode, size_bytes, identity = row
    if not isinstance(name, str):
        raise FormatError("a tree entry whose name is not text")
    try:
        check_component(name)
    except HostileNameError as error:
        raise FormatError(f"a tree entry with a hostile name: {error}") from error
    if not isinstance(mode, str) or mode not in _MODES:
        raise FormatError(f"a tree entry of mode {str(mode)[:40]!r}")
    kind = _MODES[mode]
    size = canonical.integer(size_bytes, what="an entry's size")
    return TreeEntry(name, kind, size, TreeId.parse(identity) if kind is Mode.FOLDER else FileId.parse(identity))


_COLUMNS = 4
_MODES = {mode.value: mode for mode in Mode}
