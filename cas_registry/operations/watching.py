"""Watching: what a name stands for, asked again and again; told when it is another version, or none.

A `Source` is asked; the loop around it keeps the time, and goes on when the store fails. What is watched (a branch or tag, by its log) is
the source's business, and so is what is done about it: deploying and telling are sources around a source.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from time import monotonic
from typing import Protocol

from cas_registry.errors import InvalidInputError, RegistryError
from cas_registry.model.entry import Operation, Ref, RefKind
from cas_registry.model.ids import CommitId
from cas_registry.model.revision import Revision
from cas_registry.operations.deploy import Deployment, DeployRequest, Hook, Outcome, Reload, deploy, take_up
from cas_registry.store.log import Recorded
from cas_registry.store.refs import ModelRefs, Version
from cas_registry.store.stores import Stores

LONGEST_WAIT_S = 300.0  # between attempts while the store fails; a watcher that comes back after minutes is no burden
_JITTER = 0.2  # of an interval, both ways: watchers that were started together do not ask together


class What(StrEnum):
    """What a change tells. STANDS is the first answer, ABSENT too; of a name that is gone, DELETED or RETIRED (with its version) say how. ROLLED_BACK:
    the version before is served again. ERROR: nothing could be learnt or done; it is tried again."""

    STANDS = "stands"
    ABSENT = "absent"
    MOVED = "moved"
    DELETED = "deleted"
    RETIRED = "retired"
    ROLLED_BACK = "rolled-back"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to a name that is watched.

    `commit` and `number` are those of the version that is to be served from now on, None where there is none; `previous` is the one before.
    Log entry `at` did it. Where versions are deployed, `folder` holds this one, `deployment` says what was done, and `failure` why whoever
    was to take it up did not. Of an ERROR, `error` says what failed; it is tried again in `retry_s` seconds.
    """

    what: What
    model: str
    revision: str
    commit: CommitId | None = None
    number: int | None = None
    previous: CommitId | None = None
    at: int = 0
    time_ms: int | None = None
    who: str = ""
    why: str = ""
    folder: Path | None = None
    deployment: Deployment | None = None
    failure: str = ""
    error: RegistryError | None = None
    retry_s: float | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What a look found: the change as it is told, and the version, if there is one."""

    change: Change
    version: Version | None


class Source(Protocol):
    """What is watched."""

    def look(self) -> Standing | None:
        """Where it stands, the first time and whenever that is new; else None. An error is no look: the next one tells all the same."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often to look: every `interval_s` seconds. Errors are told until they have lasted for `give_up_s`; None: for ever.

    `wait` waits for so many seconds and says whether to stop.
    """

    interval_s: float
    give_up_s: float | None
    wait: Callable[[float], bool]


def source_of(stores: Stores, model: str, revision: Revision) -> Source:
    """What is to be asked about a revision. InvalidInputError for one that never becomes another version."""
    past = revision.back or revision.as_of is not None or revision.steps or revision.path
    if past or revision.may_be_id or revision.number:
        raise InvalidInputError(
            f"{revision.text!r} is no branch or tag: watch one, as in reg watch fraud@prod", revision=revision.text
        )
    return RefSource(stores.refs(model), revision)


def watch(source: Source, told: Change, pace: Pace) -> Iterator[Change]:
    """The changes of a source as they come, until `pace.wait` says to stop. `told` is what errors are told as: of which model and revision.

    InvalidInputError is raised, everything else of ours is told, and raised once it has lasted for `give_up_s`.
    """
    failing_since: float | None = None
    failures = 0
    while True:
        try:
            found = source.look()
        except InvalidInputError:
            raise
        except RegistryError as error:
            failing_since = monotonic() if failing_since is None else failing_since
            failures += 1
            if pace.give_up_s is not None and monotonic() - failing_since >= pace.give_up_s:
                raise
            wait_s = _spread(min(pace.interval_s * 2 ** min(failures, 30), max(LONGEST_WAIT_S, pace.interval_s)))
            yield replace(told, what=What.ERROR, error=error, retry_s=wait_s)
        else:
            failing_since, failures = None, 0
            wait_s = _spread(pace.interval_s)
            if found is not None:
                yield found.change
        if pace.wait(wait_s):
            return


def _spread(seconds: float) -> float:
    return seconds * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - jitter


class RefSource:
    """A branch or tag of one model, by the model's log: one GET a look where the log has nothing new."""

    def __init__(self, refs: ModelRefs, revision: Revision) -> None:
        self._refs = refs
        self._revision = revision
        self._head: Recorded | None = None
        self._looked = False
        self._seen: tuple[int, CommitId | None] | None = None  # the entry that last moved it, and where to
        self._kind: RefKind | None = None

    def look(self) -> Standing | None:
        head = self._refs.log.follow(self._head) if self._looked else self._refs.log.head()
        if self._looked and head == self._head:
            return None
        ref, kind = self._find(head)
        seen = (ref.moved, ref.commit) if ref else (0, None)
        standing = None if seen == self._seen else self._tell(head, ref)
        if standing is not None:
            self._seen, self._kind = seen, kind
        self._head, self._looked = head, True
        return standing

    def _find(self, head: Recorded | None) -> tuple[Ref | None, RefKind | None]:
        """The row of the name; of a name that is gone the one it had when it was last seen."""
        if head is None:
            return None, None
        table = self._refs.table(head)
        if live := table.find(self._revision.name):
            return live[1], live[0]
        kinds = [self._kind] if self._kind else list(RefKind)
        return next(((ref, kind) for kind in kinds if (ref := table.of(kind).get(self._revision.name))), (None, None))

    def _tell(self, head: Recorded | None, ref: Ref | None) -> Standing:
        change = Change(What.ABSENT, self._refs.model, self._revision.text, previous=self._seen[1] if self._seen else None)
        if head is None or ref is None:
            return Standing(change, None)
        entry = (head if head.n == ref.moved else self._refs.log.read(ref.moved)).entry
        change = replace(change, at=ref.moved, time_ms=entry.time_ms, who=entry.who, why=entry.why)
        if ref.version is None:
            what = What.RETIRED if entry.op is Operation.RETIRE else What.DELETED
            return Standing(replace(change, what=what), None)
        what = What.MOVED if self._seen else What.STANDS
        version = self._refs.version(ref.version)
        return Standing(replace(change, what=what, commit=version.commit, number=version.number), version)


