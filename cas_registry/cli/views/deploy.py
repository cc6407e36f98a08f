"""`reg deploy`."""

from collections.abc import Iterator

from cas_registry.cli import text
from cas_registry.cli.output import Line, Paper, Styled, View
from cas_registry.cli.views.fields import name_of
from cas_registry.operations.deploy import Deployment, Outcome


def deployment_fields(report: Deployment) -> dict[str, object]:
    """What a deployment did; `checkout` bytes are null where the version's folder was not touched."""
    filled = report.checkout
    return {
        "outcome": report.outcome.value,
        "folder": str(report.root.absolute()),
        "model": report.version.model,
        "commit": report.version.commit.hex,
        "number": report.version.number,
        "serving": report.serving.hex if report.serving else None,
        "serving_number": report.number,
        "serving_folder": str(report.folder.absolute()) if report.folder else None,
        "previous": report.previous.hex if report.previous else None,
        "failure": report.failure or None,
        "rollback_failure": report.rollback_failure or None,
        "written_bytes": filled.written_bytes if filled else None,
        "seeded_bytes": filled.seeded_bytes if filled else None,
        "cached_bytes": filled.cached_bytes if filled else None,
        "fetched_bytes": filled.fetched_bytes if filled else None,
        "pruned": list(report.pruned),
    }


def deployment_lines(report: Deployment) -> Iterator[Line]:
    """For people."""
    name = name_of(report.version.model, report.version.number, report.version.commit)
    match report.outcome:
        case Outcome.DEPLOYED:
            yield [*name, f"  is current in {report.root}"]
        case Outcome.UNCHANGED:
            yield [*name, f"  is current in {report.root} already"]
        case Outcome.ROLLED_BACK:
            yield [*name, Styled("  was taken back: ", "red"), report.failure]
        case Outcome.REFUSED:
            yield [*name, Styled("  failed before, and is not tried again until the name moves", "red")]
    if report.outcome in (Outcome.ROLLED_BACK, Outcome.REFUSED):
        served = f"v{report.number} ({report.serving.short}) is current again" if report.serving else "nothing is current"
        yield [f"  {served} in {report.root}"]
    if report.rollback_failure:
        yield [Styled(f"  and that was not taken up either: {report.rollback_failure}", "red")]
    if report.checkout and report.checkout.written:
        filled = report.checkout
        taken = ((filled.seeded_bytes, "from the version before"), (filled.cached_bytes, "from the cache"))
        sources = "".join(f"{text.size(size_bytes)} {where}, " for size_bytes, where in taken if size_bytes)
        yield [
            f"  {text.size(filled.written_bytes)} written, every byte verified: {sources}{text.size(filled.fetched_bytes)} fetched"
        ]
    if report.pruned:
        yield [f"  Removed {', '.join(report.pruned)}"]


def _human(report: Deployment, _: Paper) -> Iterator[Line]:
    yield from deployment_lines(report)


DEPLOYMENT = View(deployment_fields, _human, lambda report: [str(report.folder)] if report.folder else [])
