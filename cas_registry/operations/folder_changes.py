"""What has to change in a folder so that it holds a version, and what must not change there unasked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import blake3

from cas_registry.errors import IntegrityError, LocalEditsError
from cas_registry.model.ids import FileId, TreeId
from cas_registry.model.tree import Mode
from cas_registry.operations.transfer import READ_BUFFER_BYTES
from cas_registry.operations.version_files import VersionFile, list_files
from cas_registry.store.stores import Stores
from cas_registry.worktree.stat_cache import StatCache
from cas_registry.worktree.target import OnDisk, TargetFolder

_LISTED = 20

Identify = Callable[[OnDisk], FileId | None]  # the id of a plain file on disk; None for a link, folder or device


@dataclass(frozen=True, slots=True)
class Held:
    """A version that the folder is known to have held."""

    files: Mapping[str, VersionFile]
    folders: frozenset[str]


def read_held(stores: Stores, tree: TreeId) -> Held | None:
    """A version that the folder held; None where the registry has lost it: its files then count as local edits."""
    try:
        files, folders = list_files(stores.objects, tree)
    except IntegrityError:
        return None
    return Held({file.path: file for file in files}, frozenset(folders))


@dataclass(slots=True)
class FolderChanges:
    """What to do, in the order in which it is done: `clear` and `clear_folders` are of `remove`, and stand where others will."""

    write: list[VersionFile] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    chmod: list[VersionFile] = field(default_factory=list)
    clear: set[str] = field(default_factory=set)
    clear_folders: set[str] = field(default_factory=set)
    edits: list[str] = field(default_factory=list)
    obstacles: set[str] = field(default_factory=set)
    present: set[str] = field(default_factory=set)  # plain files, as far as was looked
    unchanged: int = 0

    def __bool__(self) -> bool:
        return bool(self.write or self.remove or self.chmod)

    def refuse(self, target: Path, *, force: bool) -> None:
        """LocalEditsError for what would be lost: edits, unless `force`, and whatever stands in the way."""
        if self.edits and not force:
            raise LocalEditsError(
                f"{target} holds files that are not of any version checked out there: {shown(self.edits)}. Commit or move them, or "
                "overwrite them with --force",
                paths=self.edits,
            )
        if self.obstacles:
            raise LocalEditsError(
                f"{target} holds a link or a file where a folder is needed, or files where a file is: {shown(sorted(self.obstacles))}. "
                "Nothing is written through a link or in place of a folder; move or remove them first",
                paths=sorted(self.obstacles),
            )

    def clear_the_way(self, folder: TargetFolder) -> None:
        """Remove what stands where files and folders of the version will."""
        for path in sorted(self.clear):
            folder.remove(path)
        for path in sorted(self.clear_folders, key=_depth, reverse=True):
            folder.remove_folder(path)

    def finish(self, folder: TargetFolder) -> None:
        """Once all files are written: permissions, and the removal of what the version lacks."""
        for file in self.chmod:
            folder.set_executable(file.path, executable=file.entry.mode is Mode.EXECUTABLE)
        for path in sorted(set(self.remove) - self.clear):
            folder.remove(path)


def plan_changes(
    folder: TargetFolder, wanted: Sequence[VersionFile], folders: Sequence[str], held: Sequence[Held], identify: Identify, *, whole: bool
) -> FolderChanges:  # fmt: skip
    """What makes the folder hold the `wanted` files; of a `whole` version also `folders`, and what was held and is not wanted goes."""
    planner = _Planner(folder, held, identify)
    if whole:
        for path in sorted({path for version in held for path in version.files} - {file.path for file in wanted}):
            planner.remove(path)
    for file in wanted:
        planner.write(file)
    for path in folders:
        found = folder.look(path)
        if found is not None and not found.is_folder:
            planner.make_room(found)
    return planner.changes


def arrange_folders(folder: TargetFolder, folders: Sequence[str], held: Sequence[Held]) -> None:
    """Remove the folders of earlier versions that are empty now, make those of this one."""
    for path in sorted({path for version in held for path in version.folders} - set(folders), key=_depth, reverse=True):
        folder.remove_folder(path)
    for path in folders:
        folder.make_folder(path)


def identifier(folder: TargetFolder, target: Path, stat_cache: StatCache, clock_ns: Callable[[], int]) -> Identify:
    """Files of the folder by their id: from the stat cache, else read."""

    def identify(found: OnDisk) -> FileId | None:
        if not found.is_file:
            return None
        known = stat_cache.get(target / found.path, found.stat)
        if known is not None:
            return known
        read_at_ns = clock_ns()
        hasher = blake3.blake3()
        for data in folder.read(found.path, buffer_bytes=READ_BUFFER_BYTES):
            hasher.update(data)
        identity = FileId(hasher.digest())
        stat_cache.put(target / found.path, found.stat, identity, read_at_ns=read_at_ns)
        return identity

    return identify


def shown(paths: Sequence[str]) -> str:
    """The first of them, for a message."""
    return ", ".join(paths[:_LISTED]) + (f" and {len(paths) - _LISTED} more" if len(paths) > _LISTED else "")


class _Planner:
    """Looks at the folder, path by path."""

    def __init__(self, folder: TargetFolder, held: Sequence[Held], identify: Identify) -> None:
        self._folder, self._held, self._identify = folder, held, identify
        self.changes = FolderChanges()

    def remove(self, path: str) -> None:
        found = self._folder.look(path)
        if found is None or found.path != path or found.is_folder:
            return
        if not self._is_held(path, self._identify(found)):
            self.changes.edits.append(path)
        self.changes.remove.append(path)
        self._note(found)

    def write(self, file: VersionFile) -> None:
        changes = self.changes
        found = self._folder.look(file.path)
        if found is None:
            changes.write.append(file)
            return
        if found.path != file.path or found.is_folder:
            self.make_room(found)
            changes.write.append(file)
            return
        identity = self._identify(found)
        self._note(found)
        if identity == file.entry.id:
            changes.unchanged += 1
            if found.executable != (file.entry.mode is Mode.EXECUTABLE):
                (changes.chmod if found.links == 1 else changes.write).append(file)  # permissions belong to all names of a file
            return
        if not self._is_held(file.path, identity):
            changes.edits.append(file.path)
        changes.write.append(file)

    def make_room(self, found: OnDisk) -> None:
        """What is at `found` has to go before something else can be there: allowed where all of it is removed anyway."""
        changes = self.changes
        removed = set(changes.remove)
        inside = list(self._folder.walk(found.path)) if found.is_folder else []
        things = {item.path for item in (*inside, found) if not item.is_folder}
        changes.obstacles |= things - removed
        changes.clear |= things & removed
        changes.clear_folders.update(item.path for item in (*inside, found) if item.is_folder)

    def _note(self, found: OnDisk) -> None:
        if found.is_file:
            self.changes.present.add(found.path)

    def _is_held(self, path: str, identity: FileId | None) -> bool:
        return identity is not None and any(
            path in version.files and version.files[path].entry.id == identity for version in self._held
        )


def _depth(path: str) -> int:
    return path.count("/")
