"""Lock files: which versions were meant, by their ids, so that the same ones are taken again and a folder can be proven to hold one without any
registry.

A lock file is pretty-printed JSON for people to keep beside their code. Nothing in it is believed that its ids do not prove: of each version it holds the
commit's canonical bytes, whose hash is the commit's id, and its files, which make up the tree that the commit names.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cas_registry.errors import FormatError, HostileNameError, InvalidInputError, LimitError
from cas_registry.model import canonical
from cas_registry.model.commit import MAX_COMMIT_BYTES, Commit, decode_commit, encode_commit
from cas_registry.model.ids import CommitId, FileId, TreeId
from cas_registry.model.names import check_model, check_path, read_name
from cas_registry.model.tree import Mode, TreeEntry, encode_tree, make_tree

LOCK_NAME = "reg.lock"
MAX_LOCK_BYTES = 256 * 1024 * 1024  # read whole into memory
MAX_LOCKED_FILES = (
    100_000  # of one version; beyond, a lock file says nothing of files, and a folder is proven by its tree all the same
)
MAX_LOCKED_VERSIONS = 10_000  # models in a release
_MAX_URL_BYTES = 4096
_MAX_REVISION_BYTES = 8192
_FIELDS = {"lock", "registry", "url", "versions"}
_VERSION_FIELDS = {"model", "revision", "number", "commit", "tree", "commit_bytes", "files", "empty_folders"}
_FILE_COLUMNS = 4


@dataclass(frozen=True, slots=True)
class LockedFile:
    """A file of a locked version."""

    path: str
    mode: Mode
    size_bytes: int
    id: FileId


@dataclass(frozen=True, slots=True)
class LockedVersion:
    """A version as it was locked: `revision` is what was asked for, `id` and `commit` what that was. `files` is None where there are too many."""

    model: str
    revision: str
    number: int
    id: CommitId
    commit: Commit
    files: tuple[LockedFile, ...] | None
    empty_folders: tuple[str, ...] = ()

    @property
    def tree(self) -> TreeId:
        return self.commit.tree


@dataclass(frozen=True, slots=True)
class Lock:
    """Versions of one registry: its id, and where it was, without credentials."""

    registry: str
    url: str
    versions: tuple[LockedVersion, ...]

    def find_commit(self, commit: CommitId) -> LockedVersion | None:
        """The version of that commit."""
        return next((version for version in self.versions if version.id == commit), None)

    def find(self, model: str, revision: str) -> LockedVersion | None:
        """The version that was locked under this revision of a model, or whose commit's id begins so."""
        mine = [version for version in self.versions if version.model == model]
        by_name = (version for version in mine if version.revision == revision)
        return next(by_name, next((version for version in mine if _is_prefix(revision, version.id)), None))


def encode_lock(lock: Lock) -> str:
    """The text of a lock file."""
    value = {
        "lock": 1,
        "registry": lock.registry,
        "url": lock.url,
        "versions": [
            {
                "model": version.model,
                "revision": version.revision,
                "number": version.number,
                "commit": version.id.hex,
                "tree": version.tree.hex,
                "commit_bytes": encode_commit(version.commit).decode("utf-8"),
                "files": None
                if version.files is None
                else [[file.path, file.mode.value, file.size_bytes, file.id.hex] for file in version.files],
                "empty_folders": list(version.empty_folders),
            }
            for version in lock.versions
        ],
    }
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def decode_lock(data: bytes) -> Lock:
    """The lock file in `data`; every id is checked against what it names. Raises FormatError."""
    if len(data) > MAX_LOCK_BYTES:
        raise FormatError(f"a lock file of {len(data):,} bytes is over the limit of {MAX_LOCK_BYTES:,}")
    try:
        value = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not a lock file: {error}") from error
    body = canonical.mapping(value, what="lock file")
    if body.keys() != _FIELDS or body["lock"] != 1:
        raise FormatError("not a lock file of this version")
    rows = canonical.array(body["versions"], what="versions", max_items=MAX_LOCKED_VERSIONS)
    return Lock(
        registry=canonical.hex_digits(body["registry"], what="registry"),
        url=canonical.text(body["url"], what="url", max_bytes=_MAX_URL_BYTES),
        versions=tuple(map(_decode_version, rows)),
    )


