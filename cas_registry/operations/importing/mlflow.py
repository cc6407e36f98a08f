"""An MLflow store (mlflow.org): its registered models with their versions, or all runs of one experiment.

A folder (`mlruns`) is read by its own format, without MLflow (`importing/mlflow_folder.py`); a tracking server, or a database, by MLflow's client
(`importing/mlflow_client.py`). Either tells the same: `Registered` versions and `Run`s. Aliases and stages become tags, a stage also a label; tags of
version and run become labels; the signature of a model is read from its MLmodel file when it is committed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cas_registry.errors import NotFoundError, RegistryError
from cas_registry.model.canonical import Scalar
from cas_registry.operations.importing import naming
from cas_registry.operations.importing.foreign import ForeignTag, ForeignVersion, SourceOptions, Unreadable, reading
from cas_registry.redaction import redact

_NO_STAGE = frozenset({"", "None", None})
_DELETED = "Deleted_Internal"
_OWN = "mlflow."  # how the tags begin that MLflow sets
_CODE = {
    "mlflow.source.git.commit": "commit",
    "mlflow.source.git.branch": "branch",
    "mlflow.source.git.repoURL": "repository",
    "mlflow.source.name": "entry_point",
}
_USER, _RUN_NAME, _NOTE = "mlflow.user", "mlflow.runName", "mlflow.note.content"


@dataclass(frozen=True, slots=True)
class Run:
    """A run, as far as a version of it is concerned."""

    id: str
    name: str
    user: str | None
    start_ms: int | None
    params: Mapping[str, Scalar] = field(default_factory=dict)
    metrics: Mapping[str, Scalar] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Registered:
    """A version of a registered model. `source` is what the store says of where its files lie; `about` are labels that its model has as a whole."""

    model: str
    version: str
    created_ms: int | None
    user: str | None
    description: str
    stage: str | None
    source: str
    run_id: str | None
    aliases: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    about: Mapping[str, Scalar] = field(default_factory=dict)


class MlflowStore(Protocol):
    """A way to a store."""

    @property
    def url(self) -> str: ...
    def registered(self) -> Iterator[Registered | Unreadable]:
        """The versions of all registered models."""

    def run(self, identity: str) -> Run | None:
        """A run; None for one that is deleted."""

    def runs(self, experiment: str) -> Iterator[Run | Unreadable]:
        """The runs of an experiment, by its name or id. NotFoundError if there is none."""

    def has_files(self, run: Run) -> bool:
        """Whether a run has any artifacts, or logged a model."""

    def version_files(self, version: Registered, scratch: Path) -> Path:
        """The folder with a version's files."""

    def run_files(self, run: Run, scratch: Path) -> Path:
        """The folder with a run's artifacts, and with the models that it logged (MLflow 3 keeps them elsewhere) by their names."""


def open_source(place: str, options: SourceOptions) -> MlflowSource:
    """The store at a folder, at http(s)://, or at a database's URL; the latter two need mlflow: pip install mlflow-skinny."""
    from cas_registry.operations.importing.mlflow_folder import open_folder  # noqa: PLC0415 - the one that is needed

    if "://" not in place or place.startswith("file:"):
        return MlflowSource(open_folder(place), options.experiment)
    from cas_registry.operations.importing.mlflow_client import open_client  # noqa: PLC0415 - loads MLflow

    return MlflowSource(open_client(place), options.experiment)


