"""`reg demo`: the whole of it in ten seconds."""

import contextlib
import io
import tempfile
from pathlib import Path

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session
from cas_registry.errors import InvalidInputError


@verb(
    examples="""
    reg demo
    reg demo --keep tour/                      (and look around in it afterwards)
    """
)
@click.option(
    "--keep", metavar="DIR", type=click.Path(path_type=Path), help="Work in DIR, new or empty, and leave everything there."
)
def demo(session: Session, keep: Path | None) -> None:
    """Train a small model, commit three versions of it, tag, compare, check out, verify, and show what each version cost.

    Everything happens in a temporary folder, by the same verbs that you would type. Ends with an error if a byte differs.
    """
    from cas_registry.cli.demo import DEMO, tell
    from cas_registry.registry import open_registry

    if keep and keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise InvalidInputError(f"{keep} is not an empty folder; give a new one", path=str(keep))
    with contextlib.ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="reg-demo-")))
        folder.mkdir(parents=True, exist_ok=True)
        if not session.out.is_human:
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        told = tell(folder.resolve(), lambda url: open_registry(url, session.world), keep=keep is not None)
        stack.close()
        session.out.show(DEMO, told)
