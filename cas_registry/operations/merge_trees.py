"""Three-way merge of trees: what one side changed is taken, what both changed alike is taken once, and anything else is a conflict.

Files are told apart by path, mode and id; nothing looks into them. A folder is its files, and whether it is there at all is merged as a
file's content is. Of two folders only those that differ are read, level by level. Swapping the sides swaps nothing in the result.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import StrEnum

from cas_registry.errors import FormatError, InvalidInputError, LimitError
from cas_registry.model.ids import FileId, TreeId
from cas_registry.model.names import MAX_PATH_DEPTH, fold
from cas_registry.model.tree import EMPTY_TREE, MAX_ENTRIES, Mode, Tree, TreeEntry, encode_tree
from cas_registry.store.objects import ObjectStore

EMPTY_TREE_ID = TreeId.of(encode_tree(EMPTY_TREE))


class Side(StrEnum):
    """One of the two versions that are merged: the branch's own, or the one that comes in."""

    OURS = "ours"
    THEIRS = "theirs"


class Clash(StrEnum):
    """Why a path is in conflict: both sides changed the CONTENT (or one deleted what the other changed), one side has a FOLDER where the other
    has a file, or their NAMES are one on a case-insensitive file system."""

    CONTENT = "content"
    FOLDER = "folder"
    NAMES = "names"


@dataclass(frozen=True, slots=True)
class Conflict:
    """A path on which the sides do not agree, with what the merge base and either side have there (None: nothing).

    With names that clash `ours` and `theirs` have different names, and `path` is that of ours.
    """

    path: str
    clash: Clash
    base: TreeEntry | None
    ours: TreeEntry | None
    theirs: TreeEntry | None


@dataclass(frozen=True, slots=True)
class Preference:
    """Which side a conflict takes: at or below `path`, or anywhere (""). The longest path that covers a conflict decides."""

    side: Side
    path: str = ""


def parse_preference(text: str) -> Preference:
    """`ours`, `theirs`, or one of them with the path that it is about: `theirs:config.json`. Raises InvalidInputError."""
    side, separator, path = text.partition(":")
    path = path.strip("/")
    if side not in _SIDES or (separator and not path):
        raise InvalidInputError(
            f"whose version is to be taken? Write ours, theirs, ours:PATH or theirs:PATH, not {text[:80]!r}"
        )
    return Preference(Side(side), path)


_SIDES = frozenset(side.value for side in Side)


@dataclass(frozen=True, slots=True)
class MergedTree:
    """The tree of a merge, with the trees of it that are new. With conflicts that nobody decided it is not to be used."""

    root: TreeId
    trees: Mapping[TreeId, Tree]
    conflicts: tuple[Conflict, ...]
    decided: tuple[tuple[Conflict, Side], ...]


Triple = tuple[TreeEntry | None, TreeEntry | None, TreeEntry | None]
Roots = tuple[TreeId, TreeId, TreeId]


def merge_trees(
    objects: ObjectStore, base: TreeId, ours: TreeId, theirs: TreeId, *, prefer: Sequence[Preference] = (),
    virtual: Mapping[TreeId, Tree] | None = None,
) -> MergedTree:  # fmt: skip
    """Merge `theirs` into `ours`. `virtual` are trees that are stored nowhere: those of a `merge_bases_into_one`."""
    trees = {EMPTY_TREE_ID: EMPTY_TREE, **(virtual or {})}
    unstored = frozenset(trees)
    _read_changed(objects, trees, (base, ours, theirs))
    merging = _Merging(trees, prefer, unstored)
    top = merging.folder("", _top(base), _top(ours), _top(theirs))
    root = top.id if top and isinstance(top.id, TreeId) else EMPTY_TREE_ID
    conflicts = tuple(sorted(merging.conflicts, key=lambda conflict: conflict.path))
    return MergedTree(root, merging.made, conflicts, tuple(merging.decided))


