"""`reg checkout`: a version becomes files."""

from pathlib import Path

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session


@verb(
    examples="""
    reg checkout prod serve/
    reg checkout main~1                        (into the folder last committed, else ./MODEL)
    reg checkout prod serve/ config.json 'encoder/*'
    reg checkout fraud@8f3a91c2 --force
    reg checkout prod serve/ --dry-run
    reg checkout release:prod/fraud serve/
    reg checkout prod serve/ --locked          (what reg.lock has for prod)
    """
)
@click.argument("revision", metavar="REV")
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@click.option("-f", "--force", is_flag=True, help="Overwrite files that were edited or belong to no version.")
@click.option(
    "--cache/--no-cache", default=True, help="Keep the files of a remote registry on this machine, and copy them from there."
)
@click.option(
    "--link",
    is_flag=True,
    help="Link large files to the cache instead of copying them: read-only, never to be edited in place.",
)
@click.option(
    "--verify/--no-verify",
    default=None,
    help="Write nothing unless the branch or tag verifies, as by reg verify.  [env: REG_VERIFY]",
)
@click.option(
    "--safe-only", is_flag=True, help="Refuse if a file runs code on loading, or was not looked at; nothing is written."
)
@click.option("--dry-run", is_flag=True, help="Tell what would be written and fetched; nothing is changed.")
@click.option("--locked", is_flag=True, help="Take the version that reg.lock has for REV, wherever that stands by now.")
@click.option("--lock", type=click.Path(path_type=Path), metavar="FILE", help="Likewise, by another lock file.")
def checkout(
    session: Session,
    revision: str,
    folder: Path | None,
    paths: tuple[str, ...],
    force: bool,
    cache: bool,
    link: bool,
    verify: bool | None,
    safe_only: bool,
    dry_run: bool,
    locked: bool,
    lock: Path | None,
) -> None:
    """Make DIR hold the version REV, or those files of it that the PATHs name or match.

    Only what differs is written, and only what neither DIR nor the cache holds is fetched; every byte is verified before a file takes
    its name. Files in DIR that are of no version
    checked out there are never overwritten without --force.
    """
    from cas_registry.cli.views.checkout import CHECKOUT, CHECKOUT_PLAN, announce
    from cas_registry.model.lockfile import LOCK_NAME
    from cas_registry.model.revision import parse_revision

    if folder:
        session.look_in(folder)
    model = session.model(revision)
    inside = parse_revision(revision).path
    wanted = (*paths, inside) if inside else paths
    workspace = session.workspace
    target = folder or workspace.default_target(session.model_of(revision))
    by_lock = lock or (LOCK_NAME if locked else None)
    if dry_run:
        with session.progress() as progress:
            plan = model.plan_checkout(
                revision, target, paths=wanted, force=force, cache=cache, link=link, verify=verify, safe_only=safe_only,
                lock=by_lock, progress=progress,
            )  # fmt: skip
        session.out.show(CHECKOUT_PLAN, plan)
        return
    workspace.before_checkout(target)
    with session.progress() as progress:
        report = model.checkout(
            revision,
            target,
            paths=wanted,
            force=force,
            cache=cache,
            link=link,
            verify=verify,
            safe_only=safe_only,
            lock=by_lock,
            foresee=announce(session.out),
            progress=progress,
        )
    if not wanted:
        parsed = parse_revision(revision)
        workspace.checked_out(target, report.version, branch=None if parsed.release else parsed.name)
    session.out.show(CHECKOUT, report)
