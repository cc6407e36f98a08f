"""Retention: which versions a policy does not keep. What a branch or tag stands at always stays, and so does what a release names or a version
that stays was made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cas_registry.errors import ConflictError
from cas_registry.model.canonical import Scalar
from cas_registry.model.commit import Commit
from cas_registry.model.entry import RefKind
from cas_registry.model.ids import CommitId
from cas_registry.model.keep import EVERY_MODEL, Best, Keep
from cas_registry.operations.retire import RetireRequest, retire_versions
from cas_registry.operations.uses import Uses
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores

DAY_MS = 24 * 3_600_000
_COMMITS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Expiry:
    """What a model's policy lets go: the versions, of how many."""

    model: str
    keep: Keep
    versions: int
    expired: tuple[Version, ...]


def find_expired(stores: Stores, *, now_ms: int) -> list[Expiry]:
    """What the policies of the registry let go, model by model; models without a policy are left out."""
    entry = stores.catalogue.head().entry
    policies = entry.keep or {}
    uses = Uses(stores)
    found: list[Expiry] = []
    for model, row in sorted((entry.models or {}).items()):
        keep = policies.get(model, policies.get(EVERY_MODEL))
        if keep is not None and not row.retired:
            found.append(_of_model(stores, model, keep, uses, now_ms=now_ms))
    return found


def apply_policies(stores: Stores, *, who: str, time_ms: int) -> list[Expiry]:
    """Retire what the policies let go; returns what that was. A version that somebody gives a tag meanwhile stays."""
    return [_apply(stores, expiry, who=who, time_ms=time_ms) for expiry in find_expired(stores, now_ms=time_ms)]


def _apply(stores: Stores, expiry: Expiry, *, who: str, time_ms: int) -> Expiry:
    request = RetireRequest(expiry.model, who, time_ms, why="retention policy")
    uses = Uses(stores)
    while expiry.expired:
        try:
            retire_versions(stores, request, expiry.expired, uses=uses)
        except ConflictError:
            expiry = _of_model(stores, expiry.model, expiry.keep, uses, now_ms=time_ms)
        else:
            break
    return expiry


def _of_model(stores: Stores, model: str, keep: Keep, uses: Uses, *, now_ms: int) -> Expiry:
    refs = stores.refs(model)
    head = refs.head()
    versions = list(refs.versions(head[0])) if head else []
    commits = _read_commits(stores, versions) if keep.days is not None or keep.best else {}
    kept = {version.commit for version in versions[len(versions) - keep.last :]} if keep.last else set[CommitId]()
    if head:
        kept |= {ref.commit for kind in RefKind for ref in head[1].of(kind).values() if ref.commit}
    if keep.days is not None:
        kept |= {identity for identity, commit in commits.items() if commit.time_ms > now_ms - keep.days * DAY_MS}
    for rule in keep.best:
        kept |= _best(rule, commits)
    expired = {version.commit for version in versions} - kept
    while expired and (needed := {use.commit for use in uses.of(model, expired)} & expired):
        expired -= needed  # and with them stays what they were made from
    return Expiry(model, keep, len(versions), tuple(version for version in versions if version.commit in expired))


def _read_commits(stores: Stores, versions: Sequence[Version]) -> dict[CommitId, Commit]:
    ids = [version.commit for version in versions]
    found: dict[CommitId, Commit] = {}
    for start in range(0, len(ids), _COMMITS_AT_ONCE):
        part = ids[start : start + _COMMITS_AT_ONCE]
        found.update(zip(part, stores.objects.read_commits(part), strict=True))
    return found


def _best(rule: Best, commits: Mapping[CommitId, Commit]) -> set[CommitId]:
    """The versions with the best values, the later of equal ones; one without the metric, or with nan, is never among them."""
    scored = [
        (-value if rule.smallest else value, place, identity)
        for place, (identity, commit) in enumerate(commits.items())
        if (value := _number(commit.metrics.get(rule.metric))) is not None
    ]
    return {identity for _, _, identity in sorted(scored, reverse=True)[: rule.count]}


def _number(value: Scalar | None) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:  # noqa: PLR0124 - nan
        return None
    return value
