"""Signing releases, and verifying that a release names a version because somebody put it there who may.

A version stands in a release by the entry since which it has stood there without a break. Verifying follows the chain of hashes from the
entry before that one to the head, and looks for signatures of that one entry by keys that the caller trusts. So who moves one model of a release answers for
that one, and not for those that he carries on.
"""

from dataclasses import dataclass
from pathlib import Path

from cas_registry.errors import IntegrityError, InvalidInputError, NotFoundError, SignatureError
from cas_registry.model.entry import RefTable, ReleaseRow
from cas_registry.model.revision import Revision
from cas_registry.operations.signing import ReleaseKind, SignReport, Verification, demand_signers, sign_recorded
from cas_registry.operations.trust import Trust
from cas_registry.store.layout import entry_key
from cas_registry.store.log import Recorded
from cas_registry.store.refs import Version
from cas_registry.store.releases import ReleaseLog, rows_of
from cas_registry.store.stores import Stores


@dataclass(frozen=True, slots=True)
class _Placed:
    """A model's row in a release with the entry that put it there, and the chain up to the head."""

    row: ReleaseRow
    recorded: Recorded
    head: Recorded
    followed: int


def sign_release(stores: Stores, revision: Revision, *, key: Path, time_ms: int) -> SignReport:
    """Sign the entry that put a version into a release. NotFoundError where there is no such release, or no such model in it."""
    placed = _place(stores, revision)
    version = _version_of(stores, revision, placed)
    signer, created = sign_recorded(stores, placed.recorded, RefTable(), key, time_ms=time_ms)
    stores.objects.flush()
    return SignReport(
        version.model, ReleaseKind.RELEASE, revision.release or "", version.commit, placed.recorded.n, placed.recorded.id, signer, created
    )  # fmt: skip


def verify_release(stores: Stores, revision: Revision, trust: Trust) -> Verification:
    """The version that a release names, once it is certain that enough of those who may have put it there.

    A rule covers it whose `ref` matches `release:NAME`, and that names no kind. Raises SignatureError, RollbackError, and IntegrityError where the
    chain of hashes or the version is broken.
    """
    placed = _place(stores, revision)
    model, name = revision.model or "", revision.release or ""
    rule = trust.rule(registry=stores.format.registry, url=stores.backend.url, model=model, kind=None, ref=revision.name)
    what = f"{model!r} in release {name!r}"
    if rule is None:
        reason = f"the policy beside {trust.path} has no rule for it"
        raise SignatureError(f"{what} is not verified: {reason}", reasons=[reason])
    signers = demand_signers(stores, placed.recorded, RefTable(), trust, rule, what=what, at=placed.row.commit)
    entry = placed.recorded.entry
    return Verification(
        kind=ReleaseKind.RELEASE,
        name=name,
        version=_version_of(stores, revision, placed),
        entry=entry.n,
        entry_id=placed.recorded.id,
        time_ms=entry.time_ms,
        who=entry.who,
        why=entry.why,
        signers=tuple(signers),
        threshold=rule.threshold,
        head=placed.head.n,
        followed=placed.followed,
    )


def _place(stores: Stores, revision: Revision) -> _Placed:
    """Find the entry since which a model has its row in a release, each entry up to the head proven by the next, and from where this machine owes it
    on."""
    if revision.back or revision.steps or revision.as_of is not None or revision.release is None or revision.model is None:
        raise InvalidInputError(
            f"{revision.text}: a release is signed as it is now; name it without ~ and @{{…}}", revision=revision.text
        )
    log = stores.release(revision.release)
    head = log.existing_head()
    row = rows_of(head).get(revision.model)
    if row is None:
        raise NotFoundError(f"release {log.name!r} has no model {revision.model!r}", release=log.name, revision=revision.text)
    owed = stores.watch.owed(log.log.name) if stores.watch else None
    first, later, followed = head, head, 0
    is_standing = True
    for recorded in log.back_from(head):
        if recorded.n < head.n and later.entry.prev != recorded.id:
            raise _broken(log, later)
        if stores.watch is not None and owed is not None and recorded.n == owed.n:
            stores.watch.check_chain(log.log.name, owed, recorded)
        followed += 1
        later = recorded
        is_standing = is_standing and rows_of(recorded).get(revision.model) == row
        if is_standing:
            first = recorded
        elif owed is None or recorded.n <= owed.n:
            break
    if stores.watch is not None:
        stores.watch.followed(head)
    return _Placed(row, first, head, followed)


def _broken(log: ReleaseLog, recorded: Recorded) -> IntegrityError:
    key = entry_key(log.log.name, recorded.n)
    return IntegrityError(f"{key} does not follow the entry before it: the log was changed; run reg fsck", key=key)


def _version_of(stores: Stores, revision: Revision, placed: _Placed) -> Version:
    """The version that the row names. IntegrityError where the model's log, or the commit, gives it another tree."""
    version = stores.refs(revision.model or "").resolve(revision, now_ms=0)
    commit = stores.objects.read_commit(placed.row.commit)
    if (version.commit, version.tree) != (placed.row.commit, placed.row.tree) or commit.tree != version.tree:
        raise IntegrityError(
            f"commit {version.commit.short} has another tree, or another place, than the release says; run reg fsck, or try again",
            commit=version.commit.hex,
        )
    return version
