"""What one call of `reg` works on: which registry, which model, whose name, which format. All of it found when first needed."""

import difflib
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cas_registry.cli.options import Choices, Format
from cas_registry.cli.output import Output
from cas_registry.cli.progress import ProgressBar, progress_bar
from cas_registry.errors import BackendError, InvalidInputError, NotFoundError, RegistryError

if TYPE_CHECKING:
    from cas_registry.cli.workspace import Workspace
    from cas_registry.operations.capture import Captured
    from cas_registry.registry import BoundFolder, Model, OfflineRegistry, Registry


class CommandWorld:
    """The `World` of the command line; each question is asked of the environment when it comes up."""

    clock_ns: Callable[[], int] = staticmethod(time.time_ns)

    @cached_property
    def author(self) -> str:
        from cas_registry.settings import default_author

        return default_author()

    @cached_property
    def cache_folder(self) -> Path | None:
        from cas_registry.settings import default_cache_folder

        return default_cache_folder()

    @cached_property
    def cache_bytes(self) -> int:
        from cas_registry.settings import default_cache_bytes

        return default_cache_bytes()

    @cached_property
    def state_folder(self) -> Path | None:
        from cas_registry.settings import default_state_folder

        return default_state_folder()

    @cached_property
    def signing_key(self) -> Path | None:
        from cas_registry.settings import default_signing_key

        return default_signing_key()

    @cached_property
    def allowed_signers(self) -> Path:
        from cas_registry.settings import default_allowed_signers

        return default_allowed_signers()

    @cached_property
    def verify(self) -> bool:
        from cas_registry.settings import default_verify

        return default_verify()

    @cached_property
    def home_folder(self) -> Path | None:
        from cas_registry.settings import default_home_folder

        return default_home_folder()

    def capture(self, folder: Path, *, diff: bool = False) -> "Captured | None":
        from cas_registry.settings import capture_command, default_captures

        return capture_command(folder, diff=diff) if default_captures() else None


