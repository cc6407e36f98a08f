"""`reg sign` and `reg verify`: who put a name where it stands; and what a folder holds."""

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
    """Sign the log entry that put the branch or tag REV where it stands, or a version into a release (release:NAME/MODEL), by ssh-keygen.

    Several people may sign one entry. git's user.signingkey is not looked at.
    """
    from cas_registry.cli.views.signatures import SIGN

    session.out.show(SIGN, session.model(revision).sign(revision, key=key))


@verb(
    examples="""
    reg verify prod
    reg verify prod --allowed-signers team/allowed_signers
    reg verify prod --accept                   (a backup was restored, and you know it)
    reg verify /model --id "$MODEL_COMMIT"     (at the start of a container; no registry is asked)
    reg verify serve/ --lock reg.lock
    """
)
@click.argument("revision", metavar="REV|DIR")
@click.option(
    "--allowed-signers", type=click.Path(path_type=Path), metavar="FILE",
    help="Whom to trust; policy.toml and revoked_keys lie beside it.  [env: REG_ALLOWED_SIGNERS]",
)  # fmt: skip
@click.option("--accept", is_flag=True, help="Forget what this machine saw of the log, and take it as it is.")
@click.option("--id", "identity", metavar="ID", help="Prove that DIR holds exactly the version of this commit or tree.")
@click.option(
    "--lock", type=click.Path(path_type=Path), metavar="FILE", help="Prove that DIR holds the version in this lock file."
)
def verify(
    session: Session,
    revision: str,
    allowed_signers: Path | None,
    accept: bool,
    identity: str | None,
    lock: Path | None,
) -> int:
    """Check that the branch or tag REV (or the version in a release) stands where people put it who may: by the chain of hashes in its log, the signatures of the entry
    that moved it, and files of this machine alone. Exits with 7 if it does not.

    With --id or --lock, prove instead that the folder DIR holds exactly one version, by reading all of it and asking no registry. Exits with 1 if it
    does not.
    """
    if identity or lock:
        if allowed_signers or accept:
            raise click.UsageError(
                "--id and --lock are about a folder; signatures are of a branch or tag", click.get_current_context()
            )
        return _prove(session, Path(revision), identity, lock)
    from cas_registry.cli.views.signatures import VERIFY

    model = session.model(revision)
    session.out.show(VERIFY, model.verify(revision, allowed_signers=allowed_signers, accept=accept))
    return 0


def _prove(session: Session, folder: Path, identity: str | None, lock: Path | None) -> int:
    from cas_registry.cli.views.prove import PROOF
    from cas_registry.model.lockfile import LOCK_NAME
    from cas_registry.registry import verify_folder

    here = Path(LOCK_NAME)
    beside = folder / ".reg" / LOCK_NAME
    found = lock or (here if here.is_file() and not beside.is_file() else None)
    with session.progress() as progress:
        proof = verify_folder(folder, identity, lock=found, model=session.asked_model, progress=progress)
    session.out.show(PROOF, proof)
    return 0 if proof.holds else 1
