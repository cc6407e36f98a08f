"""The `format` object: what every client must know before it reads or writes a registry."""

from dataclasses import dataclass

from cas_registry.errors import FormatError, UnsupportedFormatError
from cas_registry.model import canonical
from cas_registry.model.ids import FormatId

FORMAT_VERSION = 1
MAX_FORMAT_BYTES = 64 * 1024
MAX_CHUNK_BYTES = 16 * 1024 * 1024
MAX_AVG_BYTES = 4 * 1024 * 1024  # the widest that FastCDC's masks are defined for
MAX_MIN_BYTES = 1024 * 1024
MAX_PACK_BYTES = 128 * 1024 * 1024
DEFAULT_CHUNK_BYTES = 64 * 1024
DEFAULT_PIECE_ELEMENTS = 256 * 1024
MAX_PIECE_ELEMENTS = MAX_CHUNK_BYTES // 8  # numbers have at most 8 bytes
DEFAULT_PACK_BYTES = 32 * 1024 * 1024
_MIN_SIZES = (64, 256, 1024)  # what FastCDC accepts as min, avg and max
_FIELDS = ("format", "registry", "created", "chunking", "pack_bytes", "encryption", "writers")


@dataclass(frozen=True, slots=True)
class ChunkingParameters:
    """Where cuts fall: FastCDC's parameters in bytes, and how many elements of a tensor make a piece.

    They decide what is shared, never what can be read.
    """

    min_bytes: int
    avg_bytes: int
    max_bytes: int
    elements: int = DEFAULT_PIECE_ELEMENTS


def chunking_around(avg_bytes: int) -> ChunkingParameters:
    """Minimum a quarter, maximum four times the average (a power of two)."""
    return ChunkingParameters(avg_bytes // 4, avg_bytes, avg_bytes * 4)


@dataclass(frozen=True, slots=True)
class RegistryFormat:
    """The parameters of a registry, written once. `registry` is its random id (32 hex digits).

    `single_writer` marks a registry on a store without create-if-absent: its owner promised that one process writes at a time.
    """

    registry: str
    created_ms: int
    chunking: ChunkingParameters
    pack_bytes: int = DEFAULT_PACK_BYTES
    single_writer: bool = False


def encode_format(value: RegistryFormat) -> bytes:
    """The sealed bytes of `format`. Raises InvalidInputError."""
    return canonical.read_back(canonical.seal(format_body(value), FormatId), decode_format, kind="format")


def format_body(value: RegistryFormat) -> bytes:
    """The canonical bytes under the seal."""
    return canonical.encode(
        {
            "v": 1,
            "kind": "format",
            "format": FORMAT_VERSION,
            "registry": value.registry,
            "created": value.created_ms,
            "chunking": {
                "algorithm": "fastcdc-2020",
                "min": value.chunking.min_bytes,
                "avg": value.chunking.avg_bytes,
                "max": value.chunking.max_bytes,
                "elements": value.chunking.elements,
            },
            "pack_bytes": value.pack_bytes,
            "encryption": "none",
            "writers": "single" if value.single_writer else "shared",
        }
    )


def decode_format(data: bytes) -> RegistryFormat:
    """The parameters in sealed `data`. Raises FormatError, or UnsupportedFormatError for what a newer version wrote."""
    if len(data) > MAX_FORMAT_BYTES:
        raise FormatError(f"a format object of {len(data):,} bytes is over the limit of {MAX_FORMAT_BYTES:,}")
    _, body = canonical.unseal(data, FormatId)
    version, registry, created, chunking, pack_bytes, encryption, writers = canonical.fields(
        canonical.decode(body, kind="format"), *_FIELDS, what="format"
    )
    if version is True or version != FORMAT_VERSION or encryption != "none":
        raise UnsupportedFormatError(
            f"this registry has format {str(version)[:20]!r} with encryption {str(encryption)[:20]!r}; this version reads "
            f"format {FORMAT_VERSION} without encryption: upgrade cas_registry"
        )
    if writers not in ("shared", "single"):
        raise FormatError("a format whose writers are neither shared nor single")
    size = canonical.integer(pack_bytes, what="pack_bytes", maximum=MAX_PACK_BYTES)
    if size < MAX_CHUNK_BYTES:
        raise FormatError(f"pack_bytes is at least {MAX_CHUNK_BYTES:,}, so that a chunk fits into a pack")
    return RegistryFormat(
        registry=canonical.hex_digits(registry, what="registry"),
        created_ms=canonical.integer(created, what="created"),
        chunking=_decode_chunking(chunking),
        pack_bytes=size,
        single_writer=writers == "single",
    )


def _decode_chunking(value: canonical.Json) -> ChunkingParameters:
    row = canonical.mapping(value, what="chunking")
    if row.keys() != {"algorithm", "min", "avg", "max", "elements"}:
        raise FormatError("chunking with missing or unknown fields")
    if row["algorithm"] != "fastcdc-2020":
        raise UnsupportedFormatError(f"chunking by {str(row['algorithm'])[:40]!r} is not known to this version; upgrade")
    limits = (("min", MAX_MIN_BYTES), ("avg", MAX_AVG_BYTES), ("max", MAX_CHUNK_BYTES), ("elements", MAX_PIECE_ELEMENTS))
    low, avg, high, elements = (canonical.integer(row[key], what=key, maximum=limit) for key, limit in limits)
    if not _MIN_SIZES[0] <= low <= avg <= high or avg < _MIN_SIZES[1] or high < _MIN_SIZES[2]:
        raise FormatError(f"chunking sizes must satisfy min <= avg <= max, and be at least {_MIN_SIZES}")
    if elements < 1:
        raise FormatError("a piece of a tensor has at least one element")
    return ChunkingParameters(low, avg, high, elements)
