"""`reg diff`: what differs between two versions."""

from pathlib import Path

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session


@verb(
    examples="""
    reg diff main~1 main
    reg diff prod main --exit-code
    reg diff fraud@prod fraud-xl@prod
    reg diff main~1 main --values --plot movement.svg
    """
)
@click.argument("old", metavar="A")
@click.argument("new", metavar="B")
@click.option("--values", is_flag=True, help="Measure how far the values of changed tensors moved; reads them.")
@click.option("--plot", metavar="FILE.svg", type=click.Path(path_type=Path), help="Draw the movement per layer.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 if files differ.")
def diff(session: Session, old: str, new: str, values: bool, plot: Path | None, exit_code: bool) -> int:
    """Show what differs from A to B.

    Files added (A), removed (D), changed (M) and renamed (R) with their bytes shared and new; tensors, widest movers first; params and
    metrics.
    """
    from cas_registry.cli.views.diff import DIFF

    model = session.model(old, new)
    with session.progress() as progress:
        found = model.diff(old, new, values=values, progress=progress)
    if plot:
        from cas_registry.cli.plot import movement_svg

        plot.write_text(movement_svg(f"{old} to {new}", found.tensors.layers), encoding="utf-8")
    session.out.show(DIFF, found)
    return 1 if exit_code and not found.is_empty else 0
