"""`reg gc`: collection."""

import click

from cas_registry.cli.options import parse_span, verb
from cas_registry.cli.session import Session
from cas_registry.errors import InvalidInputError


@verb(
    examples="""
    reg gc                                     (what would go; nothing is written)
    reg gc --delete                            (begin; bytes go a week later)
    reg gc --policy                            (what the retention policies would let go)
    reg gc --undo 4 -m "v12 is still wanted"
    """
)
@click.option("--delete", is_flag=True, help="Go on with the collections under way, and begin one.")
@click.option("--policy", is_flag=True, help="Retire first what the retention policies let go (reg policy).")
@click.option("--undo", type=click.IntRange(min=1), metavar="EPOCH", help="Call a collection off before it deletes.")
@click.option("-m", "--message", "reason", default="", metavar="REASON", help="For --undo: why.")
@click.option(
    "--trash-window",
    default="7d",
    callback=parse_span,
    metavar="SPAN",
    help="How long what goes can still be saved.  [default: 7d]",
)
@click.option(
    "--grace", default="24h", callback=parse_span, metavar="SPAN", help="Leave younger objects alone.  [default: 24h]"
)
@click.option(
    "--yes-delete",
    "confirmed",
    type=int,
    metavar="N",
    help="Where more than half of all bytes would go: the number of objects.",
)
def gc(
    session: Session,
    delete: bool,
    policy: bool,
    undo: int | None,
    reason: str,
    trash_window: float,
    grace: float,
    confirmed: int | None,
) -> None:
    """Find what no version of any model needs (left by commits that were stopped, repacks, retired versions), and delete it with --delete.

    A first run with --delete writes down what goes and makes every writer know; a later one, by anybody, deletes it once the trash window has
    passed. Until then --undo saves it. Nothing that a version needs is ever deleted, whoever commits meanwhile, however long anybody stalls.
    """
    from cas_registry.cli.views.gc import COLLECTION, UNDONE, Collected

    if undo is not None:
        if delete or policy:
            raise InvalidInputError("--undo stands alone")
        session.out.show(UNDONE, session.registry.undo_gc(undo, reason=reason))
        return
    registry = session.registry
    expired = registry.expired() if policy else []
    with session.progress() as progress:
        report = registry.gc(
            delete=delete, policy=policy, grace_s=grace, trash_window_s=trash_window, confirmed=confirmed, progress=progress
        )
    session.out.show(COLLECTION, Collected(registry.url, report, expired if policy else None))
