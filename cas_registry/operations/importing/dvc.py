"""A DVC repository (dvc.org, user guide on project structure): a version for each commit in which the outputs that DVC keeps changed.

What DVC tracks stands in `*.dvc` files and in `dvc.lock`, in git; the bytes lie by their MD5 in DVC's cache or in a remote, a folder as a list of them
(`….dir`). Read by their formats, without DVC. A version is all outputs of its commit, at their paths, every byte checked; `params` of dvc.lock
are its params, the files that dvc.yaml calls metrics its metrics. Tags stand at the versions that their commits have.
"""

from __future__ import annotations

import configparser
import hashlib
import json
import posixpath
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cas_registry.errors import InvalidInputError, NotFoundError, RegistryError
from cas_registry.model.canonical import Scalar
from cas_registry.operations.importing import naming
from cas_registry.operations.importing.foreign import ForeignTag, ForeignVersion, SourceOptions, Unreadable, reading
from cas_registry.operations.importing.git_history import GitCommit, GitFile, GitRepository, representatives, tags_by_commit
from cas_registry.operations.importing.likeness import nothing_of
from cas_registry.operations.importing.places import FolderPlace, Place, open_place
from cas_registry.operations.importing.selection import selected
from cas_registry.operations.yaml_text import load_yaml

MAX_LISTED = 1_000_000  # files of one folder
_MAX_META_BYTES = 1024 * 1024  # of a .dvc file or dvc.lock
_MAX_DIR_BYTES = 256 * 1024 * 1024  # of the list of a folder's files
_MAX_TEXT_BYTES = 256 * 1024 * 1024  # of a file whose line ends DVC 2 left out of the MD5
_MD5 = re.compile(r"[0-9a-f]{32}(?:\.dir)?")
_REMOTE = re.compile(r"""'?remote "(?P<name>[^"]+)"'?""")
_LOCK, _PIPELINE = "dvc.lock", "dvc.yaml"
_PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Output:
    """A file or folder that DVC keeps: its path in the repository, and its MD5 (`….dir` of a folder). `is_legacy`: as DVC 2 reckoned it, without
    the carriage returns of text."""

    path: str
    md5: str
    size_bytes: int | None
    is_legacy: bool


@dataclass(frozen=True, slots=True)
class _Told:
    """What the metadata of a commit tells. `problem` is why it cannot be read."""

    outputs: tuple[Output, ...] = ()
    params: Mapping[str, Scalar] = field(default_factory=dict)
    problem: str = ""


def open_source(place: str, options: SourceOptions) -> DvcSource:
    """The repository whose work tree is `place`: its own cache, those remotes of its configuration that are folders, and `objects`."""
    if not (Path(place) / ".dvc").is_dir():
        raise nothing_of(place, "the top of a DVC repository: it holds no folder .dvc")
    repository = GitRepository(Path(place))
    stores = [FolderPlace(folder) for folder in _folders(Path(place)) if folder.is_dir()]
    given = [open_place(options.objects, options.storage_options)] if options.objects else []
    return DvcSource(repository, (*given, *stores), tuple(options.paths), tagged=options.tagged)


