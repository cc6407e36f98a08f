"""`reg bisect`: the first version that fails a test."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session
from cas_registry.errors import InvalidInputError

if TYPE_CHECKING:
    from cas_registry.registry import BisectStep, Version

_SKIP = 125  # git's, as what follows
_LAST_BAD = 127
_ENDS = 2  # GOOD and BAD
_STDERR = 2


@verb(
    examples="""
    reg bisect run v3 main -- ./eval.sh
    reg bisect run prod main --folder candidate -- python ~/eval.py --threshold 0.9
    reg bisect run fraud@v1 fraud@v40 --first-parent -- test -s model.safetensors
    reg bisect start v3 main --folder candidate   (then reg bisect good, or bad, or skip)
    """
)
@click.argument("action", type=click.Choice(["run", "start", "good", "bad", "skip", "log", "reset"]))
@click.argument("words", metavar="[GOOD BAD] [-- CMD...]", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Check out there; by default into a temporary folder, with start into MODEL-bisect.",
)
@click.option("--first-parent", is_flag=True, help="Follow first parents alone: a merge stands for all that it brought.")
@click.option("-f", "--force", is_flag=True, help="Overwrite files in DIR that were edited or belong to no version.")
def bisect(session: Session, action: str, words: tuple[str, ...], folder: Path | None, first_parent: bool, force: bool) -> int:
    """Find the first bad version after GOOD, up to BAD.

    run does it by a test of your own: CMD runs in a folder that holds the version to be tested, and says what it finds by its exit
    status: 0 is good, 125 cannot tell, 1 to 127 bad; anything else stops the search. REG_BISECT_REV (MODEL@ID), REG_BISECT_NUMBER and
    REG_BISECT_FROM (the folder where reg was called) are in its environment. Exits with 1 where the first bad version cannot be told
    from those that could not be tested.

    start GOOD BAD checks out a version to be looked at; good, bad and skip (of that one, or of REV...) go on from there, log lists what
    was said, and reset forgets the search.
    """
    match action:
        case "run":
            return _run_all(session, words, folder, first_parent=first_parent, force=force)
        case "log" | "reset":
            _show(session, action, words)
            return 0
        case _:
            return _go_on(session, action, words, folder, first_parent=first_parent, force=force)


def _run_all(session: Session, words: Sequence[str], folder: Path | None, *, first_parent: bool, force: bool) -> int:
    from cas_registry.cli.views.bisect import BISECT, told

    good, bad, command = _parts(words)
    model = session.model(good, bad)

    def test(held: Path, version: "Version") -> bool | None:
        session.out.note(f"Testing {version.log} v{version.number} ({version.commit.short})")
        return _run(command, held, version, quiet=not session.out.is_human)

    def tell(step: "BisectStep") -> None:
        session.out.note(told(step))

    report = model.bisect(good, bad, test, folder=folder, first_parent=first_parent, force=force, on_step=tell)
    session.out.show(BISECT, report)
    return 0 if report.first_bad else 1


def _go_on(session: Session, action: str, words: Sequence[str], folder: Path | None, *, first_parent: bool, force: bool) -> int:
    """By hand, one step."""
    from cas_registry.cli.bisection import Bisection
    from cas_registry.cli.views.bisect import BISECT, TEST
    from cas_registry.operations.history import LogRecord

    search = Bisection(session)
    if action == "start":
        if len(words) != _ENDS:
            raise click.UsageError("write reg bisect start GOOD BAD", click.get_current_context())
        found = search.start(*words, folder=folder, first_parent=first_parent, force=force)
    else:
        found = search.tell(action, words, force=force)
    if isinstance(found, LogRecord):
        session.out.show(TEST, (search.state(), found))
        return 0
    session.out.show(BISECT, found)
    return 0 if found.first_bad else 1


def _show(session: Session, action: str, words: Sequence[str]) -> None:
    from cas_registry.cli.bisection import Bisection
    from cas_registry.cli.views.bisect import LOG, RESET

    if words:
        raise click.UsageError(f"reg bisect {action} takes no version", click.get_current_context())
    if action == "log":
        session.out.show(LOG, Bisection(session).state())
    else:
        session.out.show(RESET, Bisection(session).reset())


def _parts(words: Sequence[str]) -> tuple[str, str, list[str]]:
    if len(words) <= _ENDS:
        raise click.UsageError("write reg bisect run GOOD BAD -- CMD...", click.get_current_context())
    return words[0], words[1], _located(words[_ENDS:])


def _located(command: Sequence[str]) -> list[str]:
    """A program that is named by its path is the one in the folder where `reg` was called."""
    program = Path(command[0])
    if os.sep in command[0] and not program.is_absolute() and program.exists():
        return [str(program.absolute()), *command[1:]]
    return list(command)


def _run(command: Sequence[str], folder: Path, version: "Version", *, quiet: bool) -> bool | None:
    """Whether the command says that it is good; None where it cannot tell. Its output is ours, but never part of a document."""
    environment = {
        **os.environ,
        "REG_BISECT_REV": f"{version.log}@{version.commit.hex}",
        "REG_BISECT_NUMBER": str(version.number),
        "REG_BISECT_FROM": str(Path.cwd()),
    }
    sys.stdout.flush()
    try:
        status = subprocess.run(  # noqa: S603 - it is what the caller asks to be run
            command, cwd=folder, env=environment, stdout=_STDERR if quiet else None, check=False
        ).returncode
    except OSError as error:
        raise InvalidInputError(f"the test cannot be run: {command[0]}: {error.strerror}") from error
    if status == _SKIP:
        return None
    if 0 <= status <= _LAST_BAD:
        return status == 0
    raise InvalidInputError(
        f"the test of {version.log} v{version.number} ended with status {status}, which says neither good (0), nor bad (1 to 127), nor that it "
        "cannot tell (125); the search was stopped",
        status=status,
    )
