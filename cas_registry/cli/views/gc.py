"""`reg gc`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cas_registry.cli import text
from cas_registry.cli.output import Cell, Document, Line, Paper, Styled, Table, View
from cas_registry.cli.views.fields import time_fields
from cas_registry.operations.collection import CollectionInfo, CollectReport, EpochState
from cas_registry.operations.retention import Expiry

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Collected:
    """A collection of the registry at a URL; `expired` is what policies let go, None where they were not asked."""

    registry: str
    report: CollectReport
    expired: Sequence[Expiry] | None


def _collection_fields(info: CollectionInfo) -> dict[str, object]:
    return {
        "epoch": info.epoch,
        "state": info.state.value,
        "objects": info.objects,
        "bytes": info.size_bytes,
        "who": info.who,
        **time_fields("since", info.since_ms),
        **time_fields("due", info.due_ms),
    }


def _document(collected: Collected) -> Document:
    report = collected.report
    return {
        "registry": collected.registry,
        "dry_run": report.dry_run,
        "versions": report.versions,
        "live_objects": report.live_objects,
        "live_bytes": report.live_bytes,
        "garbage_objects": report.garbage_objects,
        "garbage_bytes": report.garbage_bytes,
        "young_objects": report.young_objects,
        "young_bytes": report.young_bytes,
        "deleted_objects": report.deleted_objects,
        "deleted_bytes": report.deleted_bytes,
        "refused_objects": report.refused_objects,
        "leftover_files": report.leftover_files,
        "leftover_bytes": report.leftover_bytes,
        "collections": [_collection_fields(info) for info in report.collections],
        "expired": None
        if collected.expired is None
        else [
            {"model": expiry.model, "versions": expiry.versions, "commits": [version.commit.hex for version in expiry.expired]}
            for expiry in collected.expired
        ],
    }


def _human(collected: Collected, _: Paper) -> Iterator[Line | Table]:
    report = collected.report
    for expiry in collected.expired or ():
        yield [
            Styled(expiry.model, "bold"), f": {len(expiry.expired):,} of {text.count(expiry.versions, 'version')} ",
            "would go by its policy" if report.dry_run else "retired by its policy",
        ]  # fmt: skip
        for version in expiry.expired[:_SHOWN]:
            yield [f"  v{version.number}  ", Styled(version.commit.short, "yellow")]
        if len(expiry.expired) > _SHOWN:
            yield [f"  and {len(expiry.expired) - _SHOWN:,} more"]
    live = f"{text.count(report.versions, 'version')} need {text.count(report.live_objects, 'object')} of {text.size(report.live_bytes)}"
    yield [live]
    if report.young_objects:
        yield [
            f"{text.count(report.young_objects, 'object')} of {text.size(report.young_bytes)} that nothing needs are too young to judge"
        ]
    if report.dry_run and report.garbage_objects:
        yield [
            f"{text.count(report.garbage_objects, 'object')} of ",
            Styled(text.size(report.garbage_bytes), "bold"),
            " that nothing needs: reg gc --delete",
        ]
    elif report.dry_run and not report.leftover_files:
        yield ["Nothing to collect"]
    if report.deleted_objects:
        yield [Styled(f"Deleted {text.count(report.deleted_objects, 'object')} of {text.size(report.deleted_bytes)}", "bold")]
    if report.refused_objects:
        yield [f"The store did not let {text.count(report.refused_objects, 'object')} go; the next run tries again"]
    yield from _leftovers(report)
    rows: list[list[Cell]] = [
        [str(info.epoch), info.state.value, f"{info.objects:,}", text.size(info.size_bytes), _due(info)]
        for info in report.collections
    ]
    if rows:
        yield Table(["collection", "state", "objects", "size", "deletes"], rows, frozenset({"objects", "size"}))


def _leftovers(report: CollectReport) -> Iterator[Line]:
    if report.leftover_files:
        left = f"{text.count(report.leftover_files, 'temporary file')} of {text.size(report.leftover_bytes)} left by writes that broke off"
        yield [f"{left}: reg gc --delete" if report.dry_run else f"Removed {left}"]


def _due(info: CollectionInfo) -> str:
    if info.state is not EpochState.WAITING or info.due_ms is None:
        return ""
    return f"from {text.moment(info.due_ms)} on, by reg gc --delete; reg gc --undo {info.epoch} saves it"


COLLECTION = View(_document, _human, lambda collected: (str(info.epoch) for info in collected.report.collections))
UNDONE = View(
    _collection_fields,
    lambda info, _: [
        [f"Called off collection {info.epoch}: {text.count(info.objects, 'object')} of {text.size(info.size_bytes)} stay"]
    ],
    lambda info: [str(info.epoch)],
)
