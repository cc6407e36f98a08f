"""`reg inputs`: what a version was made from."""

from pathlib import Path

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session
from cas_registry.errors import InvalidInputError


@verb(
    examples="""
    reg inputs prod
    reg inputs prod --check
    reg inputs prod --check --root ~/projects/fraud
    """
)
@click.argument("revision", metavar="[REV]", default="main")
@click.option(
    "--check", is_flag=True, help="Look versions up, read and hash the rest, and compare. Exits with 1 if anything differs."
)
@click.option(
    "--root", metavar="DIR", type=click.Path(path_type=Path),
    help="Where relative paths begin; by default at the top of git's work tree, else here.",
)  # fmt: skip
def inputs(session: Session, revision: str, check: bool, root: Path | None) -> int:
    """Show what a version (by default main) was made from: data by URI and digest, versions of this registry.

    With --check each is compared with what was recorded. Files of this machine are read, and what lies on S3, Google Cloud Storage, Azure, Hugging Face and at http
    URLs, as far as the environment's credentials reach.
    """
    from cas_registry.cli.views.inputs import INPUTS, ShownInputs

    if root is not None and not check:
        raise InvalidInputError("--root is for --check; give both")
    model = session.model(revision)
    if not check:
        version = model.resolve(revision)
        session.out.show(INPUTS, ShownInputs.unchecked(version, model.inputs(version.commit.hex)))
        return 0
    with session.progress() as progress:
        report = model.check_inputs(revision, root=root, progress=progress)
    session.out.show(INPUTS, ShownInputs(report.version, list(report.checks), checked=True))
    return 0 if report.holds else 1
