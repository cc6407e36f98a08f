"""`reg merge`."""

from collections.abc import Iterator

from cas_registry.cli import text
from cas_registry.cli.output import Document, Line, Paper, View
from cas_registry.cli.views.fields import name_of, paths_line
from cas_registry.operations.merge import Outcome
from cas_registry.operations.merge_trees import Conflict
from cas_registry.registry import MergeReport

_SHOWN = 10


def _document(report: MergeReport) -> Document:
    return {
        "model": report.model,
        "branch": report.branch,
        "outcome": report.outcome.value,
        "commit": report.commit.hex,
        "number": report.number,
        "tree": report.tree.hex,
        "ours": report.ours.hex,
        "theirs": report.theirs.hex,
        "bases": [commit.hex for commit in report.bases],
        "added": list(report.added),
        "changed": list(report.changed),
        "removed": list(report.removed),
        "decided": [{**_conflict_fields(conflict), "taken": side.value} for conflict, side in report.decided],
    }


def _conflict_fields(conflict: Conflict) -> dict[str, object]:
    sides = (("base", conflict.base), ("ours", conflict.ours), ("theirs", conflict.theirs))
    return {
        "path": conflict.path,
        "clash": conflict.clash.value,
        **{name: entry.id.hex if entry else None for name, entry in sides},
    }


def _human(report: MergeReport, _: Paper) -> Iterator[Line]:
    name = name_of(report.model, report.number, report.commit)
    match report.outcome:
        case Outcome.UP_TO_DATE:
            yield [f"{report.branch} has all of {report.theirs.short} already: ", *name]
            return
        case Outcome.FAST_FORWARD:
            yield [f"{report.branch} moved on from {report.ours.short} to ", *name]
        case Outcome.MERGED:
            yield [f"Merged {report.theirs.short} into {report.branch}: ", *name]
    for mark, style, paths in (("A", "green", report.added), ("M", "yellow", report.changed), ("D", "red", report.removed)):
        for path in paths[:_SHOWN]:
            yield paths_line(mark, path, style)
        if len(paths) > _SHOWN:
            yield [f"    and {len(paths) - _SHOWN:,} more"]
    for conflict, side in report.decided:
        yield [f"  {conflict.path}: both changed it, {side.value} was taken"]
    if len(report.bases) > 1:
        yield [f"  by {text.count(len(report.bases), 'common ancestor')}, merged into one: the histories cross"]


MERGE = View(_document, _human, lambda report: [report.commit.hex])
