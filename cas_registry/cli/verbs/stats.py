"""`reg models` and `reg stats`: what a registry holds."""

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session


@verb(
    examples="""
    reg models
    reg models -q -R s3://bucket/registry
    """
)
def models(session: Session) -> None:
    """List the models of the registry with their versions and bytes."""
    from cas_registry.cli.views.stats import MODELS, Models

    session.out.show(MODELS, Models(session.registry.url, session.registry.models()))


@verb(
    examples="""
    reg stats
    reg stats --json
    """
)
def stats(session: Session) -> None:
    """Show what the registry holds, and what deduplication, codecs and deltas save of it. Reads all trees and maps, lists the bucket."""
    from cas_registry.cli.views.stats import STATS, Stats

    registry = session.registry
    with session.progress() as progress:
        found = registry.stats(progress=progress)
    session.out.show(STATS, Stats(registry.url, found))