class Session:
    """One call. The registry is the one of `-R`, else of REG_REGISTRY, else of the nearest bound folder; the model likewise."""

    def __init__(self, choices: Choices) -> None:
        self._choices = choices
        self._near: list[Path] = [Path()]
        self._opened: Registry | None = None
        self.world = CommandWorld()
        self.out = Output(choices.format or Format.HUMAN, lambda: self.world.clock_ns() // 1_000_000)

    def look_in(self, folder: Path, *, first: bool = False) -> None:
        """Look for a binding in this folder too, before or after the current one. To be called before anything is opened."""
        if folder.is_dir():
            self._near.insert(0 if first else len(self._near), folder)

    @cached_property
    def bound(self) -> "BoundFolder | None":
        """The nearest folder with a `.reg/config.toml`."""
        from cas_registry.registry import find_binding

        return next((found for start in self._near if (found := find_binding(start))), None)

    @cached_property
    def url(self) -> str:
        """Where the registry is. InvalidInputError says how to tell."""
        chosen = self._choices.registry or os.environ.get("REG_REGISTRY")
        if chosen:
            return chosen
        if self.bound:
            return self.bound.registry
        raise InvalidInputError(
            "which registry? Give it with -R URL or REG_REGISTRY, or make one and bind this folder to it: reg init URL"
        )

    @cached_property
    def storage_options(self) -> Mapping[str, Any]:
        """Those of the binding, if it is about this registry, and those given."""
        return self.options_for(self.url)

    @property
    def given_storage_options(self) -> Mapping[str, Any]:
        """Those of the command line alone."""
        return self._choices.storage_options

    @property
    def plain_storage_options(self) -> dict[str, Any]:
        """Those that may be shown."""
        from cas_registry.registry import plain_options

        return plain_options(self.storage_options)

    def options_for(self, url: str | None) -> Mapping[str, Any]:
        """The storage options for another URL than the session's: the binding's only if it is about that one."""
        if url is None or (self.bound and _same_place(self.bound.registry, url)):
            return {**(self.bound.storage_options if self.bound else {}), **self.given_storage_options}
        return self.given_storage_options

    @property
    def registry(self) -> "Registry":
        """The registry, opened."""
        if self._opened is None:
            from cas_registry.registry import open_registry

            self._opened = open_registry(self.url, self.world, storage_options=self.storage_options, offline=self.is_offline)
        return self._opened

    @cached_property
    def is_offline(self) -> bool:
        """Whether a remote registry is not to be asked for anything."""
        from cas_registry.settings import default_offline

        return self._choices.offline or default_offline()

    def require_store(self, url: str | None = None) -> None:
        """For a verb that looks after a store itself: OfflineError where that is not to be asked."""
        if self.is_offline:
            from cas_registry.registry import check_may_ask

            check_may_ask(url or self.url, offline=True)

    def run(self, action: Callable[[], int | None]) -> int | None:
        """Run a verb; then tell people how old what it answered from is."""
        code = action()
        seen_ms = self._opened.as_of_ms if self._opened else None
        if seen_ms is not None:
            self.tell_age(seen_ms)
        return code

    def tell_age(self, seen_ms: int) -> None:
        """Say when that was seen which was answered."""
        from cas_registry.cli import text

        self.out.note(f"As of {text.age(seen_ms, self.world.clock_ns() // 1_000_000)}: the registry was not asked")

    @property
    def indexed(self) -> "Registry | OfflineRegistry":
        """What searches are answered by: the registry, or without asking it the index of this machine."""
        if not self.is_offline:
            return self.registry
        from cas_registry.registry import open_offline

        return open_offline(self.url, self.world, storage_options=self.storage_options)

    @cached_property
    def workspace(self) -> "Workspace":
        """The bound folder's memory of what it holds."""
        from cas_registry.cli.workspace import Workspace

        return Workspace(self.bound, self.registry)

    @property
    def asked_model(self) -> str | None:
        """The model of `-M` or REG_MODEL."""
        return self._choices.model or os.environ.get("REG_MODEL") or None

    @property
    def chosen_model(self) -> str | None:
        """The model asked for, else the binding's."""
        bound = self.bound.model if self.bound and _same_place(self.bound.registry, self.url) else None
        return self.asked_model or bound

    def model(self, *revisions: str) -> "Model":
        """The model to work on: the one asked for, else the binding's, else one that a revision names (`MODEL@REV`), else the only one."""
        return self.registry.model(self.chosen_model or _named_in(revisions) or self._only_model())

    def none_of(self, model: "Model") -> list[Any]:
        """An empty list, for a model that is there: what has no branches may be a name mistyped."""
        if model.name not in self.registry.model_names():
            raise NotFoundError(f"there is no model {model.name!r}", model=model.name)
        return []

    def model_of(self, revision: str) -> str:
        """The name of the model that this revision is of."""
        return _named_in([revision]) or self.model().name

    def progress(self) -> AbstractContextManager[ProgressBar]:
        """A progress bar, for people only."""
        return progress_bar(wanted=self.out.is_human)

    def explain(self, error: RegistryError) -> RegistryError:
        """A model that is not there: say which ones are. A store that does not answer: what can be had without it."""
        if isinstance(error, BackendError) and error.transient and self._has_seen():
            return BackendError(
                f"{error.message}. What this machine has seen of the registry can be read with --offline", **error.fields
            )
        name = error.fields.get("model")
        if self._opened is None or not isinstance(error, NotFoundError) or not isinstance(name, str):
            return error
        try:
            names = self._opened.model_names()
        except RegistryError:
            return error
        if name in names:
            return error
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}? There are: {_listed(names)}" if near else f"there are: {_listed(names)}"
        advice = hint if names else "it is empty; the first reg commit creates a model"
        return NotFoundError(f"there is no model {name!r} in {self._opened.url}; {advice}", model=name, models=names)

    def _has_seen(self) -> bool:
        from cas_registry.registry import has_seen

        try:
            return not self.is_offline and has_seen(self.url, self.world)
        except RegistryError:  # the failure to be told is another one
            return False

    def _only_model(self) -> str:
        names = self.registry.model_names()
        if len(names) == 1:
            return names[0]
        if not names:
            raise InvalidInputError(f"which model? {self.registry.url} has none yet; name it with -M NAME or REG_MODEL")
        raise InvalidInputError(f"which model? Name it with -M NAME or REG_MODEL; there are: {_listed(names)}", models=names)


_LISTED = 8


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")


def _named_in(revisions: tuple[str, ...] | list[str]) -> str | None:
    from cas_registry.model.revision import parse_revision

    return next((name for revision in revisions if (name := parse_revision(revision).model)), None)


def _same_place(left: str, right: str) -> bool:
    if "://" in left or "://" in right:
        return left.rstrip("/") == right.rstrip("/")
    return Path(left).absolute() == Path(right).absolute()