@dataclass(frozen=True, slots=True)
class MlflowSource:
    """A store, which is only read: its registered models, or the runs of an experiment."""

    store: MlflowStore
    experiment: str | None = None
    kind: str = "mlflow"

    @property
    def place(self) -> str:
        return redact(self.store.url)

    def versions(self) -> Iterator[ForeignVersion | Unreadable]:
        yield from self._of_runs(self.experiment) if self.experiment is not None else self._of_models()

    def _of_models(self) -> Iterator[ForeignVersion | Unreadable]:
        found = list(self.store.registered())
        yield from (item for item in found if isinstance(item, Unreadable))
        registered = [item for item in found if isinstance(item, Registered) and item.stage != _DELETED]
        for version in sorted(registered, key=lambda item: (item.model, _order(item.version))):
            name = f"{version.model}/{version.version}"
            try:
                with reading(name):
                    run = self.store.run(version.run_id) if version.run_id else None
                    yield self._version(name, version, run)
            except RegistryError as error:
                yield Unreadable(version.model, name, error.message)

    def _version(self, name: str, version: Registered, run: Run | None) -> ForeignVersion:
        run_tags = run.tags if run else {}
        stage = None if version.stage in _NO_STAGE else version.stage
        labels = {
            **version.about,
            **_labels(run_tags),
            **_labels(version.tags),
            **naming.texts(
                {
                    "mlflow.version": naming.number(version.version),
                    "mlflow.stage": stage,
                    "mlflow.run_id": version.run_id,
                    "mlflow.run_name": run.name if run else None,
                }
            ),
        }
        tags = [ForeignTag(alias, f"alias {alias} of {name}") for alias in version.aliases]
        return ForeignVersion(
            model=version.model,
            id=f"{name}@{version.run_id or version.created_ms}",
            name=name,
            lay_out=lambda scratch: self.store.version_files(version, scratch),
            author=naming.author(version.user or (run.user if run else None)),
            time_ms=naming.time_ms(version.created_ms),
            message=naming.message(
                version.description or f"version {version.version}" + (f" of run {run.name}" if run else "")
            ),
            params=run.params if run else {},
            metrics=run.metrics if run else {},
            labels=labels,
            code=_code(run_tags),
            tags=(*tags, *([ForeignTag(stage, f"stage {stage} of {name}")] if stage else [])),
        )

    def _of_runs(self, experiment: str) -> Iterator[ForeignVersion | Unreadable]:
        found = list(self.store.runs(experiment))
        yield from (item for item in found if isinstance(item, Unreadable))
        runs = [item for item in found if isinstance(item, Run)]
        for run in sorted(runs, key=lambda item: (item.start_ms or 0, item.id)):
            if self.store.has_files(run):  # a run without files is no version of a model
                yield ForeignVersion(
                    model=experiment,
                    id=run.id,
                    name=run.name or run.id,
                    lay_out=_run_layout(self.store, run),
                    author=naming.author(run.user),
                    time_ms=naming.time_ms(run.start_ms),
                    message=naming.message(run.tags.get(_NOTE) or f"run {run.name or run.id}"),
                    params=run.params,
                    metrics=run.metrics,
                    labels={**_labels(run.tags), **naming.texts({"mlflow.run_id": run.id, "mlflow.run_name": run.name})},
                    code=_code(run.tags),
                )


def about_model(description: object, tags: Mapping[str, str]) -> dict[str, Scalar]:
    """What is said of a registered model as a whole, as labels of its versions."""
    told = {f"mlflow.model.{name}": value for name, value in _labels(tags).items()}
    return naming.texts({"mlflow.model_description": description or None, **told})


def user_of(tags: Mapping[str, str], user: object) -> str | None:
    """Who made a run: by its tag, else by what the store noted."""
    return tags.get(_USER) or (user if isinstance(user, str) else None) or None


def name_of(tags: Mapping[str, str], name: object) -> str:
    """What a run is called."""
    return name if isinstance(name, str) and name else tags.get(_RUN_NAME, "")


def no_experiment(experiment: str, url: str, known: list[str]) -> NotFoundError:
    """What to say where there is no such experiment."""
    return NotFoundError(f"{redact(url)} has no experiment {experiment!r}; it has {', '.join(sorted(known)[:20]) or 'none'}")


def _run_layout(store: MlflowStore, run: Run) -> Callable[[Path], Path]:
    return lambda scratch: store.run_files(run, scratch)


def _labels(tags: Mapping[str, str]) -> dict[str, Scalar]:
    return naming.texts({name: value for name, value in tags.items() if not name.startswith(_OWN)})


def _code(tags: Mapping[str, str]) -> dict[str, Scalar]:
    return naming.texts({name: redact(tags[tag]) for tag, name in _CODE.items() if tags.get(tag)})


def _order(version: str) -> tuple[int, str]:
    return (int(version), "") if version.isascii() and version.isdecimal() else (0, version)