def merge_bases_into_one(
    objects: ObjectStore, base: TreeId, left: TreeId, right: TreeId, *, virtual: Mapping[TreeId, Tree]
) -> tuple[TreeId, dict[TreeId, Tree]]:
    """The tree that stands for two merge bases at once: their merge, with a file that no version has at every path of a conflict.

    So a side that took either base's content there has changed it: two that differ are in conflict, two that agree are not.
    """
    trees = {EMPTY_TREE_ID: EMPTY_TREE, **virtual}
    unstored = frozenset(trees)
    _read_changed(objects, trees, (base, left, right))
    merging = _Merging(trees, (), unstored, stand_in=True)
    top = merging.folder("", _top(base), _top(left), _top(right))
    root = top.id if top and isinstance(top.id, TreeId) else EMPTY_TREE_ID
    return root, {**virtual, **merging.made}


def _top(tree: TreeId) -> TreeEntry:
    return TreeEntry("", Mode.FOLDER, 0, tree)


def _read_changed(objects: ObjectStore, trees: dict[TreeId, Tree], roots: Roots) -> None:
    """Read what the merge will look into: the folders on whose content the three do not agree."""
    level: list[Triple] = [(_top(roots[0]), _top(roots[1]), _top(roots[2]))]
    for _ in range(MAX_PATH_DEPTH + 1):
        open_ones = [triple for triple in level if _settled(triple) is _OPEN]
        wanted = dict.fromkeys(
            entry.id
            for triple in open_ones
            for entry in triple
            if entry and isinstance(entry.id, TreeId) and entry.id not in trees
        )
        trees.update(zip(wanted, objects.read_trees(list(wanted)), strict=True))
        level = [below for triple in open_ones for _, below in _children(trees, triple)]
        if not level:
            return
    raise FormatError(f"a tree is nested more than {MAX_PATH_DEPTH} folders deep; run reg fsck", tree=roots[1].hex)


def _children(trees: Mapping[TreeId, Tree], triple: Triple) -> Iterable[tuple[str, Triple]]:
    """The names in the folders of a triple, each with what the three have under it."""
    found: list[dict[str, TreeEntry]] = [
        {below.name: below for below in trees[entry.id].entries} if entry and isinstance(entry.id, TreeId) else {}
        for entry in triple
    ]
    base, ours, theirs = found
    for name in sorted(base.keys() | ours.keys() | theirs.keys()):
        yield name, (base.get(name), ours.get(name), theirs.get(name))


class _Open:
    """What a triple is that no side alone decides."""


_OPEN = _Open()


def _settled(triple: Triple) -> TreeEntry | _Open | None:
    """What a triple comes to where at most one side has changed it, or both alike."""
    base, ours, theirs = triple
    if theirs in (ours, base):
        return ours
    return theirs if base == ours else _OPEN


