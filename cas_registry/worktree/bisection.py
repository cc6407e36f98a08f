"""`.reg/bisect.json`: a search for the first bad version that is under way, from one command to the next."""

import contextlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cas_registry.errors import InvalidInputError
from cas_registry.worktree.target import PRIVATE_FOLDER, TargetFolder

BISECTION = "bisect.json"


@dataclass(frozen=True, slots=True)
class BisectionState:
    """What is known so far, versions as `MODEL@ID`; `current` is the one that `folder` holds for being tested, None before the first.

    `log` has a line for everything that was said.
    """

    registry: str
    model: str
    folder: str
    first_parent: bool
    bad: str
    goods: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    current: str | None = None
    log: tuple[str, ...] = ()

    def marked(self, judgement: str, version: str) -> "BisectionState":
        """The state after a version was found to be good or bad, or could not be told (skip)."""
        said = replace(self, log=(*self.log, f"{judgement} {version}"))
        if judgement == "good":
            return replace(said, goods=_with(self.goods, version))
        if judgement == "bad":
            return replace(said, bad=version)
        return replace(said, skipped=_with(self.skipped, version))


def read_bisection(folder: Path) -> BisectionState | None:
    """The search that a folder remembers, None where there is none. InvalidInputError for a file that cannot be read as one."""
    path = folder / PRIVATE_FOLDER / BISECTION
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        value.update((name, tuple(map(str, value[name]))) for name in ("goods", "skipped", "log"))
        state = BisectionState(**value)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InvalidInputError(f"{path} cannot be read; begin anew with reg bisect reset", path=str(path)) from error
    texts: Iterable[object] = (state.registry, state.model, state.folder, state.bad, state.current or "")
    if not all(isinstance(text, str) for text in texts) or not isinstance(state.first_parent, bool):
        raise InvalidInputError(f"{path} is no search; begin anew with reg bisect reset", path=str(path))
    return state


def write_bisection(folder: Path, state: BisectionState) -> None:
    """Remember the search in a folder."""
    with TargetFolder(folder) as target:
        target.write_private(BISECTION, (json.dumps(asdict(state), indent=1) + "\n").encode("utf-8"))


def forget_bisection(folder: Path) -> None:
    """Remember none."""
    with contextlib.suppress(FileNotFoundError):
        (folder / PRIVATE_FOLDER / BISECTION).unlink()


def _with(versions: tuple[str, ...], version: str) -> tuple[str, ...]:
    return versions if version in versions else (*versions, version)
