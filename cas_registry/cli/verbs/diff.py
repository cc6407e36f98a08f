"""`reg diff`: what differs between two versions."""

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session


@verb(
    examples="""
    reg diff main~1 main
    reg diff prod main --exit-code
    reg diff fraud@prod fraud-xl@prod
    """
)
@click.argument("old", metavar="A")
@click.argument("new", metavar="B")
@click.option("--exit-code", is_flag=True, help="Exit with 1 if files differ.")
def diff(session: Session, old: str, new: str, exit_code: bool) -> int:
    """Show what differs from A to B: files added (A), removed (D), changed (M) and renamed (R), their bytes shared and new, params, metrics."""
    from cas_registry.cli.views.diff import DIFF

    found = session.model(old, new).diff(old, new)
    session.out.show(DIFF, found)
    return 1 if exit_code and not found.is_empty else 0
