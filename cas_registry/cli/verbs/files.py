"""`reg ls` and `reg cat`: the files of a version."""

import base64
import json
import sys

import click

from cas_registry.cli.options import Format, verb
from cas_registry.cli.session import Session

_BLOCK_BYTES = 3 * 256 * 1024  # base64 takes threes


@verb(
    examples="""
    reg ls prod
    reg ls -r prod:encoder
    reg ls -l fraud@main~2
    """
)
@click.argument("revision", metavar="[REV[:PATH]]", default="main")
@click.option("-l", "--long", is_flag=True, help="Modes, and sizes in bytes.")
@click.option("-r", "--recursive", is_flag=True, help="All files below, not the one folder alone.")
def ls(session: Session, revision: str, long: bool, recursive: bool) -> None:
    """List a folder of a version: id, size and name. A file's id is its BLAKE3, the one that b3sum prints."""
    from cas_registry.cli.views.files import LS, Listing
    from cas_registry.model.revision import parse_revision

    model = session.model(revision)
    path = parse_revision(revision).path or ""
    entries = model.files(revision, [path] if path else []) if recursive else model.ls(revision)
    session.out.show(LS, Listing(model.resolve(revision), path, entries, long=long))


@verb(
    examples="""
    reg cat prod:config.json
    reg cat fraud@main~1:model.safetensors | b3sum
    """
)
@click.argument("revision", metavar="REV:PATH")
def cat(session: Session, revision: str) -> None:
    """Write the bytes of a file to standard output; each is verified before it is written. With --json, as base64."""
    model = session.model(revision)
    with model.open(revision) as file:
        if session.out.format is Format.JSON:
            (entry,) = model.ls(revision)
            head = json.dumps({"path": entry.path, "size_bytes": entry.size_bytes, "id": entry.id.hex, "base64": ""}, indent=2)
            click.echo(head.removesuffix('"\n}'), nl=False)
            while data := file.read(_BLOCK_BYTES):
                click.echo(base64.b64encode(data), nl=False)
            click.echo('"\n}')
            return
        sys.stdout.flush()
        while data := file.read(_BLOCK_BYTES):
            sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
