"""`reg search`: versions by what is known of them."""

import sys

import click

from cas_registry.cli.options import Format, verb
from cas_registry.cli.session import Session


@verb(
    examples="""
    reg search 'metrics.auc > 0.9 and params.lr < 1e-3 and tag = prod'
    reg search 'author ~ "ana" and age < 30d' --all
    reg search 'metrics.auc >= prod' --sort metrics.auc --top 10
    reg search --sort metrics.loss:min --columns metrics.loss,params.lr,age
    reg search 'environment."gpu.0" ~ A100 or packages.torch = 2.9.0' --csv > found.csv
    """
)
@click.argument("condition", required=False)
@click.option("--all", "everywhere", is_flag=True, help="Search all models, whatever -M and the folder's binding say.")
@click.option(
    "--sort",
    metavar="FIELD",
    help="Highest first (text from A to Z); -FIELD turns that round, FIELD:min and FIELD:max say which comes first. Newest first without it.",
)
@click.option("--top", metavar="N", type=click.IntRange(min=0), help="At most N versions.")
@click.option("--columns", metavar="FIELD,…", help="The columns of the table or of CSV.")
@click.option("--retired", is_flag=True, help="Retired versions too.")
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values, one line a version.")
def search(
    session: Session,
    condition: str | None,
    everywhere: bool,
    sort: str | None,
    top: int | None,
    columns: str | None,
    retired: bool,
    as_csv: bool,
) -> None:
    """Show the versions that CONDITION finds (all without it), of the model of -M or of the bound folder, else of every model.

    Fields are params.X, metrics.X, labels.X, framework.X, packages.X, environment.X, code.X, tag, branch, author, message, time, age,
    number, model, commit, size, stored, files and input; they compare with = != < <= > >= ~ (contains) !~ and in (…), and go together with
    and, or, not and parentheses. What a version lacks does not match. metrics.auc >= prod compares with the version at prod.

    What was written since the last search is read first; the rest is answered from an index on this machine.
    """
    from cas_registry.cli.views.search import SEARCH, SHOWN, Search, csv_text, parse_columns

    if as_csv and session.out.format is not Format.HUMAN:
        raise click.UsageError("choose one format: --csv or --json or --quiet", click.get_current_context())
    wanted = parse_columns(columns) if columns else None
    chosen = None if everywhere else session.chosen_model
    shown = SHOWN if top is None and session.out.is_human and not as_csv else None
    with session.progress() as progress:
        found = session.indexed.search(
            condition,
            models=[chosen] if chosen else None,
            sort=sort,
            top=top if shown is None else shown + 1,
            retired=retired,
            progress=progress,
        )
    if as_csv:
        click.echo(csv_text(found, wanted, tame=sys.stdout.isatty()), nl=False, color=True)  # exactly as it is
    else:
        session.out.show(SEARCH, Search(found, chosen, wanted, offline=session.is_offline, shown=shown))
    if session.is_offline and found.synced_ms is not None:
        session.tell_age(found.synced_ms)