def tree_of(files: Sequence[LockedFile], empty_folders: Sequence[str] = ()) -> TreeId:
    """The id of the tree that holds these files and folders. Raises HostileNameError, InvalidInputError where no tree can."""
    below: dict[str, list[TreeEntry]] = {"": []}
    for folder in empty_folders:
        _add_folder(below, "/".join(check_path(folder)))
    for file in files:
        check_path(file.path)
        folder, _, name = file.path.rpartition("/")
        _add_folder(below, folder)
        below[folder].append(TreeEntry(name, file.mode, file.size_bytes, file.id))
    for folder in sorted(below, key=lambda path: path.count("/") if path else -1, reverse=True):
        tree = make_tree(below[folder])
        identity = TreeId.of(encode_tree(tree))
        if not folder:
            return identity
        above, _, name = folder.rpartition("/")
        below[above].append(TreeEntry(name, Mode.FOLDER, tree.size_bytes, identity))
    raise AssertionError("the root is always there")  # pragma: no cover


def _add_folder(below: dict[str, list[TreeEntry]], folder: str) -> None:
    while folder not in below:
        below[folder] = []
        folder = folder.rpartition("/")[0]


def _decode_version(value: canonical.Json) -> LockedVersion:
    row = canonical.mapping(value, what="version")
    if row.keys() != _VERSION_FIELDS:
        raise FormatError("a locked version with missing or unknown fields")
    data = canonical.text(row["commit_bytes"], what="commit_bytes", max_bytes=MAX_COMMIT_BYTES).encode("utf-8")
    identity = CommitId.parse(row["commit"])
    if CommitId.of(data) != identity:
        raise FormatError(f"commit_bytes are not those of commit {identity.short}")
    commit = decode_commit(data)
    files = row["files"]
    empty = canonical.array(row["empty_folders"], what="empty_folders", max_items=MAX_LOCKED_FILES)
    version = LockedVersion(
        model=read_name(row["model"], check_model, of="a lock file"),
        revision=canonical.text(row["revision"], what="revision", max_bytes=_MAX_REVISION_BYTES),
        number=canonical.integer(row["number"], what="number"),
        id=identity,
        commit=commit,
        files=None
        if files is None
        else tuple(map(_decode_file, canonical.array(files, what="files", max_items=MAX_LOCKED_FILES))),
        empty_folders=tuple(canonical.text(folder, what="a folder", max_bytes=_MAX_URL_BYTES) for folder in empty),
    )
    if TreeId.parse(row["tree"]) != commit.tree:
        raise FormatError(f"commit {identity.short} is of another tree")
    try:
        if version.files is not None and tree_of(version.files, version.empty_folders) != commit.tree:
            raise FormatError(f"the files of {version.model}@{identity.short} do not make up its tree")
    except (HostileNameError, LimitError, InvalidInputError) as error:
        raise FormatError(f"the files of {version.model}@{identity.short} make up no tree: {error}") from error
    return version


def _decode_file(value: canonical.Json) -> LockedFile:
    row: Sequence[canonical.Json] = canonical.array(value, what="a file", max_items=_FILE_COLUMNS)
    if len(row) != _FILE_COLUMNS or not isinstance(row[1], str) or row[1] not in _MODES:
        raise FormatError("a file that is not [path, mode, size, id]")
    path, mode, size_bytes, identity = row
    return LockedFile(
        canonical.text(path, what="path", max_bytes=_MAX_URL_BYTES),
        _MODES[mode],
        canonical.integer(size_bytes, what="size"),
        FileId.parse(identity),
    )


def _is_prefix(revision: str, commit: CommitId) -> bool:
    return len(revision) >= _MIN_HEX_DIGITS and commit.hex.startswith(revision)


_MIN_HEX_DIGITS = 8  # as of any revision
_MODES: Mapping[object, Mode] = {mode.value: mode for mode in (Mode.FILE, Mode.EXECUTABLE)}
