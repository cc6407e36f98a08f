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
    """Show raw and stored bytes by model and by area of the bucket. Lists the bucket."""
    from cas_registry.cli.views.stats import STATS, Stats

    session.out.show(STATS, Stats(session.registry.url, session.registry.stats()))
