"""`reg ls`."""

from collections.abc import Iterator
from dataclasses import dataclass

from cas_registry.cli import text
from cas_registry.cli.output import Cell, Document, Line, Paper, Styled, View
from cas_registry.model.on_load import OnLoad
from cas_registry.registry import FileInfo, Version


@dataclass(frozen=True, slots=True)
class Listing:
    """Files (and folders) of a version; `path` is where the listing starts, "" for the top."""

    version: Version
    path: str
    entries: list[FileInfo]
    long: bool = False


def entry_fields(entry: FileInfo) -> dict[str, object]:
    """One entry; `id` is the BLAKE3 of a file's bytes, or a folder's tree; `on_load` is null for a folder."""
    return {
        "path": entry.path,
        "type": "folder" if entry.is_folder else "file",
        "executable": entry.mode.value == "exec",
        "size_bytes": entry.size_bytes,
        "id": entry.id.hex,
        "on_load": entry.on_load.label if entry.on_load is not None else None,
    }


def _document(listing: Listing) -> Document:
    return {
        "model": listing.version.model,
        "commit": listing.version.commit.hex,
        "number": listing.version.number,
        "path": listing.path,
        "entries": [entry_fields(entry) for entry in listing.entries],
    }


def _human(listing: Listing, _: Paper) -> Iterator[Line]:
    sizes = [f"{entry.size_bytes:,}" if listing.long else text.size(entry.size_bytes) for entry in listing.entries]
    width = max(map(len, sizes), default=0)
    marked = any(entry.runs_code or _is_unseen(entry) for entry in listing.entries)
    for entry, size in zip(listing.entries, sizes, strict=True):
        mode = [f"{entry.mode.value}  "] if listing.long else []
        name = Styled(f"{entry.path}/", "cyan") if entry.is_folder else entry.path
        sign = [_sign(entry)] if marked else []
        yield [*mode, Styled(entry.id.hex, "dim" if entry.is_folder else "yellow"), f"  {size:>{width}}  ", *sign, name]
    if marked:
        yield [Styled("! runs code on loading, ? not looked at; reg show says more", "dim")]


def _sign(entry: FileInfo) -> Cell:
    if entry.runs_code:
        return Styled("! ", "red")
    return Styled("? ", "yellow") if _is_unseen(entry) else "  "


def _is_unseen(entry: FileInfo) -> bool:
    return entry.on_load is OnLoad.NOT_LOOKED_AT


LS = View(_document, _human, lambda listing: (entry.path for entry in listing.entries))