class TellingSource:
    """A source whose versions are told to whoever serves them; where that fails, the change says why."""

    def __init__(self, source: Source, hook: Hook) -> None:
        self._source = source
        self._hook = hook

    def look(self) -> Standing | None:
        """As the inner one."""
        found = self._source.look()
        if found is None or found.version is None:
            return found
        version = found.version
        failure = take_up(self._hook, Reload(version.model, version.commit, version.number, None, found.change.previous))
        return replace(found, change=replace(found.change, failure=failure))


class DeployingSource:
    """A source whose versions are deployed before they are told; what could not be deployed is tried again at the next look."""

    def __init__(self, source: Source, request: DeployRequest, verified: Callable[[Version], Version]) -> None:
        self._source = source
        self._request = request
        self._verified = verified
        self._owed: Standing | None = None

    def look(self) -> Standing | None:
        """As the inner one. The change says what is served now."""
        found = self._source.look() or self._owed
        self._owed = found
        if found is not None and found.version is not None:
            found = self._deploy(found, self._verified(found.version))
        self._owed = None
        return found

    def _deploy(self, found: Standing, version: Version) -> Standing:
        done = deploy(self._request, version, moved=found.change.at, again=False)
        change = replace(
            found.change, commit=done.serving, number=done.number, previous=done.previous, folder=done.folder, deployment=done,
            failure=done.failure,
        )  # fmt: skip
        if done.outcome in (Outcome.ROLLED_BACK, Outcome.REFUSED):
            change = replace(change, what=What.ROLLED_BACK, previous=version.commit)
        return replace(found, change=change)
