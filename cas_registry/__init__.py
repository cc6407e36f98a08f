"""cas_registry: a content-addressed, git-like artifact store for machine-learning models.

import cas_registry as reg

registry = reg.open("s3://bucket/registry")
model = registry.model("fraud")
commit = model.commit("out/", message="lr 1e-4", metrics={"auc": 0.93})
model.tag("prod", "main", reason="beats v12")
model.checkout("prod", "serve/")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cas_registry import errors
from cas_registry.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike
    from pathlib import Path

    from cas_registry.registry import Model, Registry

__all__ = ["Model", "Registry", "__version__", "errors", "init", "open"]


def open(  # noqa: A001 - reg.open, as in gzip.open
    url: str | PathLike[str],
    *,
    storage_options: Mapping[str, Any] | None = None,
    author: str | None = None,
    cache_folder: Path | None = None,
    offline: bool | None = None,
) -> Registry:
    """The registry at `url`: a folder, s3://bucket/prefix, gs://…, az://….

    `storage_options` go to fsspec's file system. `author` and `cache_folder` default to REG_AUTHOR or user@host, and to REG_CACHE or
    the platform's cache folder. With `offline` (by default where REG_OFFLINE is 1) a remote store is not asked for anything: what this machine
    has seen of it answers, and OfflineError says what that lacks. Raises NotFoundError, AccessError, BackendError, IntegrityError, UnsupportedFormatError.
    """
    from cas_registry.registry import open_registry
    from cas_registry.settings import default_offline

    chosen = default_offline() if offline is None else offline
    return open_registry(url, _settings(author, cache_folder), storage_options=storage_options, offline=chosen)


def init(
    url: str | PathLike[str],
    *,
    storage_options: Mapping[str, Any] | None = None,
    single_writer: bool = False,
    author: str | None = None,
    cache_folder: Path | None = None,
) -> Registry:
    """Make a registry at `url`, after the store has shown that it honours create-if-absent.

    `single_writer` accepts a store that does not, on the promise that one process writes at a time. Raises AlreadyExistsError where
    there is one already, BackendError for a store that is not fit.
    """
    from cas_registry.registry import init_registry

    return init_registry(url, _settings(author, cache_folder), storage_options=storage_options, single_writer=single_writer)


def __getattr__(name: str) -> Any:
    if name in {"Model", "Registry"}:
        from cas_registry import registry

        return getattr(registry, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _settings(author: str | None, cache_folder: Path | None) -> Any:
    from cas_registry.settings import Settings, default_author, default_cache_folder

    return Settings(author=author or default_author(), cache_folder=cache_folder or default_cache_folder())
