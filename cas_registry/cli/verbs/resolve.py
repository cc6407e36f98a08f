"""`reg resolve`: names become commits, for scripts."""

import re

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session
from cas_registry.errors import ConflictError

_FIELD = re.compile(r"\{(\w+)\}")


@verb(
    examples="""
    reg resolve prod
    reg resolve fraud@prod spam@prod
    reg resolve prod --template '{model} v{number} {commit} {tree}'
    reg resolve prod --expect 8f3a91c2 && ./release.sh
    """
)
@click.argument("revisions", metavar="REV...", nargs=-1, required=True)
@click.option(
    "--template",
    metavar="TEXT",
    help="A line each, with {model}, {number}, {commit}, {short}, {tree}, {log} and {revision} filled in.",
)
@click.option("--expect", metavar="REV", help="Fail with status 4 unless each of them is this version.")
def resolve(session: Session, revisions: tuple[str, ...], template: str | None, expect: str | None) -> None:
    """Print the commit of each REV (MODEL@REV names a model), one a line. Where one does not exist, nothing is printed and the status is 3."""
    from cas_registry.cli.views.resolve import FIELDS, RESOLVED, Resolved

    unknown = [name for name in _FIELD.findall(template or "") if name not in FIELDS]
    if unknown:
        raise click.UsageError(f"--template has {{{unknown[0]}}}; there are {', '.join(FIELDS)}", click.get_current_context())
    found = [(revision, session.model(revision).resolve(revision)) for revision in revisions]
    if expect is not None:
        wanted = session.model(expect, *revisions).resolve(expect).commit
        others = [(revision, version) for revision, version in found if version.commit != wanted]
        if others:
            revision, version = others[0]
            raise ConflictError(
                f"{revision} is {version.commit.short}, not {expect} ({wanted.short})",
                commit=version.commit.hex,
                expected=wanted.hex,
            )
    session.out.show(RESOLVED, Resolved(found, template))
