"""`reg retire`."""

from collections.abc import Iterator

from cas_registry.cli import text
from cas_registry.cli.output import Document, Line, Paper, Styled, View
from cas_registry.operations.retire import Action, RetireReport


def _document(report: RetireReport) -> Document:
    return {
        "model": report.model,
        "action": report.action.value,
        "commits": [commit.hex for commit in report.commits],
        "deleted_refs": list(report.refs),
        "breaks": [str(use) for use in report.breaks],
    }


def _human(report: RetireReport, _: Paper) -> Iterator[Line]:
    names = ", ".join(commit.short for commit in report.commits[:8]) + (", …" if len(report.commits) > 8 else "")  # noqa: PLR2004 - a line's worth
    versions = text.count(len(report.commits), "version")
    match report.action:
        case Action.MODEL:
            yield ["Retired model ", Styled(report.model, "bold"), f" and its {versions}"]
        case Action.VERSIONS:
            yield [f"Retired {versions} of ", Styled(report.model, "bold"), f": {names}"]
        case Action.RESTORED:
            yield [f"Restored {versions} of ", Styled(report.model, "bold"), f": {names}"]
    if report.refs:
        yield [f"Deleted with it: {', '.join(report.refs)}"]
    for use in report.breaks:
        yield [Styled("Breaks: ", "red"), str(use)]
    if report.action is not Action.RESTORED:
        yield ["What only this needed goes with the next collection (reg gc)"]


RETIRED = View(_document, _human, lambda report: (commit.hex for commit in report.commits))
