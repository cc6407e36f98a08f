"""`reg policy`: what a collection keeps."""

from typing import TYPE_CHECKING

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session

if TYPE_CHECKING:
    from cas_registry.model.keep import Best


@verb(
    examples="""
    reg policy
    reg policy keep --last 20 --days 90 --best metrics.auc 5
    reg policy keep --model fraud --last 100 --best loss:min 3
    reg policy drop --model fraud
    """
)
@click.argument("action", type=click.Choice(["show", "keep", "drop"]), default="show")
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="Keep the last N versions of a model.")
@click.option("--days", type=click.IntRange(min=1), metavar="N", help="Keep the versions of the last N days.")
@click.option(
    "--tagged", is_flag=True, help="Keep what a tag or branch stands at, which is kept anyway: a policy of that alone."
)
@click.option(
    "--best",
    "best",
    type=(str, click.IntRange(min=1)),
    multiple=True,
    metavar="METRIC N",
    help="Keep the N versions with the largest METRIC (METRIC:min: the smallest). May be repeated.",
)
def policy(
    session: Session, action: str, last: int | None, days: int | None, tagged: bool, best: tuple[tuple[str, int], ...]
) -> None:
    """Show the retention policies, or set (keep) or take away (drop) that of a model: the one that -M names, else of all that have none of their own.

    A version stays if any rule keeps it. Nothing goes before reg gc --policy --delete; reg gc --policy lists what would.
    """
    from cas_registry.cli.views.policy import POLICIES, Policies
    from cas_registry.model.keep import Keep

    registry = session.registry
    model = session.asked_model
    if action == "keep":
        rules = tuple(_best(name, count) for name, count in best)
        registry.set_policy(Keep(last, days, tagged, rules), model=model)
    elif action == "drop":
        registry.set_policy(None, model=model)
    session.out.show(POLICIES, Policies(registry.url, registry.policies()))


def _best(name: str, count: int) -> "Best":
    from cas_registry.model.keep import Best

    metric, _, order = name.removeprefix("metrics.").rpartition(":")
    if order in ("min", "max") and metric:
        return Best(metric, count, smallest=order == "min")
    return Best(name.removeprefix("metrics."), count)
