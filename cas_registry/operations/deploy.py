"""Deploying: a version becomes a folder of its own, whole and verified, then the one that is served, then whoever serves it takes it up;
where that fails, the one before is served again.

Killed at any moment, `current` names a whole version, and the same call goes on from there: what was not seen to be taken up is told again.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from cas_registry.errors import ConflictError
from cas_registry.model.ids import CommitId
from cas_registry.operations.checkout import Beside, CheckoutReport
from cas_registry.store.refs import Version
from cas_registry.worktree.served import Refused, ServedFolder, ServedState, ServedVersion

MIN_KEEP = 2  # the version that is served, and the one before


class Outcome(StrEnum):
    """How a deployment ended: DEPLOYED; UNCHANGED, it was served already; ROLLED_BACK, the version before is served again; REFUSED, it
    had failed before and was not tried again."""

    DEPLOYED = "deployed"
    UNCHANGED = "unchanged"
    ROLLED_BACK = "rolled-back"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Reload:
    """What whoever serves is told: take up the version, which `folder` holds where it was deployed. `previous` was served before; `rolled_back` where this is the
    version before one that could not be taken up."""

    model: str
    commit: CommitId
    number: int
    folder: Path | None
    previous: CommitId | None
    rolled_back: bool = False


Hook = Callable[[Reload], object]
Fill = Callable[
    [Version, Path, Beside | None], CheckoutReport
]  # makes a folder hold a version; what one beside it has is copied


@dataclass(frozen=True, slots=True)
class Deployment:
    """What was done: `current` of `root` names `folder` (None: nothing), with the version `serving`, the `number`-th; `version` is the one asked for.

    `failure` says why that was not taken up, `rollback_failure` why the one before was not either, `checkout` how its folder was filled
    (None where that was not needed), `pruned` which folders were removed.
    """

    root: Path
    outcome: Outcome
    version: Version
    serving: CommitId | None
    number: int | None
    folder: Path | None
    previous: CommitId | None
    failure: str = ""
    rollback_failure: str = ""
    checkout: CheckoutReport | None = None
    pruned: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeployRequest:
    """Into which folder of which registry; how many versions stay there; how one is filled. `hook` is told of each new version and raises
    where it is not taken up."""

    root: Path
    registry: str
    fill: Fill
    keep: int = MIN_KEEP
    hook: Hook | None = None


def deploy(request: DeployRequest, version: Version, *, moved: int = 0, again: bool = True) -> Deployment:
    """Let `current` name a folder with this version. `moved` is the log entry that asks for it; without `again` a version that failed at
    that entry is not tried once more.

    ConflictError where another process is at work there, or the folder is of another model.
    """
    with ServedFolder(request.root) as served:
        return _Deploying(request, served, version, Refused(version.commit.hex, moved)).run(again=again)


def take_up(hook: Hook | None, reload: Reload) -> str:
    """Tell whoever serves; why the version was not taken up, "" where it was."""
    if hook is None:
        return ""
    try:
        hook(reload)
    except Exception as error:  # noqa: BLE001 - a stranger's code: whatever it raises, the version is not served
        return str(error) or type(error).__name__
    return ""


class _Deploying:
    """One deployment, its folder locked."""

    def __init__(self, request: DeployRequest, served: ServedFolder, version: Version, attempt: Refused) -> None:
        self._request = request
        self._served = served
        self._version = version
        self._attempt = attempt
        self._state = _state_of(served, request, version.model)

    def run(self, *, again: bool) -> Deployment:
        served, version = self._served, self._version
        before = served.version(served.current())
        if not again and self._state.refused == self._attempt:
            if before is not None and before.commit == version.commit:  # stopped on the way back
                return self._go_back(self._previous(), "it failed before", None)
            failure = "" if self._state.settled or before is None else self._take_up(before, None, rolled_back=True)
            self._write(replace(self._state, settled=True))
            return self._report(Outcome.REFUSED, before, None, rollback_failure=failure)
        path = served.path(version.number, version.commit)
        beside = Beside(before.path, before.commit, before.tree) if before and before.path != path else None
        checkout = self._request.fill(version, path, beside)
        serving = ServedVersion(path, version.number, version.commit, version.tree)
        if served.current() == path.name and self._state.settled and not checkout.written and not checkout.removed:
            return self._report(Outcome.UNCHANGED, serving, self._previous())
        if served.current() != path.name:
            proven = before if self._state.settled else self._previous() or before  # nobody knows of what was not taken up
            self._write(replace(self._state, previous=proven.name if proven else None, settled=False))
            served.switch(path.name)
        previous = self._previous()
        failure = self._take_up(serving, previous)
        if failure:
            return self._go_back(previous, failure, checkout)
        self._write(replace(self._state, refused=None, settled=True))
        spare = {path.name} | ({previous.name} if previous else set())
        pruned = served.prune(max(self._request.keep, MIN_KEEP), spare)
        return replace(self._report(Outcome.DEPLOYED, serving, previous), checkout=checkout, pruned=tuple(pruned))

    def _go_back(self, previous: ServedVersion | None, failure: str, checkout: CheckoutReport | None) -> Deployment:
        """`current` names the version before again (none, if this was the first), and whoever serves is told once more."""
        self._write(replace(self._state, refused=self._attempt, settled=False))
        self._served.switch(previous.name if previous else None)
        second = self._take_up(previous, None, rolled_back=True) if previous else ""
        self._write(replace(self._state, settled=True))
        report = self._report(Outcome.ROLLED_BACK, previous, None, rollback_failure=second)
        return replace(report, failure=failure, checkout=checkout)

    def _take_up(self, serving: ServedVersion, previous: ServedVersion | None, *, rolled_back: bool = False) -> str:
        """Why the version was not taken up; "" where it was."""
        before = self._version.commit if rolled_back else previous.commit if previous else None
        return take_up(
            self._request.hook,
            Reload(self._version.model, serving.commit, serving.number, serving.path.absolute(), before, rolled_back),
        )

    def _previous(self) -> ServedVersion | None:
        """The version that was served before the one that `current` names; once that is taken back, the two are the same, and it is none."""
        name = self._state.previous
        return self._served.version(name) if name != self._served.current() else None

    def _write(self, state: ServedState) -> None:
        if state != self._state:
            self._served.write_state(state)
        self._state = state

    def _report(
        self, outcome: Outcome, serving: ServedVersion | None, previous: ServedVersion | None, *, rollback_failure: str = ""
    ) -> Deployment:
        return Deployment(
            self._request.root, outcome, self._version, serving.commit if serving else None, serving.number if serving else None,
            serving.path if serving else None, previous.commit if previous else None, rollback_failure=rollback_failure,
        )  # fmt: skip


def _state_of(served: ServedFolder, request: DeployRequest, model: str) -> ServedState:
    state = served.read_state()
    if state is None:
        return ServedState(request.registry, model)
    if (state.registry, state.model) != (request.registry, model):
        raise ConflictError(
            f"{request.root} serves model {state.model!r}" + (" of another registry" if state.registry != request.registry else "")
            + f", not {model!r}: choose another folder",
            folder=str(request.root), model=state.model,
        )  # fmt: skip
    return state
