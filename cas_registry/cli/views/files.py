"""`reg ls`."""

from collections.abc import Iterator
from dataclasses import dataclass

from cas_registry.cli import text
from cas_registry.cli.output import Document, Line, Paper, Styled, View
from cas_registry.registry import FileInfo, Version


@dataclass(frozen=True, slots=True)
class Listing:
    """Files (and folders) of a version; `path` is where the listing starts, "" for the top."""

    version: Version
    path: str
    entries: list[FileInfo]
    long: bool = False


def entry_fields(entry: FileInfo) -> dict[str, object]:
    """One entry; `id` is the BLAKE3 of a file's bytes, or a folder's tree."""
    return {
        "path": entry.path,
        "type": "folder" if entry.is_folder else "file",
        "executable": entry.mode.value == "exec",
        "size_bytes": entry.size_bytes,
        "id": entry.id.hex,
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
    for entry, size in zip(listing.entries, sizes, strict=True):
        mode = [f"{entry.mode.value}  "] if listing.long else []
        name = Styled(f"{entry.path}/", "cyan") if entry.is_folder else entry.path
        yield [*mode, Styled(entry.id.hex, "dim" if entry.is_folder else "yellow"), f"  {size:>{width}}  ", name]


LS = View(_document, _human, lambda listing: (entry.path for entry in listing.entries))
