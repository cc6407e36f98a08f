"""Three-way merges of trees, against an oracle over plain dictionaries of paths."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.backends.memory import MemoryBackend
from cas_registry.model.ids import FileId, TreeId
from cas_registry.model.names import fold
from cas_registry.model.tree import Mode, Tree, TreeEntry, encode_tree
from cas_registry.operations.merge_trees import (
    EMPTY_TREE_ID,
    Clash,
    Preference,
    Side,
    merge_bases_into_one,
    merge_trees,
)
from cas_registry.store.objects import ObjectStore

PATHS = [*"abA", *(f"{top}/{name}" for top in "abA" for name in "xyX"), "a/x/p", "a/x/q", "b/x/p"]


@dataclass
class Plain:
    """A version as what it is: files by path (one letter each), and all folders."""

    files: dict[str, str] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)

    def put(self, path: str, content: str | None) -> None:
        """Set or delete a file, or with "/" make a folder; nothing happens where it could not be so on a disk."""
        if content is None:
            self.files.pop(path, None)
            return
        there = self.files.keys() | self.folders
        for part in (*parents(path), path):
            if any(other != part and fold(other) == fold(part) for other in there):
                return
        if any(part in self.files for part in parents(path)) or (path in self.folders and content != "/"):
            return
        self.folders.update(parents(path))
        if content == "/":
            if path not in self.files:
                self.folders.add(path)
        else:
            self.files[path] = content

    def drop(self, path: str) -> None:
        """Remove a folder with all below it."""
        self.folders -= {folder for folder in self.folders if folder == path or folder.startswith(f"{path}/")}
        for file in [file for file in self.files if file.startswith(f"{path}/")]:
            del self.files[file]

    def copy(self) -> "Plain":
        return Plain(dict(self.files), set(self.folders))


def parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def store_version(objects: ObjectStore, version: Plain, folder: str = "") -> TreeId:
    prefix = f"{folder}/" if folder else ""
    entries = [
        TreeEntry(path.rpartition("/")[2], Mode.FILE, len(content), FileId.of(content.encode()))
        for path, content in version.files.items()
        if path.rpartition("/")[0] == folder
    ]
    for path in version.folders:
        if path.rpartition("/")[0] == folder:
            below = store_version(objects, version, path)
            size = sum(len(content) for file, content in version.files.items() if file.startswith(f"{path}/"))
            entries.append(TreeEntry(path.removeprefix(prefix), Mode.FOLDER, size, below))
    return objects.write_tree(Tree(tuple(sorted(entries, key=lambda entry: entry.name))))


def settle(base, ours, theirs):
    """(True, value) where at most one side changed it or both did alike."""
    if theirs in (ours, base):
        return True, ours
    return (True, theirs) if base == ours else (False, ours if ours is not None else theirs)


def oracle(base: Plain, ours: Plain, theirs: Plain) -> tuple[Plain, set[str]]:
    """The merge by paths alone, and the paths in conflict (of names that clash: each of them)."""
    merged, conflicts = Plain(), set()
    for path in base.files.keys() | ours.files.keys() | theirs.files.keys():
        fine, value = settle(*(side.files.get(path) for side in (base, ours, theirs)))
        if not fine:
            conflicts.add(path)
        if value is not None:
            merged.files[path] = value
            merged.folders.update(parents(path))
    for path in base.folders | ours.folders | theirs.folders:
        if settle(*(path in side.folders for side in (base, ours, theirs)))[1]:
            merged.folders.update([*parents(path), path])
    both = merged.files.keys() & merged.folders
    conflicts |= both
    names: dict[str, set[str]] = {}
    for path in merged.files.keys() | merged.folders:
        above, _, name = path.rpartition("/")
        names.setdefault(f"{above}/{fold(name)}", set()).add(path)
    conflicts |= {min(group) for group in names.values() if len(group) > 1}
    conflicts = {path for path in conflicts if not any(above in both for above in parents(path))}
    return merged, conflicts


def named(merged) -> set[str]:
    return {
        min(conflict.path, f"{conflict.path.rpartition('/')[0]}/{conflict.theirs.name}".lstrip("/"))
        if conflict.clash is Clash.NAMES
        else conflict.path
        for conflict in merged.conflicts
    }


edits = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(PATHS), st.sampled_from(["1", "2", "3", "/", None])),
        st.tuples(st.just("drop"), st.sampled_from(["a", "b", "A", "a/x"])),
    ),
    max_size=6,
)


@st.composite
def triples(draw: st.DrawFn) -> tuple[Plain, Plain, Plain]:
    base = Plain()
    for path in draw(st.lists(st.sampled_from(PATHS), max_size=6)):
        base.put(path, draw(st.sampled_from("123")))
    sides = []
    for _ in range(2):
        side = base.copy()
        for method, *words in draw(edits):
            getattr(side, method)(*words)
        sides.append(side)
    return base, sides[0], sides[1]


@given(triples())
def test_a_merge_is_that_of_the_paths(versions: tuple[Plain, Plain, Plain]) -> None:
    objects = ObjectStore(MemoryBackend())
    roots = [store_version(objects, version) for version in versions]
    expected, conflicts = oracle(*versions)
    merged = merge_trees(objects, *roots)
    assert named(merged) == conflicts
    if not conflicts:
        assert merged.root == store_version(objects, expected)
    for identity, tree in merged.trees.items():
        assert TreeId.of(encode_tree(tree)) == identity


@given(triples())
def test_swapping_the_sides_swaps_nothing_in_the_result(versions: tuple[Plain, Plain, Plain]) -> None:
    objects = ObjectStore(MemoryBackend())
    base, ours, theirs = (store_version(objects, version) for version in versions)
    there, back = merge_trees(objects, base, ours, theirs), merge_trees(objects, base, theirs, ours)
    assert named(there) == named(back)
    if not there.conflicts:
        assert there.root == back.root
    decided = merge_trees(objects, base, ours, theirs, prefer=[Preference(Side.OURS)])
    mirrored = merge_trees(objects, base, theirs, ours, prefer=[Preference(Side.THEIRS)])
    assert decided.root == mirrored.root
    assert decided.conflicts == mirrored.conflicts == ()
    assert bool(decided.decided) == bool(there.conflicts)


@given(triples())
def test_a_preferred_side_keeps_what_it_has_at_every_conflict(versions: tuple[Plain, Plain, Plain]) -> None:
    objects = ObjectStore(MemoryBackend())
    roots = [store_version(objects, version) for version in versions]
    _, conflicts = oracle(*versions)
    for side, version in ((Side.OURS, versions[1]), (Side.THEIRS, versions[2])):
        merged = merge_trees(objects, *roots, prefer=[Preference(side)])
        for tree in merged.trees.values():
            objects.write_tree(tree)
        found = files_below(objects, merged.root)
        for path in conflicts & version.files.keys():
            assert found.get(path) == FileId.of(version.files[path].encode())


def files_below(objects: ObjectStore, root: TreeId) -> Mapping[str, object]:
    from cas_registry.store.objects import walk_tree

    return {path: entry.id for path, entry, _ in walk_tree(objects, root) if not entry.is_folder}


@given(triples())
def test_two_bases_in_one_never_hide_a_change(versions: tuple[Plain, Plain, Plain]) -> None:
    """Where the bases do not agree, two sides that differ are in conflict, also where one of them has what a base has."""
    objects = ObjectStore(MemoryBackend())
    base, left, right = (store_version(objects, version) for version in versions)
    one, virtual = merge_bases_into_one(objects, base, left, right, virtual={})
    assert one == merge_bases_into_one(objects, base, right, left, virtual={})[0]
    disagreed = {found.path for found in merge_trees(objects, base, left, right).conflicts if found.clash is Clash.CONTENT}
    both = {path for path in disagreed if path in versions[1].files and path in versions[2].files}
    assert both <= named(merge_trees(objects, one, left, right, virtual=virtual))
    assert merge_trees(objects, one, left, left, virtual=virtual).root == left


def version(**files: str) -> Plain:
    made = Plain()
    for path, content in files.items():
        made.put(path.replace("__", "/"), content)
    return made


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "clash"),
    [
        (version(a="1"), version(a="2"), version(a="3"), Clash.CONTENT),
        (version(a="1"), version(), version(a="3"), Clash.CONTENT),
        (version(), version(a="1"), version(a__x="1"), Clash.FOLDER),
        (version(a__x="1"), version(a__x="2"), version(a="1"), Clash.FOLDER),
        (version(), version(a="1"), version(A="1"), Clash.NAMES),
        (version(), version(a__x="1"), version(A__y="1"), Clash.NAMES),
    ],
)
def test_what_is_a_conflict(base: Plain, ours: Plain, theirs: Plain, clash: Clash) -> None:
    objects = ObjectStore(MemoryBackend())
    roots = [store_version(objects, each) for each in (base, ours, theirs)]
    (conflict,) = merge_trees(objects, *roots).conflicts
    assert (conflict.path, conflict.clash) == ("a", clash)
    assert merge_trees(objects, *roots, prefer=[Preference(Side.THEIRS, "a")]).root == roots[2]
    assert merge_trees(objects, *roots, prefer=[Preference(Side.OURS), Preference(Side.THEIRS, "a")]).root == roots[2]
    assert merge_trees(objects, *roots, prefer=[Preference(Side.OURS, "a")]).root == roots[1]
    assert merge_trees(objects, *roots, prefer=[Preference(Side.OURS, "b")]).conflicts == (conflict,)


def test_only_folders_that_differ_are_read() -> None:
    asked: list[str] = []

    class Counting(MemoryBackend):
        def get_many(self, keys, *, length):
            asked.extend(keys)
            return super().get_many(keys, length=length)

    store = Counting()
    objects = ObjectStore(store)
    base = version(a__x="1", b__x="1")
    ours, theirs = base.copy(), base.copy()
    ours.put("a/x", "2")
    theirs.put("b/x", "2")
    roots = [store_version(objects, each) for each in (base, ours, theirs)]
    asked.clear()
    merged = merge_trees(objects, *roots)
    assert merged.conflicts == ()
    assert sorted(asked) == sorted(f"trees/{root.hex}" for root in roots)


def test_an_emptied_version_has_the_empty_tree() -> None:
    objects = ObjectStore(MemoryBackend())
    roots = [store_version(objects, each) for each in (version(a="1", b="1"), version(a="1"), version(b="1"))]
    merged = merge_trees(objects, *roots)
    assert (merged.root, list(merged.trees)) == (EMPTY_TREE_ID, [EMPTY_TREE_ID])
