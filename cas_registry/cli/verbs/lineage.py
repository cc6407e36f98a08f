"""`reg lineage`: what a version came of, and what came of it."""

import json

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session
from cas_registry.errors import InvalidInputError

_DEPTH = 5  # steps shown unless more are asked for: a model's versions are parents of each other


@verb(
    examples="""
    reg lineage prod
    reg lineage fraud@v17 --up --depth 0
    reg lineage base@v3 --down
    reg lineage prod --dot | dot -Tsvg > lineage.svg
    reg lineage prod --openlineage > events.ndjson
    """
)
@click.argument("revision", metavar="REV")
@click.option("--up", is_flag=True, help="Only what it was made from.")
@click.option("--down", is_flag=True, help="Only what was made from it.")
@click.option(
    "--depth", metavar="N", type=click.IntRange(min=0), default=_DEPTH, show_default=True, help="So many steps; 0: all the way."
)
@click.option("--dot", "as_dot", is_flag=True, help="For Graphviz.")
@click.option("--mermaid", "as_mermaid", is_flag=True, help="As a Mermaid flowchart.")
@click.option("--openlineage", "as_events", is_flag=True, help="As OpenLineage run events, one a line, oldest first.")
def lineage(
    session: Session, revision: str, up: bool, down: bool, depth: int, as_dot: bool, as_mermaid: bool, as_events: bool
) -> None:
    """Show what REV was made from, and what was made from it, over all models of the registry.

    Parents; inputs, from elsewhere or of this registry; and the versions that hold the very file that an input's digest names.
    """
    from cas_registry.cli.views.lineage import LINEAGE
    from cas_registry.registry import dot, mermaid, run_events

    if as_dot + as_mermaid + as_events > 1:
        raise InvalidInputError("choose one of --dot, --mermaid and --openlineage")
    with session.progress() as progress:
        found = session.model(revision).lineage(
            revision, up=up or not down, down=down or not up, depth=depth or None, progress=progress
        )
    if as_dot or as_mermaid:
        click.echo(dot(found) if as_dot else mermaid(found))
    elif as_events:
        for event in run_events(found, session.registry.url):
            click.echo(json.dumps(event))
    else:
        session.out.show(LINEAGE, found)
