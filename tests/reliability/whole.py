"""Whether a stored object is, as its name says, whole: the question of every file that a crash leaves under a final name."""

from cas_registry.errors import FormatError
from cas_registry.model.collection import decode_condemned, decode_done, decode_verdict
from cas_registry.model.commit import decode_commit
from cas_registry.model.entry import decode_entry
from cas_registry.model.ids import CommitId, MapName, PackName, RefTableId, RemapId, TreeId
from cas_registry.model.maps import decode_map
from cas_registry.model.packs import decode_pack
from cas_registry.model.registry_format import decode_format
from cas_registry.store.layout import FORMAT_KEY, HINT


def is_hint(key: str) -> bool:
    """Whether nobody relies on the object: it may be lost or damaged."""
    return key.endswith(f"/{HINT}") or key.startswith(("files/", "probe/"))


def is_whole(key: str, data: bytes) -> bool:
    """Whether these bytes are what a writer puts under the key. A hint always is."""
    if is_hint(key):
        return True
    area, _, name = key.partition("/")
    try:
        return _decode(area, name, data)
    except FormatError:
        return False


def _decode(area: str, name: str, data: bytes) -> bool:
    match area:
        case "commits":
            decode_commit(data)
            return CommitId.of(data).hex == name
        case "trees":
            return name in {kind.of(data).hex for kind in (TreeId, RefTableId, RemapId)}
        case "maps":
            decode_map(data)
            return MapName.of(data).hex == name
        case "packs":
            decode_pack(data)
            return PackName.of(data).hex == name
        case "refs" | "releases" | "catalogue":
            decode_entry(data)
        case "gc":
            _decode_record(name.rpartition("/")[2], data)
        case _:
            assert area == FORMAT_KEY, area
            decode_format(data)
    return True


def _decode_record(record: str, data: bytes) -> None:
    match record:
        case "condemned" | "delete":
            decode_condemned(data, kind=record)
        case "verdict":
            decode_verdict(data)
        case _:
            decode_done(data)