@dataclass(slots=True)
class _Merging:
    """One merge under way, over trees that are at hand; those that are `unstored` may be nowhere else."""

    trees: Mapping[TreeId, Tree]
    prefer: Sequence[Preference]
    unstored: Set[TreeId]
    stand_in: bool = False
    made: dict[TreeId, Tree] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)
    decided: list[tuple[Conflict, Side]] = field(default_factory=list)

    def folder(self, path: str, base: TreeEntry | None, ours: TreeEntry | None, theirs: TreeEntry | None) -> TreeEntry | None:
        """The merge of folders (None: there is none); None where nothing is left and a side has taken the folder away."""
        settled = _settled((base, ours, theirs))
        if not isinstance(settled, _Open):
            return settled
        results: dict[str, tuple[TreeEntry, Triple]] = {}
        for name, triple in _children(self.trees, (base, ours, theirs)):
            result = self._entry(f"{path}/{name}" if path else name, triple)
            if result is not None:
                results[name] = result, triple
        entries = self._without_clashes(path, results)
        if not entries and _settled_flag(base is not None, ours is not None, theirs is not None) is False:
            return None
        if len(entries) > MAX_ENTRIES:
            raise LimitError(f"folder {path or '.'!r} would have {len(entries):,} entries; the limit is {MAX_ENTRIES:,}")
        tree = Tree(tuple(sorted(entries, key=lambda entry: entry.name)))
        identity = TreeId.of(encode_tree(tree))
        if identity not in self.trees or identity in self.unstored:
            self.made[identity] = tree
        return TreeEntry(path.rpartition("/")[2], Mode.FOLDER, tree.size_bytes, identity)

    def _entry(self, path: str, triple: Triple) -> TreeEntry | None:
        settled = _settled(triple)
        if not isinstance(settled, _Open):
            return settled
        base, ours, theirs = triple
        known = len(self.conflicts)
        folder = self.folder(path, *map(_if_folder, triple))
        files = _if_file(base), _if_file(ours), _if_file(theirs)
        file = _settled(files)
        if isinstance(file, _Open):
            clash = Clash.FOLDER if folder else Clash.CONTENT
            return self._decide(
                Conflict(path, clash, *triple), path, {Side.OURS: files[1] or folder, Side.THEIRS: files[2] or folder}
            )
        if file is None or folder is None:
            return file or folder
        del self.conflicts[known:]  # whoever decides on this path decides on all below it
        has_file = Side.OURS if _if_file(ours) else Side.THEIRS
        return self._decide(
            Conflict(path, Clash.FOLDER, *triple), path, {side: file if side is has_file else folder for side in Side}
        )

    def _decide(self, conflict: Conflict, name: str, results: Mapping[Side, TreeEntry | None]) -> TreeEntry | None:
        """What stands at a path in conflict: what the preferred side has, else something to go on with."""
        if self.stand_in:
            shape = f"{conflict.path}\0{sorted(entry.id.hex for entry in (conflict.ours, conflict.theirs) if entry)}"
            return TreeEntry(name.rpartition("/")[2], Mode.FILE, 0, FileId.of(shape.encode("utf-8")))
        side = self._preferred(conflict)
        if side is None:
            self.conflicts.append(conflict)
            return results[Side.OURS] or results[Side.THEIRS]
        self.decided.append((conflict, side))
        return results[side]

    def _preferred(self, conflict: Conflict) -> Side | None:
        other = conflict.theirs.name if conflict.clash is Clash.NAMES and conflict.theirs else None
        paths = [conflict.path, *([_beside(conflict.path, other)] if other else [])]
        covering = [wish for wish in self.prefer if any(_covers(wish.path, path) for path in paths)]
        return max(covering, key=lambda wish: len(wish.path)).side if covering else None

    def _without_clashes(self, path: str, results: Mapping[str, tuple[TreeEntry, Triple]]) -> list[TreeEntry]:
        """The entries of a merged folder, of those whose names are one on some file system only that of the preferred side."""
        by_key: dict[str, list[str]] = {}
        for name in results:
            by_key.setdefault(fold(name), []).append(name)
        entries: list[TreeEntry] = []
        for names in by_key.values():
            if len(names) == 1 or self.stand_in:
                entries += [results[name][0] for name in names]
                continue
            ours = next(name for name in names if results[name][1][1])  # either side alone holds one of them at most
            theirs = next(name for name in names if name != ours)
            entry = {Side.OURS: results[ours][0], Side.THEIRS: results[theirs][0]}
            conflict = Conflict(
                f"{path}/{ours}" if path else ours, Clash.NAMES, results[ours][1][0] or results[theirs][1][0], entry[Side.OURS], entry[Side.THEIRS]
            )  # fmt: skip
            decided = self._decide(conflict, ours, entry)
            entries += [decided] if decided else []
        return entries


def _if_folder(entry: TreeEntry | None) -> TreeEntry | None:
    return entry if entry and entry.is_folder else None


def _if_file(entry: TreeEntry | None) -> TreeEntry | None:
    return entry if entry and not entry.is_folder else None


def _settled_flag(base: bool, ours: bool, theirs: bool) -> bool:  # noqa: FBT001 - three answers to one question
    return ours if base == theirs else theirs


def _covers(wanted: str, path: str) -> bool:
    return not wanted or path == wanted or path.startswith(f"{wanted}/")


def _beside(path: str, name: str) -> str:
    folder = path.rpartition("/")[0]
    return f"{folder}/{name}" if folder else name
