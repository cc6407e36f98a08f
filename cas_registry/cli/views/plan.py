"""`reg commit --plan`."""

from collections.abc import Iterator
from dataclasses import dataclass

from cas_registry.cli import text
from cas_registry.cli.output import Document, Line, Paper, Styled, Table, View
from cas_registry.operations.plan import CommitPlan


@dataclass(frozen=True, slots=True)
class Planned:
    """A commit's plan, and the registry that it is for."""

    plan: CommitPlan
    registry: str


def _document(planned: Planned) -> Document:
    plan, report = planned.plan, planned.plan.report
    return {
        "registry": planned.registry,
        "model": report.model,
        "branch": report.branch,
        "would_commit": report.created,
        "tree": report.tree.hex,
        "files": report.files,
        "files_read": report.files_read,
        "raw_bytes": report.raw_bytes,
        "new_bytes": report.new_bytes,
        "reused_bytes": report.reused_bytes,
        "stored_bytes": report.stored_bytes,
        "packs": report.packs,
        "writes": plan.writes,
        "reads": plan.reads,
        "sent_bytes": plan.sent_bytes,
        "received_bytes": plan.received_bytes,
        "commit_dollars": plan.commit_dollars,
        "month_dollars": plan.month_dollars,
    }


def _human(planned: Planned, _: Paper) -> Iterator[Line | Table]:
    plan, report = planned.plan, planned.plan.report
    if not report.created:
        yield [f"Nothing new: {report.branch} holds the same {text.count(report.files, 'file')}; no commit would be made"]
        return
    yield ["A commit to ", Styled(report.model, "bold"), f" on {report.branch} would write, and nothing was written:"]
    rows = [
        ["files", f"{report.files:,}", text.size(report.raw_bytes)],
        ["of these new", "", text.size(report.new_bytes)],
        ["stored", text.count(report.packs, "pack"), text.size(report.stored_bytes)],
        ["sent in all", text.count(plan.writes, "write"), text.size(plan.sent_bytes)],
        ["received", text.count(plan.reads, "read"), text.size(plan.received_bytes)],
    ]
    yield Table(["", "", "bytes"], [list(row) for row in rows], frozenset({"bytes"}))
    yield [
        f"${plan.commit_dollars:.6f} for the requests, ${plan.month_dollars:.6f} a month to keep it (S3's list prices, or --price)"
    ]


PLAN = View(_document, _human, lambda planned: [planned.plan.report.tree.hex])
