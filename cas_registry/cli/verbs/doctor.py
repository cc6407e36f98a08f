"""`reg doctor`: can this machine work with that URL?"""

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session

_NOT_WELL = 6


@verb(
    examples="""
    reg doctor
    reg doctor s3://bucket/registry
    """
)
@click.argument("url", required=False)
def doctor(session: Session, url: str | None) -> int:
    """Check a registry's URL end to end: reach, rights, create-if-absent, clock, cache, versions.

    Asks the store itself, with objects that it deletes again. There need not be a registry yet. Exits with 6 if something failed.
    """
    from cas_registry.cli.views.checks import DOCTOR
    from cas_registry.registry import diagnose

    session.require_store(url)
    report = diagnose(url or session.url, session.world, storage_options=session.options_for(url))
    session.out.show(DOCTOR, report)
    return 0 if report.is_healthy else _NOT_WELL
