"""Signing and verifying where branches and tags stand."""

from __future__ import annotations

from dataclasses import replace
from os import fspath
from pathlib import Path
from typing import TYPE_CHECKING

from cas_registry.errors import InvalidInputError
from cas_registry.face.base import ModelBase
from cas_registry.face.world import AnyPath, World
from cas_registry.model.entry import CATALOGUE
from cas_registry.model.ids import CommitId
from cas_registry.model.names import RELEASE, check_model
from cas_registry.model.revision import parse_revision

if TYPE_CHECKING:
    from cas_registry.operations.signing import Endorser, SignReport, Verification
    from cas_registry.operations.trust import Trust as TrustedSigners


class Trust(ModelBase):
    """The signatures of a model's log."""

    def sign(self, revision: str, *, key: AnyPath | None = None) -> SignReport:
        """Sign the log entry that put a branch or tag where it stands, or a version into a release (`release:NAME/MODEL`), by `ssh-keygen -Y` and a private key, or a public one whose private
        half the ssh-agent holds; by default that of REG_SIGNING_KEY. Several people may sign one entry.

        Raises SignatureError, and NotFoundError where there is no such key or no ssh-keygen.
        """
        return self._sign(revision, key)

    def verify(self, revision: str, *, allowed_signers: AnyPath | None = None, accept: bool = False) -> Verification:
        """The version of a branch or tag, or of a release, with those who signed that it stands there, by the caller's own `allowed_signers` file and what
        lies beside it (`docs/cli.md`, verify).

        The log's chain of hashes is followed, from what this machine saw of it last; with `accept` that is forgotten first. Raises
        SignatureError where it is not signed as it must be, RollbackError for a log that does not go on from there.
        """
        from cas_registry.operations.signing import verify_ref
        from cas_registry.operations.trust import load_trust

        trust = load_trust(Path(fspath(allowed_signers)) if allowed_signers else self._world.allowed_signers)
        parsed = parse_revision(revision)
        model = parsed.model or self._name
        reading = self._reading
        stores = (
            reading if reading.offline else replace(reading, history=None)
        )  # the store's own entries, where it may be asked
        if accept and self._stores.watch:
            for log in (check_model(model), CATALOGUE, *([f"{RELEASE}{parsed.release}"] if parsed.release else [])):
                self._stores.watch.accept(log)
        if parsed.release is not None:
            from cas_registry.operations.release_signing import verify_release

            return verify_release(stores, parsed, trust)
        return verify_ref(stores, model, parsed, trust)

    def _sign(self, revision: str, key: AnyPath | None, *, expect: CommitId | None = None) -> SignReport:
        from cas_registry.operations.signing import sign_ref

        parsed = parse_revision(revision)
        if parsed.release is not None:
            from cas_registry.operations.release_signing import sign_release

            return sign_release(self._stores, parsed, key=self._signing_key(key), time_ms=self._now_ms)
        return sign_ref(
            self._stores, parsed.model or self._name, parsed, key=self._signing_key(key), time_ms=self._now_ms, expect=expect
        )

    def _endorser(self, key: AnyPath | None, *, wanted: bool) -> Endorser | None:
        if not wanted:
            return None
        from cas_registry.operations.signing import Endorser

        return Endorser(self._stores, self._signing_key(key), time_ms=self._now_ms)

    def _trusted(self) -> TrustedSigners:
        """Whom this machine trusts, by the files of its World."""
        from cas_registry.operations.trust import load_trust

        return load_trust(self._world.allowed_signers)

    def _signing_key(self, key: AnyPath | None) -> Path:
        return signing_key(self._world, key)


def signing_key(world: World, key: AnyPath | None) -> Path:
    """The file of the key that is to sign: this one, or that of REG_SIGNING_KEY. InvalidInputError where there is neither."""
    found = Path(fspath(key)) if key else world.signing_key
    if found is None:
        raise InvalidInputError(
            "which key is to sign? Name its file with --key or REG_SIGNING_KEY; git's user.signingkey is not looked at"
        )
    return found
