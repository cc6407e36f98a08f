"""`reg commit`: a folder or files become a version."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cas_registry.cli.options import Scalar, parse_pairs, verb
from cas_registry.cli.session import Session
from cas_registry.errors import InvalidInputError

if TYPE_CHECKING:
    from cas_registry.operations.commit import CommitReport


@verb(
    examples="""
    reg commit out/ -m "lr 1e-4" --param lr=1e-4 --metric auc=0.93
    reg commit out/ -b experiment --tag candidate
    reg commit model.safetensors config.json -M fraud
    reg commit out/ --params-file params.yaml --metrics-file metrics.json --label team=risk
    reg commit out/ --input train=data/train.parquet --input base=bert@v3
    reg commit out/ --expect main~0            (only if nobody committed since)
    reg commit out/ --sign --key ~/.ssh/id_ed25519
    reg commit out/ --plan                     (what it would write and cost)
    """
)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-m", "--message", default="", help="What this version is.")
@click.option("-b", "--branch", default="main", show_default=True, help="The branch that moves to the new version.")
@click.option(
    "--param", "params", metavar="K=V", multiple=True, callback=parse_pairs,
    help="A parameter: number, true, false, null or text. May be repeated.",
)  # fmt: skip
@click.option(
    "--metric", "metrics", metavar="K=V", multiple=True, callback=parse_pairs, help="A number measured of it. May be repeated."
)
@click.option(
    "--params-file", "params_files", metavar="FILE", multiple=True, type=click.Path(path_type=Path),
    help="More parameters: JSON, YAML or TOML; nested ones get names with dots. May be repeated.",
)  # fmt: skip
@click.option(
    "--metrics-file", "metrics_files", metavar="FILE", multiple=True, type=click.Path(path_type=Path), help="Likewise metrics."
)
@click.option(
    "--label", "labels", metavar="K=V", multiple=True, callback=parse_pairs, help="What people sort it by. May be repeated."
)
@click.option(
    "--framework", "framework", metavar="K=V", multiple=True, callback=parse_pairs,
    help="A framework and its version, such as torch=2.9. May be repeated.",
)  # fmt: skip
@click.option(
    "--input", "inputs", metavar="NAME=WHAT", multiple=True,
    help="What it was made from: URI[@DIGEST], a file or folder, or MODEL@REV. May be repeated.",
)  # fmt: skip
@click.option("--capture/--no-capture", default=True, help="Tell of git, environment and packages.  [env: REG_CAPTURE=0]")
@click.option(
    "--code-diff",
    is_flag=True,
    help="Keep what is not in git's commit, too: at most 256 KiB, what looks like a secret left out.",
)
@click.option(
    "--tag", "tags", metavar="TAG", multiple=True, help="A tag to put at the new version in the same step. May be repeated."
)
@click.option("--base", metavar="REV", help="Another version to find duplicates in, such as the model this one was tuned from.")
@click.option(
    "--delta", type=click.Choice(["auto", "never", "always"]), default="auto", show_default=True,
    help="Store tensors as differences to the parent's or the base's; auto: as long as 4 GiB of them need be fetched.",
)  # fmt: skip
@click.option("--expect", metavar="REV", help="Commit only if the branch stands at REV.")
@click.option("--author", metavar="WHO", help="In place of REG_AUTHOR or user@host.")
@click.option("--allow-empty", is_flag=True, help="Commit even if the files are those of the branch's last version.")
@click.option("--sign", is_flag=True, help="Sign the log entry, by ssh-keygen.")
@click.option("--key", type=click.Path(path_type=Path), metavar="FILE", help="The key for --sign.  [env: REG_SIGNING_KEY]")
@click.option("--plan", is_flag=True, help="Say what would be written, in bytes, requests and dollars; write nothing.")
@click.option(
    "--price", "prices", metavar="K=V", multiple=True, callback=parse_pairs,
    help="For --plan: dollars of thousand_writes, thousand_reads or gb_month, in place of S3's list prices.",
)  # fmt: skip
def commit(
    session: Session, paths: tuple[Path, ...], message: str, branch: str, params: Mapping[str, Scalar], metrics: Mapping[str, Scalar],
    params_files: tuple[Path, ...], metrics_files: tuple[Path, ...], labels: Mapping[str, Scalar], framework: Mapping[str, Scalar],
    inputs: tuple[str, ...], capture: bool, code_diff: bool, tags: tuple[str, ...], base: str | None, delta: str, expect: str | None, author: str | None, allow_empty: bool, sign: bool,
    key: Path | None, plan: bool, prices: Mapping[str, Scalar],
) -> None:  # fmt: skip
    """Store files as a new version of a model.

    One folder: its contents are the version. Several paths: each goes in under its own name. Files that a .regignore in the folder
    matches are left out. A first commit creates the model and its branch. Without anything new no commit is made. The version tells of the code (git),
    the Python environment and the machine; never of an environment variable.
    """
    from cas_registry.cli.views.commit import COMMIT, Committed

    session.look_in(paths[0])
    numbers = {name: _number(name, found) for name, found in metrics.items()}
    model = session.model()
    _refuse_registry_inside(session.registry.url, paths)
    if key and not sign:
        raise InvalidInputError("--key is for --sign; give both")
    if plan:
        from cas_registry.cli.views.plan import PLAN, Planned

        with session.progress() as progress:
            planned = model.plan(list(paths), branch=branch, base=base, delta=delta, prices=prices, progress=progress)
        session.out.show(PLAN, Planned(planned, session.registry.url))
        return
    with session.progress() as progress:
        report = model.commit(
            list(paths), branch=branch, message=message, params=params, params_file=params_files, metrics=numbers,
            metrics_file=metrics_files, labels=labels, framework=framework, inputs=inputs, capture=capture, code_diff=code_diff, tags=tags,
            base=base, delta=delta, expect=expect, author=author, allow_empty=allow_empty, sign=sign, key=key, progress=progress,
        )  # fmt: skip
    if len(paths) == 1 and paths[0].is_dir():
        session.workspace.committed(paths[0], report)
    session.out.show(COMMIT, Committed(report, session.registry.url, load_line(session, report)))


def _number(name: str, found: Scalar) -> float:
    if isinstance(found, int | float) and not isinstance(found, bool):
        return found
    try:
        if isinstance(found, str) and found.lower().lstrip("+-") in {"nan", "inf", "infinity"}:
            return float(found)
    except ValueError:
        pass
    raise InvalidInputError(f"metric {name!r} is {str(found)!r}: a metric is a number; give text with --param", metric=name)


def _refuse_registry_inside(url: str, paths: tuple[Path, ...]) -> None:
    """A folder that holds the registry changes while it is committed; say so before it does."""
    if "://" in url:
        return
    registry = Path(url).resolve()
    for path in paths:
        if registry.is_relative_to(path.resolve()) and not (path / ".regignore").exists():
            raise InvalidInputError(
                f"{path} holds the registry itself ({registry}): commit a folder beside it, or list it in {path / '.regignore'}",
                path=str(path),
            )


def load_line(session: Session, report: "CommitReport") -> str:
    """A line of Python that writes this version into a folder."""
    arguments = [repr(session.registry.url)]
    options = session.plain_storage_options
    if options:
        arguments.append(f"storage_options={options!r}")
    folder = f"{report.model}-v{report.number}"
    return (
        f"import cas_registry as reg; reg.open({', '.join(arguments)}).model({report.model!r})"
        f".checkout({report.commit.short!r}, {folder!r})"
    )
