"""`reg frameworks`: whose objects can be saved and loaded."""

from cas_registry.cli.options import verb
from cas_registry.cli.session import Session


@verb(
    examples="""
    reg frameworks
    reg frameworks --json
    """
)
def frameworks(session: Session) -> None:
    """List the frameworks whose objects Model.save and Model.load know: in which format, whether loading needs pickle, and what is installed."""
    from cas_registry.cli.views.frameworks import FRAMEWORKS
    from cas_registry.registry import known_frameworks

    session.out.show(FRAMEWORKS, known_frameworks())
