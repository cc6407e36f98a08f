"""An MLflow tracking server, or the database of one, by MLflow's own client: it knows how to log in, and how to fetch artifacts from wherever they are."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cas_registry.errors import AccessError, BackendError, NotFoundError
from cas_registry.operations.importing import naming
from cas_registry.operations.importing.foreign import Unreadable
from cas_registry.operations.importing.mlflow import Registered, Run, about_model, name_of, no_experiment, user_of
from cas_registry.operations.importing.places import own_folder
from cas_registry.redaction import redact

_DATABASES = frozenset({"sqlite", "postgresql", "mysql", "mssql"})
_PAGE = 100  # rows asked for at once
_NO_ANSWER = "Max retries exceeded"
_RETRIES = 3  # of a request, after 0, 4 and 8 seconds
_MISSING = "RESOURCE_DOES_NOT_EXIST"
_DENIED = frozenset({"PERMISSION_DENIED", "UNAUTHENTICATED"})
_NO_SUCH_CALL = frozenset({"ENDPOINT_NOT_FOUND", "RESOURCE_DOES_NOT_EXIST", "NOT_IMPLEMENTED"})
_DELETED = "deleted"


def open_client(url: str) -> MlflowServer:
    """The store at a URL. NotFoundError where MLflow is not installed."""
    try:
        from mlflow import MlflowClient  # noqa: PLC0415 - seconds, for this source only
    except ImportError as error:
        raise NotFoundError(
            "importing from an MLflow server or database needs its client: pip install mlflow-skinny (mlflow for a database)"
        ) from error
    if url.partition("://")[0].partition("+")[0] in _DATABASES:
        _check_tables(url)
    with _answers(url):
        return MlflowServer(url, MlflowClient(tracking_uri=url, registry_uri=url))


def _check_tables(url: str) -> None:
    """NotFoundError for a database that is not MLflow's: opened by its client it would become one. BackendError where it does not answer."""
    needs = f"importing from {redact(url)} needs"
    try:
        import sqlalchemy  # noqa: PLC0415 - as above
        from sqlalchemy.pool import NullPool  # noqa: PLC0415
    except ImportError as error:
        raise NotFoundError(f"{needs} more than MLflow's client: pip install mlflow") from error
    try:
        place = sqlalchemy.engine.make_url(url)
        if place.get_backend_name() == "sqlite" and not (place.database and Path(place.database).is_file()):
            raise NotFoundError(
                f"there is no file {place.database or ''}, which {redact(url)} names", path=place.database or ""
            )
        tables = set(sqlalchemy.inspect(sqlalchemy.create_engine(place, poolclass=NullPool)).get_table_names())
    except ImportError as error:
        raise NotFoundError(f"{needs} the driver of its database: pip install {error.name or 'one'}") from error
    except sqlalchemy.exc.SQLAlchemyError as error:
        told = redact(str(error).strip().partition("\n")[0])[:300]
        raise BackendError(f"{redact(url)} cannot be read: {told}", transient=False) from error
    if not {"experiments", "registered_models"} <= tables:
        raise NotFoundError(f"{redact(url)} is not an MLflow store: it has no tables of MLflow's", path=redact(url))


@dataclass(frozen=True, slots=True)
class MlflowServer:
    """A server, which is only asked."""

    url: str
    client: Any
    _logged: dict[str, dict[str, str]] = field(
        default_factory=dict
    )  # run -> the models that it logged, by name: where their files are

    def registered(self) -> Iterator[Registered | Unreadable]:
        with self._answers():
            for model in _pages(self.client.search_registered_models):
                aliases = {str(alias): str(version) for alias, version in dict(model.aliases or {}).items()}
                about = about_model(model.description, dict(model.tags))
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
                        about=about,
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
            self._find_logged(identity)
            yield from map(_run, _pages(self.client.search_runs, experiment_ids=[identity]))

    def has_files(self, run: Run) -> bool:
        with self._answers():
            return run.id in self._logged or bool(self.client.list_artifacts(run.id))

    def version_files(self, version: Registered, scratch: Path) -> Path:
        with self._answers():
            return self._download(self.client.get_model_version_download_uri(version.model, version.version), scratch)

    def run_files(self, run: Run, scratch: Path) -> Path:
        with self._answers():
            logged = self._logged.get(run.id, {})
            uri = self.client.get_run(run.id).info.artifact_uri
            if not logged:
                return self._download(uri, scratch)
            files = scratch / "files"
            files.mkdir()
            own = {".": uri} if self.client.list_artifacts(run.id) else {}
            for count, (name, location) in enumerate({**own, **logged}.items()):
                fetched = scratch / str(count)
                fetched.mkdir()
                target = files if name == "." else files / naming.inside(name)
                shutil.copytree(self._download(location, fetched), target, dirs_exist_ok=True)
                shutil.rmtree(fetched)
            return own_folder(files, within=scratch)

    def _find_logged(self, experiment: str) -> None:
        """The models that the runs of an experiment logged, of each name the last; servers before MLflow 3 have none."""
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - as above

        if not hasattr(self.client, "search_logged_models"):
            return
        order = [{"field_name": "creation_time", "ascending": True}]
        try:
            for model in _pages(self.client.search_logged_models, experiment_ids=[experiment], order_by=order):
                if model.source_run_id:
                    self._logged.setdefault(model.source_run_id, {})[model.name] = model.artifact_location
        except MlflowException as error:
            if error.error_code not in _NO_SUCH_CALL:
                raise

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
def _settings() -> Iterator[None]:
    """MLflow without bars of its own, and giving a server that does not answer up after some fifteen seconds instead of minutes, unless its
    user chose otherwise. It takes this from the environment alone, which is put back."""
    from mlflow import environment_variables  # noqa: PLC0415 - as above

    wanted = {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(_RETRIES)}
    known = {name: text for name, text in wanted.items() if hasattr(environment_variables, name)}
    chosen = {name: getattr(environment_variables, name) for name in known}
    ours = [variable for variable in chosen.values() if not variable.is_set()]
    for variable in ours:
        variable.set(known[variable.name])
    try:
        yield
    finally:
        for variable in ours:
            variable.unset()


@contextmanager
def _answers(url: str) -> Iterator[None]:
    """MLflow's errors as ours."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - as above

    try:
        with _settings():
            yield
    except MlflowException as error:
        told = redact(str(error.message).strip().partition("\n")[0])[:300]
        if error.error_code == _MISSING:
            raise NotFoundError(f"{redact(url)}: {told}") from error
        if error.error_code in _DENIED:
            raise AccessError(f"{redact(url)}: {told}") from error
        if _NO_ANSWER in str(error.message):
            raise BackendError(
                f"{redact(url)} does not answer; check the address, and that the server runs: {told}", transient=False
            ) from error
        raise BackendError(f"{redact(url)}: {told}", transient=False) from error
