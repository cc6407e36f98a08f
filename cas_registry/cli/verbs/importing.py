"""`reg import`: versions brought in from elsewhere."""

from typing import Any

import click

from cas_registry.cli.options import parse_storage, verb
from cas_registry.cli.session import Session

_KINDS = ("modelstore", "mlflow", "dvc", "git-lfs", "huggingface", "wandb")


def _pairs(_: click.Context, parameter: click.Parameter, pairs: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        theirs, separator, ours = pair.rpartition("=")
        if not separator or not theirs or not ours:
            raise click.BadParameter(f"write THEIRS=OURS, not {pair!r}", param=parameter)
        found[theirs] = ours
    return found


@verb(
    examples="""
    reg import mlflow http://tracking:5000 --dry-run
    reg import mlflow mlruns --only fraud --as fraud=fraud-classic
    reg import modelstore s3://models --source-option profile=lab
    reg import dvc . --tagged --path models
    reg import git-lfs ../detector
    reg import huggingface ~/.cache/huggingface/hub --only org/name
    """
)
@click.argument("kind", type=click.Choice(_KINDS))
@click.argument("source", metavar="SOURCE")
@click.option(
    "--only", metavar="NAME", multiple=True, help="A model of the source, by its name there. May be repeated; all without it."
)
@click.option(
    "--as", "names", metavar="THEIRS=OURS", multiple=True, callback=_pairs, help="What to call a model here. May be repeated."
)
@click.option("-b", "--branch", default="main", metavar="NAME", show_default=True, help="The branch that the versions go to.")
@click.option("--dry-run", is_flag=True, help="Show what would come, and write nothing.")
@click.option("--strict", is_flag=True, help="Stop at the first version that cannot be imported.")
@click.option("--experiment", metavar="NAME", help="mlflow: the runs of an experiment, in place of the registered models.")
@click.option("--keep-archive", is_flag=True, help="modelstore: keep archives packed; they share nothing with one another.")
@click.option("--tagged", is_flag=True, help="dvc, git-lfs: only commits that a tag names.")
@click.option("--path", "paths", metavar="PATH", multiple=True, help="dvc, git-lfs: only what lies there. May be repeated.")
@click.option(
    "--objects", metavar="PLACE", help="dvc, git-lfs, wandb: a further place where the bytes may lie, such as a remote."
)
@click.option(
    "--type", "types", metavar="TYPE", multiple=True, default=("model",), help="wandb: a type of artifacts.  [default: model]"
)
@click.option(
    "--source-option",
    "source_options",
    metavar="K=V",
    multiple=True,
    callback=parse_storage,
    help="As --storage-option, for the bucket of the source.",
)
@click.option("--delta", type=click.Choice(["auto", "never", "always"]), default="auto", help="As for commit.")
def import_(
    session: Session,
    kind: str,
    source: str,
    only: tuple[str, ...],
    names: dict[str, str],
    branch: str,
    dry_run: bool,
    strict: bool,
    experiment: str | None,
    keep_archive: bool,
    tagged: bool,
    paths: tuple[str, ...],
    objects: str | None,
    types: tuple[str, ...],
    source_options: dict[str, Any],
    delta: str,
) -> int:
    """Bring in what SOURCE has and the registry has not: every version of every model, the older before the newer, with its author, time, message,
    params, metrics and labels; aliases, stages, states and git tags become tags. Nothing there is changed, and nothing of it is run.

    Versions carry where they came from (labels imported.from, imported.id), so the same command again brings only what is new, or goes on where it was
    stopped. What cannot be imported is told at the end, with status 1, and the rest is imported.
    """
    from cas_registry.cli.views.importing import IMPORT

    with session.progress() as progress:
        report = session.registry.import_from(
            kind, source, only=only, names=names, branch=branch, experiment=experiment, keep_archive=keep_archive, tagged=tagged,
            paths=paths, objects=objects, types=types, storage_options=source_options, delta=delta, dry_run=dry_run, strict=strict,
            progress=progress,
        )  # fmt: skip
    session.out.show(IMPORT, report)
    return 1 if report.failed else 0
