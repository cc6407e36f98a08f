"""Releases: versions of several models that move together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from os import fspath
from pathlib import Path
from typing import TYPE_CHECKING

from cas_registry.errors import InvalidInputError
from cas_registry.face.trust import signing_key
from cas_registry.face.world import AnyPath, World
from cas_registry.model.names import RELEASE, check_model
from cas_registry.model.revision import parse_revision
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores

if TYPE_CHECKING:
    from cas_registry.model.lockfile import Lock
    from cas_registry.operations.release import ReleaseInfo, ReleaseReport, ReleaseRequest
    from cas_registry.operations.signing import Endorser


class Releases:
    """The releases of a registry."""

    _stores: Stores
    _world: World

    def resolve(self, revision: str) -> Version:
        """The version that `MODEL@REV` or `release:NAME/MODEL` names."""
        parsed = parse_revision(revision)
        if parsed.model is None:
            raise InvalidInputError(f"a version of which model? Write MODEL@{revision}")
        return self._stores.reading.refs(parsed.model).resolve(parsed, now_ms=self._world.clock_ns() // 1_000_000)

    def release(
        self,
        name: str,
        versions: Mapping[str, str] | None = None,
        *,
        reason: str = "",
        only: bool = False,
        drop: Iterable[str] = (),
        expect: int | None = None,
        sign: bool = False,
        key: AnyPath | None = None,
    ) -> ReleaseReport:
        """Let a release name a version of each of these models (`{"fraud": "v17"}`), all or none; it is made where it is not there.

        Models that are not among them keep the version that the release has, unless `only`, or where they are dropped. With `expect` its last entry must
        have that number (0: no such release yet), else ConflictError. No version that it names is retired, unless by force.
        """
        from cas_registry.operations.release import set_release

        found = {model: self._version_of(check_model(model), revision) for model, revision in (versions or {}).items()}
        request, endorser = self._request(name, reason, expect, sign=sign, key=key)
        report = set_release(self._stores, request, found, only=only, drop=[check_model(model) for model in drop])
        return replace(report, signed_by=endorser.key) if endorser and report.moved else report

    def rollback_release(
        self, name: str, *, reason: str = "", expect: int | None = None, sign: bool = False, key: AnyPath | None = None
    ) -> ReleaseReport:
        """Let a release name what it named before it was moved last; a second time, that is taken back."""
        from cas_registry.operations.release import roll_back_release

        request, endorser = self._request(name, reason, expect, sign=sign, key=key)
        report = roll_back_release(self._stores, request)
        return replace(report, signed_by=endorser.key) if endorser and report.moved else report

    def lock(self, revisions: Iterable[str], *, path: AnyPath | None = None) -> Lock:
        """What these revisions (`MODEL@REV`, `release:NAME/MODEL`, or `release:NAME` for all of a release) are now, by id; with `path` it is written there as a
        lock file, for `Model.checkout` and `verify_folder`."""
        from cas_registry.operations.lock import make_lock, write_lock

        wanted: dict[tuple[str, str], Version] = {}
        for revision in revisions:
            for each in self._each_of(revision):
                version, parsed = self.resolve(each), parse_revision(each)
                if parsed.path:
                    raise InvalidInputError(f"{revision}: whole versions are locked, no single files")
                wanted[version.model, parsed.asked] = version
        if not wanted:
            raise InvalidInputError("lock which versions? Name them: MODEL@REV")
        lock = make_lock(self._stores.reading, [(asked, version) for (_, asked), version in wanted.items()])
        if path is not None:
            write_lock(Path(fspath(path)), lock)
        return lock

    def _each_of(self, revision: str) -> list[str]:
        """The revision, or one for each model of a whole release."""
        name = revision.removeprefix(RELEASE)
        if name == revision or "/" in revision:
            return [revision]
        return [f"{revision}/{model}" for model in sorted(self.show_release(name).versions)]

    def releases(self) -> list[ReleaseInfo]:
        """Every release as it is now, sorted by name; four reads each."""
        from cas_registry.operations.release import list_releases

        return list_releases(self._stores.reading)

    def show_release(self, name: str) -> ReleaseInfo:
        """A release as it is now, and which of its versions have been retired by force."""
        from cas_registry.operations.release import show_release

        return show_release(self._stores.reading, name)

    def release_history(self, name: str) -> list[ReleaseInfo]:
        """What a release has named, newest first: who wrote it, when and why."""
        from cas_registry.operations.release import release_history

        return release_history(self._stores.reading, name)

    def _version_of(self, model: str, revision: str) -> Version:
        parsed = parse_revision(revision)
        if parsed.model not in (None, model):
            raise InvalidInputError(f"{revision} is no version of model {model!r}")
        return self._stores.reading.refs(model).resolve(parsed, now_ms=self._world.clock_ns() // 1_000_000)

    def _request(
        self, name: str, reason: str, expect: int | None, *, sign: bool, key: AnyPath | None
    ) -> tuple[ReleaseRequest, Endorser | None]:
        from cas_registry.operations.release import ReleaseRequest

        time_ms = self._world.clock_ns() // 1_000_000
        endorser = None
        if sign:
            from cas_registry.operations.signing import Endorser

            endorser = Endorser(self._stores, signing_key(self._world, key), time_ms=time_ms)
        return ReleaseRequest(check_model(name), self._world.author, time_ms, reason, expect, endorser), endorser
