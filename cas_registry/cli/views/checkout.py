"""`reg checkout`, and what is told of any checkout before it starts."""

from collections.abc import Callable, Iterator

from cas_registry.cli import text
from cas_registry.cli.output import Document, Line, Output, Paper, Styled, View
from cas_registry.cli.views.fields import name_of, paths_line
from cas_registry.operations.checkout import CheckoutPlan, CheckoutReport

_SHOWN = 10


def _document(report: CheckoutReport) -> Document:
    return {
        "model": report.version.model,
        "commit": report.version.commit.hex,
        "number": report.version.number,
        "folder": str(report.target.absolute()),
        "written": list(report.written),
        "removed": list(report.removed),
        "unchanged_files": report.unchanged,
        "written_bytes": report.written_bytes,
        "seeded_bytes": report.seeded_bytes,
        "cached_bytes": report.cached_bytes,
        "fetched_bytes": report.fetched_bytes,
        "size_bytes": report.size_bytes,
    }


def _human(report: CheckoutReport, _: Paper) -> Iterator[Line]:
    version = report.version
    name = name_of(version.model, version.number, version.commit)
    yield [*name, f"  in {report.target}"]
    for mark, style, paths in (("W", "green", report.written), ("D", "red", report.removed)):
        for path in paths[:_SHOWN]:
            yield paths_line(mark, path, style)
        if len(paths) > _SHOWN:
            yield [f"    and {len(paths) - _SHOWN:,} more"]
    removed = f", {len(report.removed):,} removed" if report.removed else ""
    written = f"{text.count(len(report.written), 'file')} written ({text.size(report.written_bytes)})"
    yield [f"  {written}{removed}, {report.unchanged:,} unchanged; {text.size(report.size_bytes)} in all, every byte verified"]
    taken = ((report.seeded_bytes, "from files that were here"), (report.cached_bytes, "from the cache"))
    sources = [f"{text.size(size_bytes)} {where}" for size_bytes, where in taken if size_bytes]
    if sources:
        yield [f"  {', '.join(sources)}, {text.size(report.fetched_bytes)} fetched"]


CHECKOUT = View(_document, _human, lambda report: [str(report.target)])


def _plan_document(plan: CheckoutPlan) -> Document:
    return {
        "model": plan.version.model,
        "commit": plan.version.commit.hex,
        "number": plan.version.number,
        "folder": str(plan.target.absolute()),
        "write": list(plan.write),
        "remove": list(plan.remove),
        "unchanged_files": plan.unchanged,
        "written_bytes": plan.written_bytes,
        "cached_bytes": plan.cached_bytes,
        "fetch_bytes": plan.fetch_bytes,
        "fetch_requests": plan.fetch_requests,
        "size_bytes": plan.size_bytes,
    }


def _plan_human(plan: CheckoutPlan, _: Paper) -> Iterator[Line]:
    version = plan.version
    yield [*name_of(version.model, version.number, version.commit), f"  would be in {plan.target}, and nothing was changed:"]
    for mark, style, paths in (("W", "green", plan.write), ("D", "red", plan.remove)):
        for path in paths[:_SHOWN]:
            yield paths_line(mark, path, style)
        if len(paths) > _SHOWN:
            yield [f"    and {len(paths) - _SHOWN:,} more"]
    removed = f", {len(plan.remove):,} to remove" if plan.remove else ""
    to_write = f"{text.count(len(plan.write), 'file')} to write ({text.size(plan.written_bytes)})"
    yield [f"  {to_write}{removed}, {plan.unchanged:,} unchanged; {_fetching(plan)}"]


def _fetching(plan: CheckoutPlan) -> str:
    if not plan.fetch_bytes:
        return "nothing to fetch"
    return f"at most {text.size(plan.fetch_bytes)} to fetch, in {text.count(plan.fetch_requests, 'request')}"


def _foreseen(plan: CheckoutPlan, _: Paper) -> Iterator[Line]:
    if plan.fetch_bytes:
        name = f"{plan.version.model} v{plan.version.number}"
        yield [Styled(f"{name}: {_fetching(plan)}, of {text.size(plan.size_bytes)}", "dim")]


def announce(out: Output) -> Callable[[CheckoutPlan], None]:
    """Tells people, before a checkout starts, how much it is going to fetch."""

    def tell(plan: CheckoutPlan) -> None:
        if out.is_human:
            out.tell(_FORESEEN, plan)

    return tell


CHECKOUT_PLAN = View(_plan_document, _plan_human, lambda plan: [str(plan.fetch_bytes)])
_FORESEEN: View[CheckoutPlan] = View(_plan_document, _foreseen)
