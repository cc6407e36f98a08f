"""`reg watch`."""

from collections.abc import Iterator

from cas_registry.cli.output import Document, Line, Paper, Styled, View
from cas_registry.cli.views.deploy import deployment_fields, deployment_lines
from cas_registry.cli.views.fields import name_of, time_fields
from cas_registry.operations.watching import Change, What

_SAID = {
    What.STANDS: "stands at",
    What.MOVED: "moved to",
    What.ROLLED_BACK: "was rolled back to",
    What.ABSENT: "is not there yet",
    What.DELETED: "was deleted",
    What.RETIRED: "is gone: its version was retired",
}


def _document(change: Change) -> Document:
    return {
        "what": change.what.value,
        "model": change.model,
        "revision": change.revision,
        "commit": change.commit.hex if change.commit else None,
        "number": change.number,
        "previous": change.previous.hex if change.previous else None,
        "entry": change.at or None,
        **time_fields("time", change.time_ms),
        "who": change.who or None,
        "why": change.why or None,
        "failure": change.failure or None,
        "error": {"code": change.error.code, "message": change.error.message} if change.error else None,
        "retry_s": round(change.retry_s, 1) if change.retry_s is not None else None,
        "deployment": deployment_fields(change.deployment) if change.deployment else None,
    }


def _human(change: Change, _: Paper) -> Iterator[Line]:
    name = Styled(f"{change.model}@{change.revision.rpartition('@')[2]}", "bold")
    if change.error is not None:
        yield [name, Styled(" error: ", "red"), change.error.message, f"; again in {change.retry_s or 0:.0f} s"]
        return
    said = f" {_SAID[change.what]}"
    by = f"  by {change.who}" if change.who else ""
    why = f": {change.why}" if change.why else ""
    if change.commit and change.number is not None:
        yield [name, said, " ", *name_of(change.model, change.number, change.commit), Styled(f"{by}{why}", "dim")]
    else:
        yield [name, Styled(said, "yellow"), Styled(f"{by}{why}", "dim")]
    if change.deployment:
        yield from deployment_lines(change.deployment)
    elif change.failure:
        yield [Styled(f"  {change.failure}", "red")]


CHANGE = View(_document, _human, lambda change: [change.commit.hex] if change.commit else [])
