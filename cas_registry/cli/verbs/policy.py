"""`reg policy`: what a collection keeps."""

from typing import TYPE_CHECKING

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session

if TYPE_CHECKING:
    from cas_registry.model.keep import Best


_OF = {
    "show": frozenset[str](),
    "keep": frozenset({"last", "days", "tagged", "best"}),
    "drop": frozenset[str](),
    "protect": frozenset({"who", "approvals", "approvers", "conditions", "checks", "after", "reason"}),
    "unprotect": frozenset({"reason"}),
    "stages": frozenset({"strict"}),
}  # which options an action takes


@verb(
    examples="""
    reg policy
    reg policy keep --last 20 --days 90 --best metrics.auc 5
    reg policy keep --model fraud --last 100 --best loss:min 3
    reg policy drop --model fraud
    reg policy protect prod --approvals 2 --approver '*@risk' --require 'metrics.auc >= prod' --check safe
    reg policy protect 'env/*' --who '*@ops' --after staging
    reg policy unprotect prod
    reg policy stages dev staging prod archived
    reg policy stages                          (which version stands where)
    """
)
@click.argument("action", type=click.Choice(list(_OF)), default="show")
@click.argument("tags", metavar="[TAG]...", nargs=-1)
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
@click.option("--who", metavar="PATTERN", multiple=True, help="TAG is moved by these people only (*@ops). May be repeated.")
@click.option("--approvals", type=click.IntRange(min=0), default=0, metavar="N", help="So many others must have approved.")
@click.option("--approver", "approvers", metavar="PATTERN", multiple=True, help="Whose approval counts. May be repeated.")
@click.option(
    "--require", "conditions", metavar="CONDITION", multiple=True,
    help="What the version must be, such as 'metrics.auc >= prod'. May be repeated: all must hold.",
)  # fmt: skip
@click.option(
    "--check", "checks", type=click.Choice(["safe", "signed", "card"]), multiple=True,
    help="safe: no file runs code on loading; card: a model card; signed: version, approvals and move. May be repeated.",
)  # fmt: skip
@click.option("--after", metavar="TAG", multiple=True, help="The version must have stood at that tag before. May be repeated.")
@click.option("--strict", is_flag=True, help="Every stage asks for the one before it, not prod alone.")
@click.option("-m", "--message", "reason", default="", metavar="REASON", help="Why; kept in the catalogue's log.")
def policy(
    session: Session, action: str, tags: tuple[str, ...], last: int | None, days: int | None, tagged: bool,
    best: tuple[tuple[str, int], ...], who: tuple[str, ...], approvals: int, approvers: tuple[str, ...], conditions: tuple[str, ...],
    checks: tuple[str, ...], after: tuple[str, ...], strict: bool, reason: str,
) -> None:  # fmt: skip
    """Show the policies: which versions stay, and what it takes to move a tag. Or set one, of the model that -M names, else of all that have none
    of their own.

    keep and drop are about retention: a version stays if any rule keeps it, and nothing goes before reg gc --policy --delete; reg gc
    --policy lists what would.

    protect puts TAG (or all of a pattern, env/*) under a rule, in place of the one it had; unprotect takes it away. Every verb that
    moves a tag asks its rules; reg promote --dry-run shows them.

    stages makes the TAGs stages in that order; without TAG it shows which version stands at which stage.
    """
    from cas_registry.cli.views.policy import BOARD, POLICIES, Policies, Stages
    from cas_registry.model.keep import Keep

    _check_words(action, tags)
    registry = session.registry
    model = session.asked_model
    if action == "keep":
        rules = tuple(_best(name, count) for name, count in best)
        registry.set_policy(Keep(last, days, tagged, rules), model=model)
    elif action == "drop":
        registry.set_policy(None, model=model)
    elif action == "protect":
        from cas_registry.model.rules import TagRule

        rule = TagRule(who, approvals, approvers, _all_of(conditions), checks, after)
        if rule == TagRule() and model is None:
            raise click.UsageError(
                "say what it takes: --who, --approvals, --require, --check or --after", click.get_current_context()
            )
        registry.protect(tags[0], rule, model=model, reason=reason)
    elif action == "unprotect":
        registry.unprotect(tags[0], model=model, reason=reason)
    elif action == "stages":
        if tags:
            registry.set_stages(tags, model=model, strict=strict)
        session.out.show(BOARD, Stages(registry.url, registry.stages(model)))
        return
    session.out.show(POLICIES, Policies(registry.url, registry.policies(), registry.rules()))


def _check_words(action: str, tags: tuple[str, ...]) -> None:
    """Whether the action takes the options that were given, and so many tags."""
    context = click.get_current_context()
    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        if given and any(name in options for options in _OF.values()) and name not in _OF[action]:
            raise click.UsageError(f"{parameter.opts[-1]} is not for reg policy {action}", context)
    if action in {"protect", "unprotect"} and len(tags) != 1:
        raise click.UsageError(f"reg policy {action} takes one tag, or one pattern such as 'env/*'", context)
    if tags and action in {"show", "keep", "drop"}:
        raise click.UsageError(f"reg policy {action} takes no tag; {tags[0]!r} is one too many", context)


def _all_of(conditions: tuple[str, ...]) -> str | None:
    """One condition of several, which must all hold."""
    if len(conditions) < 2:  # noqa: PLR2004 - nothing to join
        return next(iter(conditions), None)
    return " and ".join(f"({condition})" for condition in conditions)


def _best(name: str, count: int) -> "Best":
    from cas_registry.model.keep import Best

    metric, _, order = name.removeprefix("metrics.").rpartition(":")
    if order in ("min", "max") and metric:
        return Best(metric, count, smallest=order == "min")
    return Best(name.removeprefix("metrics."), count)
