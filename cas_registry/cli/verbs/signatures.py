"""`reg sign` and `reg verify`: who put a name where it stands."""

from pathlib import Path

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session


@verb(
    examples="""
    reg sign prod --key ~/.ssh/id_ed25519
    reg sign prod                              (with the key of REG_SIGNING_KEY)
    reg sign prod --key ~/.ssh/id_ed25519.pub  (the ssh-agent has the private half)
    """
)
@click.argument("revision", metavar="REV")
@click.option("--key", type=click.Path(path_type=Path), metavar="FILE", help="The key to sign with.  [env: REG_SIGNING_KEY]")
def sign(session: Session, revision: str, key: Path | None) -> None:
    """Sign the log entry that put the branch or tag REV where it stands, by ssh-keygen.

    Several people may sign one entry. git's user.signingkey is not looked at.
    """
    from cas_registry.cli.views.signatures import SIGN

    session.out.show(SIGN, session.model(revision).sign(revision, key=key))


@verb(
    examples="""
    reg verify prod
    reg verify prod --allowed-signers team/allowed_signers
    reg verify prod --accept                   (a backup was restored, and you know it)
    """
)
@click.argument("revision", metavar="REV")
@click.option(
    "--allowed-signers", type=click.Path(path_type=Path), metavar="FILE",
    help="Whom to trust; policy.toml and revoked_keys lie beside it.  [env: REG_ALLOWED_SIGNERS]",
)  # fmt: skip
@click.option("--accept", is_flag=True, help="Forget what this machine saw of the log, and take it as it is.")
def verify(session: Session, revision: str, allowed_signers: Path | None, accept: bool) -> None:
    """Check that the branch or tag REV stands where people put it who may: by the chain of hashes in its log, the signatures of the entry
    that moved it, and files of this machine alone. Exits with 7 if it does not.
    """
    from cas_registry.cli.views.signatures import VERIFY

    model = session.model(revision)
    session.out.show(VERIFY, model.verify(revision, allowed_signers=allowed_signers, accept=accept))