@dataclass(frozen=True, slots=True)
class DvcSource:
    """A repository, which is only read, and the places where DVC's objects may lie."""

    repository: GitRepository
    stores: tuple[Place, ...]
    paths: tuple[str, ...] = ()
    tagged: bool = False
    kind: str = "dvc"

    @property
    def place(self) -> str:
        return str(self.repository.folder.resolve())

    def versions(self) -> Iterator[ForeignVersion | Unreadable]:
        commits = self.repository.commits()
        read: dict[tuple[tuple[str, str], ...], _Told] = {}
        told = {commit.id: self._told(commit, read) for commit in commits}
        first = representatives(commits, {identity: (found.outputs, found.problem) for identity, found in told.items()})
        tags: dict[str, list[ForeignTag]] = {}
        for identity, tag in tags_by_commit(self.repository.tags(), first):
            tags.setdefault(identity, []).append(
                ForeignTag(tag.name, f"git tag {tag.name}{': ' if tag.message else ''}{tag.message}")
            )
        for commit in commits:
            found = told[commit.id]
            if first[commit.id] != commit.id or (self.tagged and commit.id not in tags):
                continue
            if found.problem:
                yield Unreadable(self.repository.name, commit.id[:12], found.problem)
            elif found.outputs:
                yield self._version(commit, found, tuple(tags.get(commit.id, ())))

    def _version(self, commit: GitCommit, found: _Told, tags: tuple[ForeignTag, ...]) -> ForeignVersion | Unreadable:
        try:
            with reading(f"the metrics of {commit.id[:12]}"):
                metrics = self._metrics(commit, found)
        except RegistryError as error:
            return Unreadable(self.repository.name, commit.id[:12], error.message)
        sizes = [output.size_bytes for output in found.outputs]
        return ForeignVersion(
            model=self.repository.name,
            id=commit.id,
            name=commit.id[:12],
            lay_out=lambda scratch: self._lay_out(commit, found.outputs, scratch),
            author=naming.author(commit.author),
            time_ms=naming.time_ms(commit.time_ms),
            message=naming.message(commit.message),
            params=found.params,
            metrics=metrics,
            code={"commit": commit.id},
            tags=tags,
            size_bytes=None if None in sizes else sum(size or 0 for size in sizes),
        )

    def _told(self, commit: GitCommit, read: dict[tuple[tuple[str, str], ...], _Told]) -> _Told:
        files = [file for file in self.repository.tree(commit.id) if _is_metadata(file.path)]
        key = tuple((file.path, file.blob) for file in files)
        if key not in read:
            try:
                with reading(f"what DVC tracks in {commit.id[:12]}"):
                    read[key] = self._parse(files)
            except RegistryError as error:
                read[key] = _Told(problem=error.message)
        return read[key]

    def _parse(self, files: Iterable[GitFile]) -> _Told:
        outputs: dict[str, Output] = {}
        params: dict[str, Scalar] = {}
        for file in files:
            text = self.repository.blob(file, limit=_MAX_META_BYTES).decode("utf-8")
            document = load_yaml(text, what=file.path) or {}
            folder = posixpath.dirname(file.path)
            stages = _stages(document).values() if posixpath.basename(file.path) == _LOCK else [document]
            for stage in stages:
                for out in stage.get("outs") or ():
                    found = _output(out, posixpath.join(folder, stage.get("wdir") or ""))
                    if selected(found.path, self.paths):
                        outputs[found.path] = found
                params |= _params(stage.get("params"))
        return _Told(tuple(outputs[path] for path in sorted(outputs)), params)

    def _metrics(self, commit: GitCommit, told: _Told) -> dict[str, Scalar]:
        tree = {file.path: file for file in self.repository.tree(commit.id)}
        kept = {output.path: output for output in told.outputs}
        names = [
            path
            for file in tree.values()
            if posixpath.basename(file.path) == _PIPELINE
            for path in _metric_files(
                load_yaml(self.repository.blob(file, limit=_MAX_META_BYTES).decode("utf-8"), what=file.path),
                posixpath.dirname(file.path),
            )
        ]
        metrics: dict[str, Scalar] = {}
        for path in dict.fromkeys(names):
            if path in tree:
                data = self.repository.blob(tree[path], limit=_MAX_META_BYTES)
            elif path in kept:
                data = self._read(kept[path].md5, limit=_MAX_META_BYTES)
            else:
                continue
            values = naming.scalars(_parsed(path, data.decode("utf-8")), what="metric")
            metrics |= {name if name not in metrics else f"{path}:{name}": value for name, value in values.items()}
        return metrics

    def _lay_out(self, commit: GitCommit, outputs: Iterable[Output], scratch: Path) -> Path:
        tree = {file.path: file for file in self.repository.tree(commit.id)}
        files, fetched = scratch / "files", scratch / "fetched"
        for folder in (files, fetched):
            folder.mkdir()
        for output in outputs:
            if output.path in tree:  # git keeps it (cache: false)
                target = files / naming.inside(output.path)
                target.parent.mkdir(parents=True, exist_ok=True)
                self.repository.write_blob(tree[output.path], target)
                continue
            if output.md5.endswith(".dir"):
                listed = json.loads(self._read(output.md5, limit=_MAX_DIR_BYTES))
                if len(listed) > MAX_LISTED:
                    raise InvalidInputError(f"{output.path} lists more than {MAX_LISTED:,} files")
                members = [(f"{output.path}/{row['relpath']}", str(row["md5"])) for row in listed]
            else:
                members = [(output.path, output.md5)]
            for path, md5 in members:
                target = files / naming.inside(path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(self._object(path, md5, fetched, is_legacy=output.is_legacy))
        return files

    def _object(self, path: str, md5: str, fetched: Path, *, is_legacy: bool) -> Path:
        """Where the bytes of a file lie, once they are known to be the ones. NotFoundError, InvalidInputError for other bytes."""
        for place, key in self._places(md5):
            file = place.fetch(key, fetched)
            if not _has_digest(file, md5, is_legacy=is_legacy):
                raise InvalidInputError(f"the object of {path} at {place.url}/{key} has other bytes than its name says")
            return file
        raise self._missing(path, md5)

    def _read(self, md5: str, *, limit: int) -> bytes:
        for place, key in self._places(md5):
            data = place.read(key, limit=limit)
            if hashlib.md5(data, usedforsecurity=False).hexdigest() != md5.removesuffix(".dir"):
                raise InvalidInputError(f"{place.url}/{key} has other bytes than its name says")
            return data
        raise self._missing("a folder's list" if md5.endswith(".dir") else "a file", md5)

    def _places(self, md5: str) -> Iterator[tuple[Place, str]]:
        """Where an object lies: as DVC 3 keeps it, or DVC 2."""
        if not _MD5.fullmatch(md5):
            raise InvalidInputError(f"not an MD5: {md5[:80]!r}")
        for place in self.stores:
            for key in (f"files/md5/{md5[:2]}/{md5[2:]}", f"{md5[:2]}/{md5[2:]}"):
                if place.has(key):
                    yield place, key

    def _missing(self, path: str, md5: str) -> NotFoundError:
        places = ", ".join(place.url for place in self.stores) or "no cache"
        return NotFoundError(
            f"the object {md5[:12]} of {path} is not in {places}; dvc pull --all-commits brings it, or --objects names the remote"
        )


def _stages(lock: Mapping[str, Any]) -> Mapping[str, Any]:
    """Those of dvc.lock: before DVC 2 it was a mapping of them alone."""
    stages: Mapping[str, Any] = lock.get("stages", {}) if "schema" in lock or "stages" in lock else lock
    return stages


def _is_metadata(path: str) -> bool:
    return posixpath.basename(path) == _LOCK or (path.endswith(".dvc") and posixpath.basename(path) != ".dvc")


def _output(out: Mapping[str, Any], folder: str) -> Output:
    """InvalidInputError for what has no MD5: it lies in a cloud's own versions, or was never committed."""
    path = posixpath.normpath(posixpath.join(folder, str(out["path"])))
    md5 = out.get("md5")
    if not isinstance(md5, str) or not _MD5.fullmatch(md5):
        raise InvalidInputError(f"{path} has no MD5: what DVC keeps otherwise cannot be imported")
    size = out.get("size")
    return Output(naming.inside(path), md5, size if isinstance(size, int) else None, is_legacy=out.get("hash") != "md5")


def _params(files: object) -> dict[str, Scalar]:
    """Those of params.yaml by their own names, those of other files behind the file's; of a .dvc file none."""
    found: dict[str, Scalar] = {}
    for name, values in files.items() if isinstance(files, Mapping) else ():
        prefix = "" if name == "params.yaml" else f"{name}:"
        found |= {f"{prefix}{key}": value for key, value in naming.scalars(values, what="param").items()}
    return found


def _metric_files(document: Any, folder: str) -> Iterator[str]:
    """The paths that dvc.yaml calls metrics, of its stages and of its own."""
    if not isinstance(document, Mapping):
        return
    for holder in (document, *(document.get("stages") or {}).values()):
        metrics = holder.get("metrics") if isinstance(holder, Mapping) else None
        for item in metrics if isinstance(metrics, list) else ():
            path = next(iter(item)) if isinstance(item, Mapping) else item
            wdir = holder.get("wdir") or "" if holder is not document else ""
            yield posixpath.normpath(posixpath.join(folder, wdir, str(path)))


def _folders(top: Path) -> Iterator[Path]:
    """The cache, and the remotes that are folders, by the configuration of the work tree. What it names elsewhere is not asked."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    base = top / ".dvc"
    with reading(str(base / "config")):
        for file in (base / "config", base / "config.local"):
            if not file.is_file() or file.stat().st_size > _MAX_META_BYTES:
                continue
            try:
                parser.read_string(file.read_text("utf-8"))
            except configparser.Error as error:
                raise InvalidInputError(f"{file} cannot be read: {str(error).splitlines()[0][:200]}") from error
    cache = parser.get("cache", "dir", fallback="cache")
    yield base / cache
    for section in parser.sections():
        url = parser.get(section, "url", fallback="") if _REMOTE.fullmatch(section) else ""
        if url and "://" not in url.removeprefix("file://"):
            yield base / url.removeprefix("file://")


def _has_digest(file: Path, md5: str, *, is_legacy: bool) -> bool:
    digest = hashlib.md5(usedforsecurity=False)
    with reading(str(file)), file.open("rb") as opened:
        while piece := opened.read(_PIECE_BYTES):
            digest.update(piece)
    if digest.hexdigest() == md5:
        return True
    if not is_legacy or file.stat().st_size > _MAX_TEXT_BYTES:
        return False
    return hashlib.md5(file.read_bytes().replace(b"\r\n", b"\n"), usedforsecurity=False).hexdigest() == md5


def _parsed(path: str, text: str) -> object:
    """What a metrics file holds; nothing where it is of a kind that is not read."""
    read = _READERS.get(posixpath.splitext(path)[1])
    return read(text, path) if read else None


_READERS: Mapping[str, Callable[[str, str], Any]] = {
    ".json": lambda text, _: json.loads(text),
    ".yaml": lambda text, what: load_yaml(text, what=what),
    ".yml": lambda text, what: load_yaml(text, what=what),
    ".toml": lambda text, _: tomllib.loads(text),
}
