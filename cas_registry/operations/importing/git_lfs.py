"""A git repository with git-lfs (git-lfs.com, docs/spec.md): a version for each commit in which a large file changed, or that a tag names.

In git's tree a large file is a small text that points to an object by its SHA-256; the object lies in `.git/lfs/objects`, or in a remote's. A version
is the whole tree of its commit, pointers replaced by what they point to, every byte of which is checked. Tags stand at the versions that their
commits have.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cas_registry.errors import InvalidInputError, NotFoundError
from cas_registry.operations.importing import naming
from cas_registry.operations.importing.foreign import ForeignTag, ForeignVersion, SourceOptions, Unreadable, reading
from cas_registry.operations.importing.git_history import GitCommit, GitFile, GitRepository, representatives, tags_by_commit
from cas_registry.operations.importing.likeness import likeness, nothing_of
from cas_registry.operations.importing.selection import selected

MAX_POINTER_BYTES = 1024  # by the specification
_POINTER = re.compile(rb"version https?://(?:git-lfs\.github\.com|hawser\.github\.com)/spec/v1\n(?:[a-z0-9.-]+ [^\n]*\n)*")
_OBJECT = re.compile(rb"^oid sha256:([0-9a-f]{64})$", re.MULTILINE)
_SIZE = re.compile(rb"^size ([0-9]{1,18})$", re.MULTILINE)
_LINK = "120000"
_PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Pointer:
    """What stands in git's tree for a large file."""

    sha256: str
    size_bytes: int


def parse_pointer(data: bytes) -> Pointer | None:
    """The pointer that a file is; None for any other file."""
    if len(data) >= MAX_POINTER_BYTES or not _POINTER.fullmatch(data):
        return None
    identity, size = _OBJECT.search(data), _SIZE.search(data)
    return Pointer(identity[1].decode(), int(size[1])) if identity and size else None


def open_source(place: str, options: SourceOptions) -> GitLfsSource:
    """The repository whose work tree, or bare folder, is `place`."""
    try:
        repository = GitRepository(Path(place))
    except NotFoundError as error:
        if not likeness(place):
            raise
        raise nothing_of(place, "a git repository") from error
    origin = repository.remote_folder()
    given = [Path(options.objects)] if options.objects else []
    folders = [*given, repository.git_folder, *([origin / ".git", origin] if origin else [])]
    stores = [*given, *(folder / "lfs" / "objects" for folder in folders)]
    return GitLfsSource(repository, tuple(stores), tuple(options.paths), tagged=options.tagged)


@dataclass(frozen=True, slots=True)
class GitLfsSource:
    """A repository, which is only read, and the folders where objects may lie."""

    repository: GitRepository
    stores: tuple[Path, ...]
    paths: tuple[str, ...] = ()
    tagged: bool = False
    kind: str = "git-lfs"

    @property
    def place(self) -> str:
        return str(self.repository.folder.resolve())

    def versions(self) -> Iterator[ForeignVersion | Unreadable]:
        commits = self.repository.commits()
        pointers: dict[str, Pointer | None] = {}
        prints = {commit.id: self._fingerprint(commit, pointers) for commit in commits}
        named = self.repository.tags()
        first = representatives(commits, prints, apart={tag.commit for tag in named})
        tags: dict[str, list[ForeignTag]] = {}
        for identity, tag in tags_by_commit(named, first):
            tags.setdefault(identity, []).append(
                ForeignTag(tag.name, f"git tag {tag.name}{': ' if tag.message else ''}{tag.message}")
            )
        for commit in commits:
            own = prints[commit.id]
            if own and first[commit.id] == commit.id and (commit.id in tags or not self.tagged):
                size_bytes = sum(pointer.size_bytes for _, _, pointer in own)
                yield ForeignVersion(
                    model=self.repository.name,
                    id=commit.id,
                    name=commit.id[:12],
                    lay_out=lambda scratch, wanted=commit: self._lay_out(wanted, scratch),  # type: ignore[misc]  # a default binds it now
                    author=naming.author(commit.author),
                    time_ms=naming.time_ms(commit.time_ms),
                    message=naming.message(commit.message),
                    code={"commit": commit.id},
                    tags=tuple(tags.get(commit.id, ())),
                    size_bytes=size_bytes,
                )

    def _fingerprint(self, commit: GitCommit, known: dict[str, Pointer | None]) -> tuple[tuple[str, str, Pointer], ...]:
        """The large files of a commit."""
        small = [file for file in self._files(commit) if file.size_bytes < MAX_POINTER_BYTES and file.mode != _LINK]
        for blob, data in self.repository.small_blobs(file for file in small if file.blob not in known).items():
            known[blob] = parse_pointer(data)
        return tuple((file.path, file.mode, pointer) for file in small if (pointer := known[file.blob]))

    def _files(self, commit: GitCommit) -> list[GitFile]:
        return [file for file in self.repository.tree(commit.id) if selected(file.path, self.paths)]

    def _lay_out(self, commit: GitCommit, scratch: Path) -> Path:
        pointers = {path: pointer for path, _, pointer in self._fingerprint(commit, {})}
        for file in self._files(commit):
            if file.mode == _LINK:
                raise InvalidInputError(f"{file.path} is a symbolic link; a version holds files alone (--path leaves it out)")
            target = scratch / naming.inside(file.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            if file.path in pointers:
                target.symlink_to(self._object(file.path, pointers[file.path]))
            else:
                self.repository.write_blob(file, target)
        return scratch

    def _object(self, path: str, pointer: Pointer) -> Path:
        """Where the object lies, once it is known to be the one. NotFoundError, InvalidInputError for other bytes."""
        name = Path(pointer.sha256[:2], pointer.sha256[2:4], pointer.sha256)
        for store in self.stores:
            file = store / name
            if file.is_symlink() or not file.is_file():
                continue
            digest = hashlib.sha256()
            with reading(str(file)), file.open("rb") as opened:
                while piece := opened.read(_PIECE_BYTES):
                    digest.update(piece)
            if digest.hexdigest() != pointer.sha256:
                raise InvalidInputError(f"the object of {path} at {file} has other bytes than its name says")
            return file.resolve()
        raise NotFoundError(
            f"the object {pointer.sha256[:12]} of {path} is not on this machine; git lfs fetch --all brings it, or --objects names its folder"
        )
