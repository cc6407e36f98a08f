"""Moving in from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from os import fspath
from typing import TYPE_CHECKING, Any

from cas_registry.face.world import AnyPath, World
from cas_registry.model.names import check_ref
from cas_registry.operations.progress import NoProgress, Progress
from cas_registry.store.stores import Stores

if TYPE_CHECKING:
    from cas_registry.operations.importing.engine import ImportedVersion, ImportReport


class Importing:
    """A registry's side of it."""

    _stores: Stores
    _world: World

    def import_from(
        self,
        kind: str,
        source: AnyPath,
        *,
        only: Iterable[str] = (),
        names: Mapping[str, str] | None = None,
        branch: str = "main",
        experiment: str | None = None,
        keep_archive: bool = False,
        tagged: bool = False,
        paths: Iterable[str] = (),
        objects: AnyPath | None = None,
        types: Iterable[str] = ("model",),
        storage_options: Mapping[str, Any] | None = None,
        delta: str = "auto",
        dry_run: bool = False,
        strict: bool = False,
        tell: Callable[[ImportedVersion], None] = lambda _: None,
        progress: Progress | None = None,
    ) -> ImportReport:
        """Import what a `source` of a `kind` has and this registry has not: modelstore, mlflow, dvc, git-lfs, huggingface, wandb (docs/importing.md).

        Each version becomes one here, on `branch`, with its author, time, message, params and metrics; names that stand at it become tags. It is recognised
        the next time by its labels `imported.from` and `imported.id`, so that an import may be stopped and repeated. `only` are names of the source's
        models, `names` what to call them here. A tag that somebody moved here since stays where it is. With `dry_run` nothing is written.

        `experiment` (mlflow) takes its runs in place of the registered models; `keep_archive` (modelstore) keeps archives packed; `tagged` and
        `paths` (dvc, git-lfs) leave out commits without a tag, and what lies elsewhere; `objects` (dvc, git-lfs, wandb) is a further place for bytes;
        `types` (wandb) are those of artifacts; `storage_options` are the source's.

        What is wrong with one version is told of it in the report, and the next one is tried; with `strict` it is raised. NotFoundError where nothing of that
        kind is there, InvalidInputError where two models would have one name, and what the stores raise.
        """
        from cas_registry.operations.commit import check_delta
        from cas_registry.operations.importing import open_source
        from cas_registry.operations.importing.engine import ImportRequest, import_versions
        from cas_registry.operations.importing.foreign import SourceOptions

        options = SourceOptions(
            storage_options=storage_options,
            experiment=experiment,
            keep_archive=keep_archive,
            tagged=tagged,
            paths=tuple(paths),
            objects=fspath(objects) if objects is not None else None,
            types=tuple(types),
        )
        request = ImportRequest(
            who=self._world.author,
            time_ms=self._world.clock_ns() // 1_000_000,
            branch=check_ref(branch),
            only=tuple(only),
            names=dict(names or {}),
            delta=check_delta(delta),
            dry_run=dry_run,
            strict=strict,
        )
        return import_versions(
            self._stores,
            open_source(kind, fspath(source), options),
            request,
            cache_folder=self._world.cache_folder,
            clock_ns=self._world.clock_ns,
            progress=progress or NoProgress(),
            tell=tell,
        )
