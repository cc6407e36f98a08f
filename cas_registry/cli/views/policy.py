"""`reg policy`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cas_registry.cli import text
from cas_registry.cli.output import Cell, Document, Line, Paper, Styled, Table, View
from cas_registry.cli.views.fields import time_fields
from cas_registry.model.keep import EVERY_MODEL, Keep, keep_value
from cas_registry.model.rules import TagRule, TagRules, rules_value
from cas_registry.registry import Board, Standing


@dataclass(frozen=True, slots=True)
class Policies:
    """The retention policies of the registry at a URL, and its rules of tags."""

    registry: str
    keep: Mapping[str, Keep]
    rules: Mapping[str, TagRules]


@dataclass(frozen=True, slots=True)
class Stages:
    """What stands at the stages of the registry at a URL."""

    registry: str
    board: Board


def rules(keep: Keep) -> str:
    """`the last 20, the last 90 days, the 5 largest auc`."""
    parts = [f"the last {keep.last}"] if keep.last is not None else []
    parts += [f"the last {text.count(keep.days, 'day')}"] if keep.days is not None else []
    parts += [f"the {best.count} {'smallest' if best.smallest else 'largest'} {best.metric}" for best in keep.best]
    return ", ".join([*parts, "what a branch or tag stands at"])


def demands(rule: TagRule) -> str:
    """`moved by *@ops, 2 approvals of *@risk, metrics.auc >= prod, after staging`."""
    parts = [f"moved by {' or '.join(rule.who)}"] if rule.who else []
    if rule.approvals:
        parts.append(text.count(rule.approvals, "approval") + (f" of {' or '.join(rule.approvers)}" if rule.approvers else ""))
    parts += [rule.when] if rule.when else []
    parts += [f"checked: {', '.join(rule.checks)}"] if rule.checks else []
    parts += [f"after {', '.join(rule.after)}"] if rule.after else []
    return ", ".join(parts) or "asks for nothing"


def _document(policies: Policies) -> Document:
    return {
        "registry": policies.registry,
        "keep": {model: keep_value(rule) for model, rule in sorted(policies.keep.items())},
        "rules": {model: rules_value(rules) for model, rules in sorted(policies.rules.items())},
    }


def _human(policies: Policies, _: Paper) -> Iterator[Line]:
    if not policies.keep:
        yield ["No retention policy: every version stays until it is retired (reg policy keep --help)"]
    for model, rule in sorted(policies.keep.items()):
        name = "every other model" if model == EVERY_MODEL else model
        yield [Styled(name, "bold"), f": keeps {rules(rule)}"]
    for model, tags in sorted(policies.rules.items()):
        for tag, asked in sorted(tags.items()):
            of = "every model" if model == EVERY_MODEL else model
            yield ["tag ", Styled(tag, "yellow"), f" of {of}: {demands(asked)}"]


def _board_document(stages: Stages) -> Document:
    standings = [
        {
            "model": model,
            "stage": standing.stage,
            "commit": standing.commit.hex,
            "number": standing.number,
            **time_fields("since", standing.since_ms),
            "who": standing.who,
            "why": standing.why,
        }
        for model, found in stages.board.models.items()
        for standing in found
    ]
    return {"registry": stages.registry, "stages": list(stages.board.stages), "standings": standings}


def _board_human(stages: Stages, paper: Paper) -> Iterator[Line | Table]:
    rows: list[list[Cell]] = []
    for model, standings in stages.board.models.items():
        found = {standing.stage: standing for standing in standings}
        rows.append(
            [
                Styled(model, "bold"),
                *(_cell(found.get(stage), paper) for stage in stages.board.stages),
            ]
        )
    yield Table(["model", *stages.board.stages], rows)


def _cell(standing: Standing | None, paper: Paper) -> Cell:
    return f"v{standing.number}, {text.age(standing.since_ms, paper.now_ms)}" if standing else "-"


POLICIES = View(_document, _human, lambda policies: sorted({*policies.keep, *policies.rules}))
BOARD = View(
    _board_document,
    _board_human,
    lambda stages: (
        f"{model} {standing.stage} v{standing.number}" for model, found in stages.board.models.items() for standing in found
    ),
)
