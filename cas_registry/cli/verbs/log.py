"""`reg log`: history, newest first."""

from itertools import islice

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session


@verb(
    examples="""
    reg log
    reg log prod -n 3
    reg log --graph --oneline                  (all branches and tags)
    reg log main@{2026-11-01} --json
    """
)
@click.argument("revision", metavar="[REV]", required=False)
@click.option("-n", "limit", metavar="N", type=click.IntRange(min=0), help="At most N versions.")
@click.option("--oneline", is_flag=True, help="One line a version.")
@click.option("--graph", is_flag=True, help="Draw how versions follow each other; without REV, of all branches and tags.")
def log(session: Session, revision: str | None, limit: int | None, oneline: bool, graph: bool) -> None:
    """Show REV (by default main) and the versions that it came from, newest first."""
    from cas_registry.cli.views.log import LOG, History

    wanted = [revision] if revision else ["main"]
    model = session.model(*wanted)
    if graph and not revision:
        wanted = [ref.commit.hex for ref in (*model.branches(), *model.tags())] or wanted
    records = islice(model.walk(*wanted), limit)
    session.out.show(LOG, History(session.model_of(wanted[0]), records, oneline=oneline, graph=graph))
