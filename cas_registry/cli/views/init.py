"""`reg init`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cas_registry.cli.output import Document, Line, Paper, Styled, View
from cas_registry.registry import BoundFolder


@dataclass(frozen=True, slots=True)
class Initialised:
    """A registry that a folder is now bound to."""

    bound: BoundFolder
    registry_id: str
    created: bool
    shared: bool
    options_left_out: tuple[str, ...]

    @property
    def config(self) -> Path:
        return self.bound.folder / ".reg" / "config.toml"


def _document(result: Initialised) -> Document:
    return {
        "registry": result.bound.registry,
        "registry_id": result.registry_id,
        "created": result.created,
        "shared": result.shared,
        "model": result.bound.model,
        "folder": str(result.bound.folder),
        "config": str(result.config),
        "storage_options_left_out": list(result.options_left_out),
    }


def _human(result: Initialised, _: Paper) -> Iterator[Line]:
    state = "Made a registry at" if result.created else "There is a registry already at"
    yield [f"{state} ", Styled(result.bound.registry, "bold")]
    if not result.shared:
        yield ["  for a single writer: let one process write at a time"]
    model = f", model {result.bound.model}" if result.bound.model else ""
    yield [f"This folder is bound to it{model} ({result.config})"]
    if result.options_left_out:
        yield [f"Not written down: {', '.join(result.options_left_out)}. Give credentials by the environment or a profile"]
    which = "" if result.bound.model else " -M MODEL"
    yield [f"Next: reg commit FOLDER{which} -m MESSAGE"]


INIT = View(_document, _human, lambda result: [result.bound.registry])
