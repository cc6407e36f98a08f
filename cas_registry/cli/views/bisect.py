"""`reg bisect`."""

from collections.abc import Iterator

from cas_registry.cli import text
from cas_registry.cli.output import Cell, Document, Line, Paper, Styled, Table, View
from cas_registry.cli.views.fields import first_line, name_of, time_fields
from cas_registry.face.bisecting import BisectionState
from cas_registry.operations.history import LogRecord
from cas_registry.registry import BisectReport, BisectStep, Judgement

_STYLES = {Judgement.GOOD: "green", Judgement.BAD: "red", Judgement.SKIP: "yellow"}


def told(step: BisectStep) -> str:
    """What a test said, as it is told at once."""
    said = "could not be tested" if step.judgement is Judgement.SKIP else f"is {step.judgement.value}"
    return f"{_name(step.record)} {said}; it was one of {step.left:,} versions left"


def _document(report: BisectReport) -> Document:
    return {
        "bad": report.bad.hex,
        "goods": [good.hex for good in report.goods],
        "first_bad": _fields(report.first_bad) if report.first_bad else None,
        "suspects": [_fields(suspect) for suspect in report.suspects],
        "steps": [
            {
                "commit": step.record.id.hex,
                "log": step.record.commit.log,
                "number": step.record.number,
                "judgement": step.judgement.value,
                "left": step.left,
            }
            for step in report.steps
        ],
    }


def _fields(record: LogRecord) -> dict[str, object]:
    commit = record.commit
    return {
        "commit": record.id.hex,
        "log": commit.log,
        "number": record.number,
        "parents": [parent.hex for parent in commit.parents],
        "author": commit.author,
        **time_fields("time", commit.time_ms),
        "message": commit.message,
        "retired": record.retired,
    }


def _human(report: BisectReport, paper: Paper) -> Iterator[Line | Table]:
    if report.steps:
        headers = ["test", "left", "version", "id", ""]
        rows = [_row(number, step) for number, step in enumerate(report.steps, start=1)]
        yield Table(headers, rows, frozenset(headers[:2]))
        yield [""]
    if report.first_bad is None:
        yield [f"The first bad one is among {text.count(len(report.suspects), 'version')} that could not be told apart:"]
        for suspect in report.suspects:
            yield ["  ", *name_of(suspect.commit.log, suspect.number, suspect.id), f"  {first_line(suspect.commit.message)}"]
        return
    found = report.first_bad
    yield [*name_of(found.commit.log, found.number, found.id), " is the first bad version"]
    yield [Styled(f"  {text.age(found.commit.time_ms, paper.now_ms)} by {found.commit.author}", "dim")]
    if subject := first_line(found.commit.message):
        yield [f"  {subject}"]
    if found.commit.parents:
        log, parent = found.commit.log, found.commit.parents[0]
        yield [f"What it changed: reg diff {log}@{parent.short} {log}@{found.id.short}"]


def _state_document(state: BisectionState) -> Document:
    return {
        "model": state.model,
        "folder": state.folder,
        "bad": state.bad,
        "goods": list(state.goods),
        "skipped": list(state.skipped),
        "current": state.current,
        "log": list(state.log),
    }


def _test_human(found: tuple[BisectionState, LogRecord], _: Paper) -> Iterator[Line]:
    state, record = found
    yield [*name_of(record.commit.log, record.number, record.id), f"  {first_line(record.commit.message)}"]
    yield [f"is in {state.folder}. Look at it, then: reg bisect good, bad or skip"]


def _reset_human(there: bool, _: Paper) -> Iterator[Line]:  # noqa: FBT001 - a view's value
    yield ["Forgot the search; what was checked out stays" if there else "No search was under way here"]


def _row(number: int, step: BisectStep) -> list[Cell]:
    record = step.record
    return [
        f"{number}",
        f"{step.left:,}",
        f"{record.commit.log} v{record.number}",
        Styled(record.id.short, "yellow"),
        Styled(step.judgement.value, _STYLES[step.judgement]),
    ]


def _name(record: LogRecord) -> str:
    return f"{record.commit.log} v{record.number}"


LOG: View[BisectionState] = View(_state_document, lambda state, _: ([line] for line in state.log), lambda state: state.log)
TEST: View[tuple[BisectionState, LogRecord]] = View(
    lambda found: {**_state_document(found[0]), "test": _fields(found[1])}, _test_human, lambda found: [found[1].id.hex]
)
RESET: View[bool] = View(lambda there: {"reset": there}, _reset_human)
BISECT = View(
    _document,
    _human,
    lambda report: [report.first_bad.id.hex] if report.first_bad else [each.id.hex for each in report.suspects],
)
