"""`reg init`: a registry, and a folder that works with it."""

from pathlib import Path

import click

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session
from cas_registry.errors import AlreadyExistsError, InvalidInputError, NotFoundError


@verb(
    examples="""
    reg init ./registry --model fraud
    reg init s3://bucket/registry
    reg init s3://bucket/registry --storage-option profile=lab
    """
)
@click.argument("url")
@click.option(
    "--single-writer", is_flag=True, help="Accept a store without create-if-absent: you promise one writer at a time."
)
def init(session: Session, url: str, single_writer: bool) -> None:
    """Make a registry at URL (a folder, s3://bucket/prefix, gs://…, az://…) and bind this folder to it.

    If there is a registry already, this folder is bound to it and nothing else happens. The binding is .reg/config.toml.
    """
    from cas_registry.cli.views.init import INIT, Initialised
    from cas_registry.registry import bind_folder, find_binding, init_registry, open_registry

    here = Path.cwd()
    if "://" not in url and Path(url).resolve() == here.resolve():
        raise InvalidInputError("the registry needs a folder of its own, beside what you commit: reg init ./registry")
    session.require_store(url)
    options = session.given_storage_options
    try:
        registry = init_registry(url, session.world, storage_options=options, single_writer=single_writer)
        created = True
    except AlreadyExistsError as taken:
        try:
            registry = open_registry(url, session.world, storage_options=options)
        except NotFoundError:
            raise taken from None
        created = False
    before = find_binding(here)
    model = session.asked_model
    if model:
        registry.model(model)
    elif before and before.folder == here and before.registry == registry.url:
        model = before.model
    bound = bind_folder(here, registry, model=model, storage_options=options)
    left_out = tuple(sorted(options.keys() - bound.storage_options.keys()))
    session.out.show(INIT, Initialised(bound, registry.id, created, registry.is_shared, left_out))
