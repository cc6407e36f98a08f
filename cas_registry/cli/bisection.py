"""A search for the first bad version by hand: begun, told what was found, and remembered by the folder in between."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cas_registry.cli.session import Session
from cas_registry.errors import InvalidInputError
from cas_registry.face.bisecting import BisectionState, forget_bisection, read_bisection, write_bisection
from cas_registry.operations.history import LogRecord
from cas_registry.registry import BisectNext, BisectReport, Version


class Bisection:
    """The search that the bound folder remembers, or the current one."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._keeper = session.bound.folder if session.bound else Path.cwd()

    def start(self, good: str, bad: str, *, folder: Path | None, first_parent: bool, force: bool) -> BisectReport | LogRecord:
        """Begin between two versions; returns what to test, or the end."""
        if read_bisection(self._keeper) is not None:
            raise InvalidInputError("a search is under way here; end it with reg bisect reset")
        model = self._session.model(good, bad)
        ends = model.resolve(good), model.resolve(bad)
        names = [_named(end) for end in ends]
        state = BisectionState(
            registry=self._session.registry.id,
            model=ends[1].model,
            folder=str((folder or Path(f"{ends[1].model}-bisect")).absolute()),
            first_parent=first_parent,
            bad=names[1],
            goods=(names[0],),
            log=(" ".join(["start", *names]),),
        )
        return self._advance(state, force=force)

    def tell(self, judgement: str, revisions: Sequence[str], *, force: bool) -> BisectReport | LogRecord:
        """Note what was found of the version under test, or of those named; returns what to test next, or the end."""
        state = self.state()
        if not revisions and state.current is None:
            raise InvalidInputError("nothing is under test: name the version, or end the search with reg bisect reset")
        model = self._session.registry.model(state.model)
        for version in [_named(model.resolve(name)) for name in revisions] or [state.current or ""]:
            state = state.marked(judgement, version)
        return self._advance(state, force=force)

    def reset(self) -> bool:
        """Forget the search; whether there was one. What was checked out stays."""
        try:
            there = read_bisection(self._keeper) is not None
        except InvalidInputError:
            there = True
        forget_bisection(self._keeper)
        return there

    def state(self) -> BisectionState:
        """The search under way. InvalidInputError where there is none, or another registry's."""
        state = read_bisection(self._keeper)
        if state is None:
            raise InvalidInputError("no search is under way here; begin one with reg bisect start GOOD BAD")
        if state.registry != self._session.registry.id:
            raise InvalidInputError("the search under way here is of another registry; name that with -R, or reg bisect reset")
        return state

    def _advance(self, state: BisectionState, *, force: bool) -> BisectReport | LogRecord:
        """Check out what to test, and remember. Nothing is remembered of a mark that does not fit the others."""
        model = self._session.registry.model(state.model)
        found: BisectNext = model.bisect_next(state.goods, state.bad, skipped=state.skipped, first_parent=state.first_parent)
        if found.following is None:
            write_bisection(self._keeper, replace(state, current=None))
            bad = model.resolve(state.bad).commit
            first = found.left[0] if len(found.left) == 1 else None
            return BisectReport(bad, tuple(model.resolve(good).commit for good in state.goods), first, found.left, ())
        current = f"{found.following.commit.log}@{found.following.id.hex}"
        with self._session.progress() as progress:
            model.checkout(current, Path(state.folder), force=force, progress=progress)
        write_bisection(self._keeper, replace(state, current=current))
        return found.following


def _named(version: Version) -> str:
    return f"{version.log}@{version.commit.hex}"
