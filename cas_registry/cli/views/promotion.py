"""`reg promote --dry-run`."""

from collections.abc import Iterator

from cas_registry.cli.output import Document, Line, Paper, Styled, View
from cas_registry.cli.views.fields import name_of
from cas_registry.registry import Assessment


def _document(found: Assessment) -> Document:
    return {
        "model": found.model,
        "tag": found.tag,
        "commit": found.commit.hex,
        "number": found.number,
        "previous": found.previous.hex if found.previous else None,
        "passed": found.passed,
        "verdicts": [
            {
                "rule_model": verdict.rule.model,
                "rule": verdict.rule.pattern,
                "asked": verdict.asked,
                "passed": verdict.passed,
                "found": verdict.found,
                "remedy": verdict.remedy,
            }
            for verdict in found.verdicts
        ],
    }


def _human(found: Assessment, paper: Paper) -> Iterator[Line]:
    yield [f"{found.tag} to ", *name_of(found.model, found.number, found.commit)]
    if not found.verdicts:
        yield ["  It is under no rule: it may move there"]
    met, unmet = ("✓", "✗") if paper.unicode else ("ok", "no")
    for verdict in found.verdicts:
        mark = Styled(met, "green") if verdict.passed else Styled(unmet, "red")
        yield ["  ", mark, f" {verdict.asked}: {verdict.found}"]
        if verdict.remedy:
            yield ["    ", Styled(verdict.remedy, "dim")]
    yield ["Nothing moves: this was a dry run"]


ASSESSMENT = View(_document, _human, lambda found: ["pass" if found.passed else "refuse"])
