"""`reg export`: a version for those who know no registry."""

import sys
from pathlib import Path

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session

_PIPE = "-"


@verb(
    examples="""
    reg export prod fraud/
    reg export prod fraud.tar.zst --metadata
    reg export fraud@v17 - | tar -x -C serve/
    reg export prod layout/ --as oci --tag fraud:prod
    reg export prod model/ --as mlflow --dry-run
    """
)
@click.argument("revision", metavar="REV")
@click.argument("destination", metavar="DEST", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--as",
    "chosen",
    type=click.Choice(["folder", "tar", "oci", "mlflow"]),
    help="What DEST becomes. By default a tar if it is called like one (.tar, .tar.gz, .tgz, .tar.zst, .tzst) or is -, else a folder.",
)
@click.option(
    "--metadata", is_flag=True, help="Write cas-version.json beside the files: what the registry knows of the version."
)
@click.option("--tag", metavar="NAME", help="What an OCI layout calls the version.  [default: its number, as v17]")
@click.option("--dry-run", is_flag=True, help="List the files and their bytes; nothing is written.")
@click.option("-f", "--force", is_flag=True, help="Replace what DEST has under the same names.")
@click.option("--verify/--no-verify", default=None, help="Export only what verifies, as by reg verify.  [env: REG_VERIFY]")
def export(
    session: Session, revision: str, destination: Path, chosen: str | None, metadata: bool, tag: str | None, dry_run: bool, force: bool,
    verify: bool | None,
) -> None:  # fmt: skip
    """Write the version REV to DEST in a form that others read: a folder, a tar, an OCI layout (ModelPack), an MLflow model.

    The same version is the same bytes. A second run over a finished DEST changes nothing and says so; one that was stopped goes on, but for a tar, which
    begins anew. Every byte is verified before a file takes its name. With - the tar goes to standard output.
    """
    from cas_registry.cli.options import Format
    from cas_registry.cli.views.export import EXPORT, summary

    piped = str(destination) == _PIPE
    if piped and session.out.format is Format.JSON and not dry_run:
        raise click.UsageError(
            "the tar itself goes to standard output, and leaves no room for --json", click.get_current_context()
        )
    model = session.model(revision)
    if piped:
        sys.stdout.flush()
    with session.progress() as progress:
        report = model.export(
            revision, sys.stdout.buffer if piped else destination, format=chosen, metadata=metadata, tag=tag, dry_run=dry_run,
            force=force, verify=verify, progress=progress,
        )  # fmt: skip
    if piped and not dry_run:
        sys.stdout.buffer.flush()
        session.out.note(summary(report))
        return
    session.out.show(EXPORT, report)
