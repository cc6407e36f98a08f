"""`reg blame`: which version last changed what."""

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session


@verb(
    examples="""
    reg blame main
    reg blame main:config.json
    reg blame prod:model.safetensors --tensors
    reg blame v17 --tensor encoder.layer.0.weight
    """
)
@click.argument("revision", metavar="REV[:PATH]")
@click.option("--tensors", is_flag=True, help="For each tensor of the files, not for the files.")
@click.option("--tensor", metavar="NAME", help="For the tensors of that name alone.")
def blame(session: Session, revision: str, tensors: bool, tensor: str | None) -> None:
    """Show which version last changed each file at or below PATH, or each tensor.

    Goes back through history, where it merges to a parent that has the same. Trees and maps tell; of data only small tensors are read that
    share chunks with others.
    """
    from cas_registry.cli.views.blame import BLAME

    model = session.model(revision)
    with session.progress() as progress:
        report = model.blame(revision, tensors=tensors, tensor=tensor, progress=progress)
    session.out.show(BLAME, report)
