"""Signing log entries, and verifying that a branch or tag stands where somebody put it who may.

A ref stands where the entry says that its row names as the last to move it. Verifying follows the chain of hashes from the entry before
that one, in which the row must be another, to the head, through which it must not change, and looks for signatures of that one entry
by keys that the caller trusts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cas_registry.errors import ConflictError, IntegrityError, InvalidInputError, SignatureError
from cas_registry.model.canonical import unseal
from cas_registry.model.entry import Entry, Ref, RefKind, RefTable, VersionRow, encode_entry
from cas_registry.model.ids import CommitId, EntryId, RefTableId
from cas_registry.model.revision import Revision
from cas_registry.model.signature import KeyId, Signature, signed_payload, signed_row, signing_key
from cas_registry.operations import ssh_keygen
from cas_registry.operations.trust import Rule, Trust
from cas_registry.store.layout import entry_key
from cas_registry.store.log import Recorded
from cas_registry.store.refs import READ_BATCH, ModelRefs, Version
from cas_registry.store.stores import Stores

_NAMED = 5  # signers in a message


class ReleaseKind(StrEnum):
    """What a release is beside branches and tags."""

    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class SignReport:
    """A signature of the log entry that put a ref where it stands, or a version into a release. `created` is False where this key had signed
    it already."""

    model: str
    kind: RefKind | ReleaseKind
    name: str
    commit: CommitId
    entry: int
    entry_id: EntryId
    key: KeyId
    created: bool


@dataclass(frozen=True, slots=True)
class Signer:
    """Somebody whose signature holds, by the name that allowed_signers gives to the key."""

    principal: str
    key: KeyId


@dataclass(frozen=True, slots=True)
class Verification:
    """A ref that stands where its signers put it, by entry number `entry`; `time_ms`, `who` and `why` are signed with it.

    `threshold` is how many had to sign; `followed` counts the entries whose chain of hashes was followed, up to the `head`.
    """

    kind: RefKind | ReleaseKind
    name: str
    version: Version
    entry: int
    entry_id: EntryId
    time_ms: int
    who: str
    why: str
    signers: tuple[Signer, ...]
    threshold: int
    head: int
    followed: int


@dataclass(frozen=True, slots=True)
class _Placed:
    """A live ref's row with the entry that put it where it stands, the table that this one leaves, and the chain up to the head."""

    kind: RefKind
    row: VersionRow
    recorded: Recorded
    table: RefTable
    head: Recorded
    followed: int


class Endorser:
    """Signs entries that are about to be appended: an entry is never there before its signature."""

    def __init__(self, stores: Stores, key: Path, *, time_ms: int) -> None:
        self._stores = stores
        self._path = key
        self._time_ms = time_ms
        self.key: KeyId | None = None  # the key that signed, once it did

    def __call__(self, entry: Entry, table: RefTable) -> None:
        """Sign the entry that leaves `table`. SignatureError, NotFoundError: then it is not to be appended."""
        identity, _ = unseal(encode_entry(entry), EntryId)
        self.key, _ = sign_recorded(self._stores, Recorded(identity, entry), table, self._path, time_ms=self._time_ms)


def sign_ref(
    stores: Stores, model: str, revision: Revision, *, key: Path, time_ms: int, expect: CommitId | None = None
) -> SignReport:
    """Sign the entry that put a branch or tag where it stands. ConflictError where it does not stand at `expect`."""
    placed = _place(stores, stores.refs(model), revision)
    commit = _version_of(stores, model, placed).commit
    if expect is not None and commit != expect:
        raise ConflictError(
            f"{placed.kind.value} {revision.name!r} of model {model!r} has moved on to {commit.short}; nothing was signed",
            expected=expect.hex,
            actual=commit.hex,
        )
    signer, created = sign_recorded(stores, placed.recorded, placed.table, key, time_ms=time_ms)
    stores.objects.flush()
    return SignReport(model, placed.kind, revision.name, commit, placed.recorded.n, placed.recorded.id, signer, created)


