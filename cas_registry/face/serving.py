"""Versions on their way to those who serve them: watching names, and deploying what they come to stand for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from os import fspath
from pathlib import Path
from typing import TYPE_CHECKING

from cas_registry.errors import InvalidInputError
from cas_registry.face.contents import Contents
from cas_registry.face.world import AnyPath
from cas_registry.model.revision import parse_revision
from cas_registry.operations.progress import Progress
from cas_registry.store.refs import Version

if TYPE_CHECKING:
    from cas_registry.operations.checkout import Beside, CheckoutPlan, CheckoutReport
    from cas_registry.operations.deploy import Deployment, DeployRequest, Reload
    from cas_registry.operations.watching import Change


class Serving(Contents):
    """A model's versions as they are served."""

    def changes(
        self,
        revision: str,
        *,
        interval_s: float = 5.0,
        stop: threading.Event | None = None,
        once: bool = False,
        give_up_s: float | None = None,
        folder: AnyPath | None = None,
        keep: int = 2,
        hook: Callable[[Reload], object] | None = None,
        cache: bool = True,
        link: bool = False,
        verify: bool | None = None,
        safe_only: bool = False,
        foresee: Callable[[CheckoutPlan], None] = lambda _: None,
        progress: Progress | None = None,
    ) -> Iterator[Change]:
        """Where a branch or tag stands, then each change of that as it is seen, until `stop` is set; with `once` after the first look.

        Every `interval_s` seconds, a little more or less, the log is asked for its next entry: one request while there is none. Of several
        moves between two looks the last one is told. That the name is gone is a change too, without a commit. While the store fails the looks are
        further apart, and each failure is told (`error`), until they have lasted for `give_up_s` seconds: then the last one is raised.

        With `folder` each version is deployed before it is told, as by `deploy`; one that was rolled back is not tried again until the name
        moves. `hook` is told of each version to be taken up, first of all the one that stands there now.
        """
        from cas_registry.operations.watching import Change, DeployingSource, Pace, TellingSource, What, source_of, watch

        parsed = parse_revision(revision)
        model = parsed.model or self._name
        source = source_of(self._stores, model, parsed)
        if interval_s <= 0:
            raise InvalidInputError("the interval between two looks must be longer than nothing")
        if folder is not None:
            request = self._deployment(
                folder, revision, keep=keep, hook=hook, cache=cache, link=link, safe_only=safe_only, foresee=foresee,
                progress=progress,
            )  # fmt: skip
            must_verify = self._world.verify if verify is None else verify
            source = DeployingSource(source, request, lambda version: self.verify(revision).version if must_verify else version)
        elif hook is not None:
            source = TellingSource(source, hook)
        stopped = stop or threading.Event()
        pace = Pace(interval_s, give_up_s, lambda seconds: once or stopped.wait(seconds))
        return watch(source, Change(What.ERROR, model, revision), pace)

    def watch(
        self,
        revision: str,
        callback: Callable[[Change], object],
        *,
        interval_s: float = 5.0,
        stop: threading.Event | None = None,
        give_up_s: float | None = None,
        folder: AnyPath | None = None,
        keep: int = 2,
    ) -> None:
        """Call `callback` with each of the `changes` of a branch or tag, the first one at once, until `stop` is set.

        What it raises ends the watch. To have a version that cannot be loaded rolled back, give `changes` a `hook` that loads it.
        """
        for change in self.changes(revision, interval_s=interval_s, stop=stop, give_up_s=give_up_s, folder=folder, keep=keep):
            callback(change)

    def deploy(
        self,
        revision: str,
        folder: AnyPath,
        *,
        keep: int = 2,
        hook: Callable[[Reload], object] | None = None,
        cache: bool = True,
        link: bool = False,
        verify: bool | None = None,
        safe_only: bool = False,
        foresee: Callable[[CheckoutPlan], None] = lambda _: None,
        progress: Progress | None = None,
    ) -> Deployment:
        """Put a version into a folder of its own below `folder`, whole and verified, and let the link `folder/current` name it.

        What the version before has in common with it is copied from there (sharing blocks, where the file system can), the rest is
        fetched. Then `hook` is called with a `Reload`; if it raises, `current` names the version before again and `hook` is told of
        that. The `keep` last versions stay (at least two: the one that is served and the one before), and those that somebody holds a
        lock on. Killed at any moment, `current` names a whole version, and the same call finishes.
        ConflictError where another process deploys there, or the folder serves another model.
        """
        from cas_registry.operations.deploy import deploy

        request = self._deployment(
            folder,
            revision,
            keep=keep,
            hook=hook,
            cache=cache,
            link=link,
            safe_only=safe_only,
            foresee=foresee,
            progress=progress,
        )
        must_verify = self._world.verify if verify is None else verify
        return deploy(request, self.verify(revision).version if must_verify else self.resolve(revision))

    def _deployment(
        self, folder: AnyPath, revision: str, *, keep: int, hook: Callable[[Reload], object] | None, cache: bool, link: bool, safe_only: bool,
        foresee: Callable[[CheckoutPlan], None], progress: Progress | None,
    ) -> DeployRequest:  # fmt: skip
        from cas_registry.operations.deploy import DeployRequest

        if link and not cache:
            raise InvalidInputError("files are linked to the cache: link (--link) needs it, leave out no-cache")
        branch = parse_revision(revision).name

        def fill(version: Version, target: Path, beside: Beside | None) -> CheckoutReport:
            return self._fill(
                self._into(version, target, beside=beside, force=True, link=link, safe_only=safe_only), branch=branch,
                cached=link or (cache and self._is_remote), foresee=foresee, progress=progress,
            )  # fmt: skip

        return DeployRequest(Path(fspath(folder)), self._stores.format.registry, fill, keep, hook)
