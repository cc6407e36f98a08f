"""The one place that spells keys. See docs/format.md, "Keys"."""

from typing import TYPE_CHECKING

from cas_registry.model.entry import CATALOGUE
from cas_registry.model.ids import CommitId, EntryId, FileId, MapName, PackName, RefTableId, RemapId, TreeId
from cas_registry.model.names import RELEASE

if TYPE_CHECKING:
    from cas_registry.model.signature import KeyId

FORMAT_KEY = "format"
COMMITS = "commits/"
TREES = "trees/"
MAPS = "maps/"
PACKS = "packs/"
FILES = "files/"
REFS = "refs/"
RELEASES = "releases/"
SIGNATURES = "signatures/"
QUARANTINE = "quarantine/"
COLLECTIONS = "gc/"
HINT = "HEAD"


def object_key(identity: CommitId | TreeId | RefTableId | RemapId | MapName | PackName) -> str:
    """The key of a content-named object. Spilled ref tables and remap tables live beside the trees."""
    match identity:
        case CommitId():
            return f"{COMMITS}{identity.hex}"
        case TreeId() | RefTableId() | RemapId():
            return f"{TREES}{identity.hex}"
        case MapName():
            return f"{MAPS}{identity.hex}"
        case PackName():
            return f"{PACKS}{identity.hex}"


def file_hint_key(file: FileId) -> str:
    """The hint that names a map holding a big file."""
    return f"{FILES}{file.hex}"


def collection_key(epoch: int, record: str) -> str:
    """A record (condemned, delete, verdict, done) of a collection."""
    return f"{COLLECTIONS}{epoch:010d}/{record}"


def signature_key(entry: EntryId, key: "KeyId") -> str:
    """The signature of a log entry by one key."""
    return f"{signatures_prefix(entry)}{key.hex}"


def signatures_prefix(entry: EntryId) -> str:
    """Where all signatures of a log entry lie."""
    return f"{SIGNATURES}{entry.hex}/"


def log_prefix(log: str) -> str:
    """The folder of a model's log, of a release's, or of the catalogue."""
    if log.startswith(RELEASE):
        return f"{RELEASES}{log.removeprefix(RELEASE)}/"
    return "catalogue/" if log == CATALOGUE else f"{REFS}{log}/"


def entry_key(log: str, number: int) -> str:
    """Entry `number` of a log."""
    return f"{log_prefix(log)}{number:010d}"


def hint_key(log: str) -> str:
    """The hint of a log's last number."""
    return f"{log_prefix(log)}{HINT}"