def verify_ref(stores: Stores, model: str, revision: Revision, trust: Trust) -> Verification:
    """The version that a branch or tag stands at, once it is certain that enough of those who may have put it there.

    Raises SignatureError, RollbackError, and IntegrityError where the log's chain of hashes or the version is broken.
    """
    placed = _place(stores, stores.refs(model), revision)
    rule = trust.rule(registry=stores.format.registry, url=stores.backend.url, model=model, kind=placed.kind, ref=revision.name)
    what = f"{placed.kind.value} {revision.name!r} of model {model!r}"
    if rule is None:
        reason = f"the policy beside {trust.path} has no rule for it"
        raise SignatureError(f"{what} is not verified: {reason}", reasons=[reason])
    signers = demand_signers(stores, placed.recorded, placed.table, trust, rule, what=what, at=placed.row.commit)
    version = _version_of(stores, model, placed)
    entry = placed.recorded.entry
    return Verification(
        kind=placed.kind,
        name=revision.name,
        version=version,
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


def signers_of(
    stores: Stores, recorded: Recorded, table: RefTable, trust: Trust, *, rule: Rule | None = None
) -> tuple[list[Signer], list[str]]:
    """Different signers whose signatures of an entry, which leaves `table`, hold, each by a key of its own; and what is wrong with the
    others. Those whom the rule does not admit (None: it admits every allowed signer) are not asked for."""
    admits = (rule or Rule()).admits
    admitted = {key: [name for name in names if admits(name)] for key, names in trust.signers.items()}
    signatures = stores.signatures.read(recorded.id, [key for key, names in admitted.items() if names])
    signers: list[Signer] = []
    reasons: list[str] = []
    if not signatures:
        return signers, reasons
    entry = recorded.entry
    payload = signed_payload(entry, table)
    with ssh_keygen.checker(trust.allowed_signers, trust.revoked_keys) as checker:
        for key, signature in signatures.items():
            if (signature.registry, signature.log, signature.n) != (entry.registry, entry.log, entry.n):
                reasons.append(
                    f"the signature of {key.fingerprint} says that it is of entry {signature.n} of {signature.log!r}"
                )
                continue
            counted = {signer.principal for signer in signers}
            complaints: list[str] = []
            for name in admitted[key]:
                if name in counted:
                    continue
                complaint = checker.complaint(payload, signature.armour, name)
                if complaint is None:
                    signers.append(Signer(name, key))
                    complaints = []
                    break
                complaints.append(f"the signature of {name} ({key.fingerprint}) does not hold: {complaint}")
            reasons += complaints
    return signers, reasons


def demand_signers(
    stores: Stores, recorded: Recorded, table: RefTable, trust: Trust, rule: Rule, *, what: str, at: CommitId
) -> list[Signer]:
    """Those who signed the entry that put something at a commit. SignatureError where they are not as many as the rule wants."""
    signers, reasons = signers_of(stores, recorded, table, trust, rule=rule)
    if len(signers) < rule.threshold:
        reasons = [*reasons, *_unknown_signers(stores, recorded, trust, rule)] or ["nobody signed it"]
        counted = f"{len(signers)} of {rule.threshold} signatures hold: " if rule.threshold > 1 else ""
        raise SignatureError(
            f"{what} is not verified: entry {recorded.n} put it at {at.short}, and {counted}{'; '.join(reasons)}",
            reasons=reasons,
            entry=recorded.n,
            signers=[signer.principal for signer in signers],
            threshold=rule.threshold,
        )
    return signers


def _place(stores: Stores, refs: ModelRefs, revision: Revision) -> _Placed:
    """Find a live ref and follow the log from the entry that moved it to the head, and from where this machine owes it on."""
    if revision.back or revision.steps or revision.as_of is not None:
        raise InvalidInputError(
            f"{revision.text}: a branch or tag is signed where it stands now; name one without ~ and @{{…}}",
            revision=revision.text,
        )
    found = refs.head()
    live = found[1].find(revision.name) if found else None
    standing = live[1].version if live else None
    if found is None or live is None or standing is None:
        refs.resolve(revision, now_ms=0)  # raises where there is nothing of that name
        raise InvalidInputError(
            f"{revision.text} is a commit; what is signed is where a branch or tag stands", revision=revision.text
        )
    head, (kind, ref) = found[0], live
    placed: tuple[Recorded, RefTable] | None = None
    followed = 0
    for recorded, table in _chain(stores, refs, ref.moved, head):
        followed += 1
        objection = _objection(recorded, table.of(kind).get(revision.name), ref)
        if objection is not None:
            key = entry_key(refs.model, recorded.n)
            reason = f"{key} {objection}"
            raise SignatureError(
                f"{kind.value} {revision.name!r} of model {refs.model!r} is not verified: {reason}", reasons=[reason], key=key
            )
        if recorded.n >= ref.moved:
            placed = placed or (recorded, table)
    if placed is None or placed[0].n != ref.moved:
        raise IntegrityError(f"{revision.name!r} was moved by entry {ref.moved}, says entry {head.n}; run reg fsck")
    if stores.watch is not None:
        stores.watch.followed(head)
    return _Placed(kind, standing, *placed, head, followed)


def _objection(recorded: Recorded, row: Ref | None, head: Ref) -> str | None:
    """What speaks against the head's row, in the row that an entry on the way to it has."""
    if recorded.n >= head.moved:
        if row is None or signed_row(row) != signed_row(head):
            return f"has another row for it than the head, which says that entry {head.moved} moved it last"
    elif (
        row is not None and row.moved >= head.moved
    ):  # its signer may only have carried on what somebody else wrote down before
        return f"says already that entry {row.moved} moves it, which comes later"
    return None


def _chain(stores: Stores, refs: ModelRefs, moved: int, head: Recorded) -> Iterator[tuple[Recorded, RefTable]]:
    """The entries from the one before `moved`, or from the last one whose chain this machine followed, to the head, each proven by the
    next."""
    owed = stores.watch.owed(refs.model) if stores.watch else None
    first = max(1, min(moved - 1, owed.n if owed else moved))
    before: Recorded | None = None
    spilled: RefTableId | None = None
    table = RefTable()
    for start in range(first, head.n + 1, READ_BATCH):
        for recorded in refs.log.read_many(range(start, min(start + READ_BATCH, head.n + 1))):
            if before is not None and recorded.entry.prev != before.id:
                key = entry_key(refs.model, recorded.n)
                raise IntegrityError(f"{key} does not follow the entry before it: the log was changed; run reg fsck", key=key)
            if stores.watch is not None and owed is not None and recorded.n == owed.n:
                stores.watch.check_chain(refs.model, owed, recorded)
            named = recorded.entry.refs
            if not isinstance(named, RefTableId) or named != spilled:
                table = refs.table(recorded)
                spilled = named if isinstance(named, RefTableId) else None
            before = recorded
            yield recorded, table
    if before is not None and before.id != head.id:
        key = entry_key(refs.model, head.n)
        raise IntegrityError(f"{key} changed while the log was read", key=key)


def sign_recorded(stores: Stores, recorded: Recorded, table: RefTable, key: Path, *, time_ms: int) -> tuple[KeyId, bool]:
    """Sign an entry that leaves `table`; returns the key, and whether it had not signed before."""
    entry = recorded.entry
    armour = ssh_keygen.sign(signed_payload(entry, table), key)
    signer = signing_key(armour)
    return signer, stores.signatures.write(Signature(entry.registry, entry.log, entry.n, recorded.id, signer, armour, time_ms))


def _unknown_signers(stores: Stores, recorded: Recorded, trust: Trust, rule: Rule) -> list[str]:
    """Who else signed, for the message alone."""
    reasons: list[str] = []
    for key in stores.signatures.find_keys(recorded.id)[:_NAMED]:
        names = trust.signers.get(key)
        if names is None:
            reasons.append(f"{key.fingerprint} signed it, a key that {trust.path} does not name")
        elif not any(rule.admits(name) for name in names):
            reasons.append(f"{', '.join(names[:_NAMED])} signed it, who may not move it")
    return reasons


def _version_of(stores: Stores, model: str, placed: _Placed) -> Version:
    """The version that a ref stands at. IntegrityError where its commit is of another tree."""
    version = stores.refs(model).version(placed.row)
    commit = stores.objects.read_commit(version.commit)
    if commit.tree != version.tree:
        raise IntegrityError(
            f"commit {version.commit.short} has another tree than the log says; run reg fsck", commit=version.commit.hex
        )
    return version
