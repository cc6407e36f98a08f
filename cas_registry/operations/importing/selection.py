"""Which of a repository's paths were asked for."""

from collections.abc import Sequence


def selected(path: str, wanted: Sequence[str]) -> bool:
    """Whether a path is one of these, or lies below one; every path is where none were named."""
    return not wanted or any(path == name or path.startswith(f"{name.rstrip('/')}/") for name in wanted)
