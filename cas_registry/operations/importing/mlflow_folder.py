"""An MLflow store in a folder (`mlruns`), read by its format.

    EXPERIMENT/meta.yaml                      name, id
    EXPERIMENT/RUN/meta.yaml                  who, when, name
    EXPERIMENT/RUN/params/NAME, tags/NAME     a value each
    EXPERIMENT/RUN/metrics/NAME               a line for each time that it was logged: milliseconds, value, step
    EXPERIMENT/RUN/artifacts/…                files
    EXPERIMENT/models/ID/artifacts/…          files of a logged model (MLflow 3)
    models/NAME/meta.yaml, aliases/ALIAS      a registered model; an alias holds the number of a version
    models/NAME/version-N/meta.yaml, tags/…   a version: where its files are, when, which run

Where files are is an absolute path of the machine that wrote it: what counts is its end, below this folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from cas_registry.errors import InvalidInputError, LimitError, NotFoundError, RegistryError
from cas_registry.model.canonical import Scalar
from cas_registry.operations.importing import naming
from cas_registry.operations.importing.foreign import Unreadable, reading
from cas_registry.operations.importing.likeness import nothing_of
from cas_registry.operations.importing.mlflow import Registered, Run, about_model, name_of, no_experiment, user_of
from cas_registry.operations.importing.places import MAX_FILES, own_folder, regular_file
from cas_registry.operations.yaml_text import MAX_YAML_BYTES, load_yaml

_META = "meta.yaml"
_MODELS = "models"
_MAX_VALUES = 10_000  # params, metrics or tags of one run: as many as a commit takes
_MAX_VALUE_BYTES = 64 * 1024
_MAX_METRIC_BYTES = 16 * 1024 * 1024  # a metric that was logged a hundred thousand times
_DELETED = "deleted"
_TAIL = re.compile(r"(?:^|/)(?P<tail>[^/]+/(?:[0-9a-f]{32}|models/m-[0-9a-f]{32})/artifacts(?:/.*)?)$")
_BY_RUN = re.compile(r"runs:/(?P<run>[0-9a-f]{32})(?:/(?P<path>.+))?")
_BY_MODEL = re.compile(r"models:/(?P<model>m-[0-9a-f]{32})")
_RUN = re.compile(r"[0-9a-f]{32}")
_MS, _VALUE, _STEP = 0, 1, 2  # of a metric's line


def open_folder(place: str) -> MlflowFolder:
    """The store in this folder, or in its `mlruns`. NotFoundError where there is neither experiment nor model."""
    folder = Path(unquote(urlsplit(place).path) if place.startswith("file:") else place)
    for root in (folder, folder / "mlruns"):
        if (root / _MODELS).is_dir() or next(root.glob(f"*/{_META}"), None):
            return MlflowFolder(root.resolve())
    raise nothing_of(place, "an MLflow store: it holds neither experiments nor registered models")


@dataclass(frozen=True, slots=True)
class MlflowFolder:
    """A folder, which is only read; nothing outside of it is."""

    root: Path
    _found: dict[str, Path] = field(default_factory=dict)
    _logged: dict[str, dict[str, Path]] = field(default_factory=dict)  # run -> the models that it logged, by name

    @property
    def url(self) -> str:
        return str(self.root)

    def registered(self) -> Iterator[Registered | Unreadable]:
        for model in _folders(self.root / _MODELS):
            try:
                with reading(str(model)):
                    aliases = self._values(model / "aliases")
                    meta = self._meta(model) if (model / _META).is_file() else {}
                    about = about_model(meta.get("description"), self._values(model / "tags"))
            except RegistryError as error:
                yield Unreadable(model.name, model.name, error.message)
                continue
            for folder in _folders(model):
                if folder.name.startswith("version-"):
                    yield self._registered(model.name, folder, aliases, about)

    def run(self, identity: str) -> Run | None:
        folder = self._run_folder(identity)
        if folder is None:
            return None
        with reading(f"run {identity}"):
            return self._read_run(folder)

    def runs(self, experiment: str) -> Iterator[Run | Unreadable]:
        names: dict[str, Path] = {}
        for folder in _folders(self.root):
            if (folder / _META).is_file() and folder.name != _MODELS:
                with reading(str(folder)):
                    names[str(self._meta(folder).get("name"))] = folder
                    names.setdefault(folder.name, folder)
        if experiment not in names:
            raise no_experiment(experiment, self.url, list(names))
        self._find_logged(names[experiment])
        for folder in _folders(names[experiment]):
            if _RUN.fullmatch(folder.name):
                try:
                    with reading(f"run {folder.name}"):
                        run = self._read_run(folder)
                except RegistryError as error:
                    yield Unreadable(experiment, folder.name, error.message)
                    continue
                if run is not None:
                    yield run

    def has_files(self, run: Run) -> bool:
        folder = self._run_folder(run.id)
        return run.id in self._logged or (
            folder is not None and any(path.is_file() for path in (folder / "artifacts").rglob("*"))
        )

    def version_files(self, version: Registered, scratch: Path) -> Path:
        del scratch
        return own_folder(self._located(version.source), within=self.root)

    def run_files(self, run: Run, scratch: Path) -> Path:
        folder = self._run_folder(run.id)
        if folder is None:
            raise NotFoundError(f"run {run.id} is no longer there")
        logged = self._logged.get(run.id, {})
        if not logged:
            return own_folder(folder / "artifacts", within=self.root)
        targets: dict[str, Path] = {}
        for prefix, held in (("", folder / "artifacts"), *((f"{name}/", files) for name, files in logged.items())):
            for path, file in _below(own_folder(held, within=self.root), MAX_FILES) if held.is_dir() else ():
                targets[naming.inside(f"{prefix}{path}")] = file.resolve()
        for path, file in targets.items():
            (scratch / path).parent.mkdir(parents=True, exist_ok=True)
            (scratch / path).symlink_to(file)
        return scratch

    def _find_logged(self, experiment: Path) -> None:
        """The models that the runs of an experiment logged, of each name the last."""
        found = []
        for folder in _folders(experiment / _MODELS):
            with suppress(RegistryError), reading(str(folder)):  # one that cannot be read is no run's
                meta = self._meta(folder)
                if meta.get("lifecycle_stage") != _DELETED and isinstance(meta.get("source_run_id"), str):
                    found.append(
                        (int(meta["creation_timestamp"]), meta["source_run_id"], str(meta["name"]), folder / "artifacts")
                    )
        for _, run, name, files in sorted(found):
            self._logged.setdefault(run, {})[name] = files

    def _registered(
        self, model: str, folder: Path, aliases: Mapping[str, str], about: Mapping[str, Scalar]
    ) -> Registered | Unreadable:
        try:
            with reading(str(folder)):
                meta = self._meta(folder)
                number = str(meta["version"])
                if folder.name != f"version-{number}":
                    raise InvalidInputError(f"{folder} is about version {number[:40]!r}")
                return Registered(
                    model=model,
                    version=number,
                    created_ms=naming.time_ms(meta.get("creation_timestamp")),
                    user=naming.author(meta.get("user_id")),
                    description=str(meta.get("description") or ""),
                    stage=meta.get("current_stage") if isinstance(meta.get("current_stage"), str) else None,
                    source=str(meta.get("storage_location") or meta.get("source") or ""),
                    run_id=str(meta["run_id"]) if meta.get("run_id") else None,
                    aliases=tuple(alias for alias, version in aliases.items() if version.strip() == number),
                    tags=self._values(folder / "tags"),
                    about=about,
                )
        except RegistryError as error:
            return Unreadable(model, f"{model}/{folder.name.removeprefix('version-')}", error.message)

    def _read_run(self, folder: Path) -> Run | None:
        meta = self._meta(folder)
        if meta.get("lifecycle_stage") == _DELETED:
            return None
        tags = self._values(folder / "tags")
        return Run(
            id=folder.name,
            name=name_of(tags, meta.get("run_name")),
            user=user_of(tags, meta.get("user_id")),
            start_ms=naming.time_ms(meta.get("start_time")),
            params={name: naming.number(text) for name, text in self._values(folder / "params").items()},
            metrics=self._metrics(folder / "metrics"),
            tags=tags,
        )

    def _located(self, source: str) -> Path:
        """Where files are, of which the store says so. NotFoundError, InvalidInputError for what lies outside of this folder."""
        if found := _BY_RUN.fullmatch(source):
            run = self._run_folder(found["run"])
            if run is None:
                raise NotFoundError(f"there is no run {found['run']}, of which its files are")
            return run / "artifacts" / naming.inside(found["path"]) if found["path"] else run / "artifacts"
        if found := _BY_MODEL.fullmatch(source):
            model = next(self.root.glob(f"*/{_MODELS}/{found['model']}"), None)
            if model is None:
                raise NotFoundError(f"there is no logged model {found['model']}, of which its files are")
            return model / "artifacts"
        tail = _TAIL.search(
            unquote(urlsplit(source).path if "://" in source or source.startswith("file:") else source).rstrip("/")
        )
        if tail is None:
            raise InvalidInputError(
                f"its files are at {source[:200]!r}, not in this folder; import from the tracking server that has it"
            )
        return self.root / naming.inside(tail["tail"])

    def _run_folder(self, identity: str) -> Path | None:
        if not _RUN.fullmatch(identity):
            raise InvalidInputError(f"not the id of a run: {identity[:80]!r}")
        if not self._found:
            for folder in _folders(self.root):
                self._found.update({run.name: run for run in _folders(folder) if _RUN.fullmatch(run.name)})
        return self._found.get(identity)

    def _meta(self, folder: Path) -> Mapping[str, Any]:
        document = load_yaml(self._text(folder / _META, MAX_YAML_BYTES), what=str(folder / _META))
        if not isinstance(document, Mapping):
            raise InvalidInputError(f"{folder / _META} holds no names with values")
        return document

    def _values(self, folder: Path) -> dict[str, str]:
        """The files of a folder, which are named with slashes where they lie deeper, by their text."""
        return {name: self._text(path, _MAX_VALUE_BYTES) for name, path in _below(folder)}

    def _metrics(self, folder: Path) -> dict[str, Scalar]:
        """Of each metric the value at the last step."""
        found: dict[str, Scalar] = {}
        for name, path in _below(folder):
            lines = [line.split() for line in self._text(path, _MAX_METRIC_BYTES).splitlines() if line.strip()]
            points = [(int(line[_STEP]) if len(line) > _STEP else 0, int(line[_MS]), float(line[_VALUE])) for line in lines]
            if points:
                found[name] = max(points)[-1]
        return found

    def _text(self, path: Path, limit: int) -> str:
        with regular_file(path, within=self.root).open("rb") as opened:
            data = opened.read(limit + 1)
        if len(data) > limit:
            raise LimitError(f"{path} is longer than {limit:,} bytes")
        return data.decode("utf-8")


def _folders(folder: Path) -> list[Path]:
    """The folders right in one, sorted; links are none."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink() and path.name != ".trash")


def _below(folder: Path, limit: int = _MAX_VALUES) -> list[tuple[str, Path]]:
    files = sorted(path for path in folder.rglob("*") if not path.is_dir()) if folder.is_dir() else []
    if len(files) > limit:
        raise LimitError(f"{folder} holds more than {limit:,} files")
    return [(path.relative_to(folder).as_posix(), path) for path in files]
