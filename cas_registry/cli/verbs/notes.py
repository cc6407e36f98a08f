"""`reg note` and `reg approve`: what is said of a version after it was made."""

from collections.abc import Mapping
from pathlib import Path

import click

from cas_registry.cli.options import Scalar, parse_pairs, verb
from cas_registry.cli.session import Session
from cas_registry.errors import InvalidInputError


@verb(
    examples="""
    reg note main
    reg note v17 -m "slow on CPU, fine on GPU"
    reg note prod --metric holdout.auc=0.91 --label owner=risk
    reg note prod --unlabel draft
    """
)
@click.argument("revision", metavar="REV")
@click.option("-m", "--message", default="", metavar="TEXT", help="What there is to say.")
@click.option("--label", "labels", metavar="K=V", multiple=True, callback=parse_pairs, help="A label to set. May be repeated.")
@click.option("--unlabel", "unlabelled", metavar="K", multiple=True, help="A label to take away. May be repeated.")
@click.option(
    "--metric", "metrics", metavar="K=V", multiple=True, callback=parse_pairs, help="A number measured since. May be repeated."
)
@click.option("--sign", is_flag=True, help="Sign the note, by ssh-keygen.")
@click.option("--key", type=click.Path(path_type=Path), metavar="FILE", help="The key for --sign.  [env: REG_SIGNING_KEY]")
def note(
    session: Session, revision: str, message: str, labels: Mapping[str, Scalar], unlabelled: tuple[str, ...],
    metrics: Mapping[str, Scalar], sign: bool, key: Path | None,
) -> None:  # fmt: skip
    """Say something of the version REV: a text, labels, metrics measured since; without any of these list what was said of it. The version's id
    stays what it is.
    """
    from cas_registry.cli.views.notes import NOTE, NOTES, Notes

    model = session.registry.model(session.model_of(revision))
    if not (message or labels or unlabelled or metrics):
        if sign or key:
            raise click.UsageError("--sign signs a note, so say something", click.get_current_context())
        session.out.show(NOTES, Notes(model.name, revision, model.notes(revision)))
        return
    for name, value in metrics.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidInputError(f"metric {name!r} is {str(value)!r}: a metric is a number", metric=name)
    changed = {**labels, **dict.fromkeys(unlabelled)}
    session.out.show(NOTE, model.note(revision, message, labels=changed, metrics=metrics, sign=sign, key=key))


@verb(
    examples="""
    reg approve v17 prod -m "passed the fairness review"
    reg approve v17 prod --sign --key ~/.ssh/id_ed25519
    reg approve v17 prod --refuse -m "worse on rural customers"
    """
)
@click.argument("revision", metavar="[MODEL@]REV")
@click.argument("tag", metavar="TAG")
@click.option("-m", "--message", "reason", default="", metavar="REASON", help="Why.")
@click.option("--refuse", is_flag=True, help="Say that TAG must not move there; who said so may take it back by approving.")
@click.option("--sign", is_flag=True, help="Sign the approval, by ssh-keygen.")
@click.option("--key", type=click.Path(path_type=Path), metavar="FILE", help="The key for --sign.  [env: REG_SIGNING_KEY]")
def approve(session: Session, revision: str, tag: str, reason: str, refuse: bool, sign: bool, key: Path | None) -> None:
    """Approve that TAG moves to the version REV, for the rules that ask for approvals. Of each person the last word counts; that of the
    version's own author is no approval.
    """
    from cas_registry.cli.views.notes import APPROVAL

    model = session.registry.model(session.model_of(revision))
    session.out.show(APPROVAL, model.approve(revision, tag, reason, refuse=refuse, sign=sign, key=key))
