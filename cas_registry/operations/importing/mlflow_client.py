"""An MLflow tracking server, or the database of one, by MLflow's own client: it knows how to log in, and how to fetch artifacts from wherever they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cas_registry.errors import AccessError, BackendError, NotFoundError
from cas_registry.operations.importing import naming
from cas_registry.operations.importing.foreign import Unreadable
from cas_registry.operations.importing.mlflow import Registered, Run, name_of, no_experiment, user_of
from cas_registry.operations.importing.places import own_folder
from cas_registry.redaction import redact

_PAGE = 100  # rows asked for at once
_MISSING = "RESOURCE_DOES_NOT_EXIST"
_DENIED = frozenset({"PERMISSION_DENIED", "UNAUTHENTICATED"})
_DELETED = "deleted"


def open_client(url: str) -> MlflowServer:
    """The store at a URL. NotFoundError where MLflow is not installed."""
    try:
        from mlflow import MlflowClient  # noqa: PLC0415 - seconds, for this source only
    except ImportError as error:
        raise NotFoundError(
            "importing from an MLflow server or database needs its client: pip install mlflow-skinny (mlflow for a database)"
        ) from error
    with _answers(url):
        return MlflowServer(url, MlflowClient(tracking_uri=url, registry_uri=url))


@dataclass(frozen=True, slots=True)
class MlflowServer:
    """A server, which is only asked."""

    url: str
    client: Any

    def registered(self) -> Iterator[Registered | Unreadable]:
        with self._answers():
            for model in _pages(self.client.search_registered_models):
                aliases = {str(alias): str(version) for alias, version in dict(model.aliases or {}).items()}
                quoted = model.name.replace("'", "\\'")
                for version in _pages(self.client.search_model_versions, filter_string=f"name='{quoted}'"):
                    yield Registered(
                        model=model.name,
                        version=str(version.version),
                        created_ms=naming.time_ms(version.creation_timestamp),
                        user=naming.author(version.user_id),
                        description=version.description or "",
                        stage=version.current_stage,
                        source=str(version.source or ""),
                        run_id=version.run_id or None,
                        aliases=tuple(sorted(alias for alias, number in aliases.items() if number == str(version.version))),
                        tags=dict(version.tags),
                    )

    def run(self, identity: str) -> Run | None:
        try:
            with self._answers():
                run = self.client.get_run(identity)
        except NotFoundError:
            return None
        return None if run.info.lifecycle_stage == _DELETED else _run(run)

    def runs(self, experiment: str) -> Iterator[Run | Unreadable]:
        with self._answers():
            known = {item.name: item.experiment_id for item in _pages(self.client.search_experiments)}
            identity = known.get(experiment, experiment if experiment in known.values() else None)
            if identity is None:
                raise no_experiment(experiment, self.url, list(known))
            yield from map(_run, _pages(self.client.search_runs, experiment_ids=[identity]))

    def has_files(self, run: Run) -> bool:
        with self._answers():
            return bool(self.client.list_artifacts(run.id))

    def version_files(self, version: Registered, scratch: Path) -> Path:
        with self._answers():
            return self._download(self.client.get_model_version_download_uri(version.model, version.version), scratch)

    def run_files(self, run: Run, scratch: Path) -> Path:
        with self._answers():
            return self._download(self.client.get_run(run.id).info.artifact_uri, scratch)

    def _download(self, uri: str, scratch: Path) -> Path:
        from mlflow.artifacts import download_artifacts  # noqa: PLC0415 - as above

        scheme = uri.partition(":")[0]
        if self.url.startswith(("http://", "https://")) and (scheme == "file" or ":" not in uri):
            raise NotFoundError(
                f"its files are at {redact(uri)[:200]!r} on the machine of the server, which does not hand them out"
            )
        return own_folder(
            Path(download_artifacts(artifact_uri=uri, dst_path=str(scratch), tracking_uri=self.url)), within=scratch
        )

    def _answers(self) -> AbstractContextManager[None]:
        return _answers(self.url)


def _run(run: Any) -> Run:
    tags = {str(name): str(value) for name, value in run.data.tags.items()}
    return Run(
        id=run.info.run_id,
        name=name_of(tags, run.info.run_name),
        user=user_of(tags, run.info.user_id),
        start_ms=naming.time_ms(run.info.start_time),
        params={name: naming.number(value) for name, value in run.data.params.items()},
        metrics={name: float(value) for name, value in run.data.metrics.items()},
        tags=tags,
    )


def _pages(ask: Callable[..., Any], **words: Any) -> Iterator[Any]:
    token = None
    while True:
        page = ask(max_results=_PAGE, page_token=token, **words)
        yield from page
        token = page.token
        if not token:
            return


@contextmanager
def _answers(url: str) -> Iterator[None]:
    """MLflow's errors as ours."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - as above

    try:
        yield
    except MlflowException as error:
        told = redact(str(error.message).strip().partition("\n")[0])[:300]
        if error.error_code == _MISSING:
            raise NotFoundError(f"{redact(url)}: {told}") from error
        if error.error_code in _DENIED:
            raise AccessError(f"{redact(url)}: {told}") from error
        raise BackendError(f"{redact(url)}: {told}", transient=False) from error
