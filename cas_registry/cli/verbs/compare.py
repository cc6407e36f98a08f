"""`reg compare`: versions side by side."""

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session


@verb(
    examples="""
    reg compare v12 v17 prod
    reg compare prod fraud-xl@prod --only metrics,params
    reg compare main~2 main~1 main --all
    reg compare v1 v2 v3 --only metrics --csv > metrics.csv
    """
)
@click.argument("revisions", metavar="REV REV...", nargs=-1, required=True)
@click.option(
    "--only",
    metavar="SECTION,...",
    default="",
    help="Of metrics, params, labels, inputs, framework, packages, environment, code, files and tensors only these.",
)
@click.option("--all", "everything", is_flag=True, help="Also what is the same everywhere, and all of long sections.")
@click.option("--csv", is_flag=True, help="One line of comma-separated values for each thing that is compared.")
def compare(session: Session, revisions: tuple[str, ...], only: str, everything: bool, csv: bool) -> None:
    """Show two or more versions side by side, of one model or of several: what differs first, metrics with their distance from the first version.

    What is the same everywhere is only counted. No data is read, so that of some small tensors it cannot be told whether they are the same (?).
    """
    from cas_registry.cli.views.compare import COMPARE, CSV, Compared

    sections = [name for part in only.split(",") if (name := part.strip())]
    found = session.model(*revisions).compare(*revisions, only=sections)
    session.out.show(CSV if csv else COMPARE, Compared(revisions, found, everything=everything))
