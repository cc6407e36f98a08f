"""Maps: what the builder writes, the decoder reads, and every number is checked before it is used."""

import struct

import pytest
from hypothesis import given

from cas_registry.errors import FormatError, LimitError, UnsupportedFormatError
from cas_registry.model import maps
from cas_registry.model.ids import ChunkId, FileId, MapName, PackName, TreeId
from cas_registry.model.maps import (
    MAGIC,
    NO_BASE,
    Covers,
    Located,
    MapBuilder,
    PackInfo,
    Reference,
    decode_map,
)
from cas_registry.model.on_load import OnLoad
from cas_registry.model.placement import Codec, Placement
from cas_registry.model.registry_format import MAX_PACK_BYTES
from cas_registry.model.tensors import ElementType
from tests.support import strategies as make

NONCE = bytes(range(16))
PACK = PackInfo(PackName.of(b"pack"), 10_000)
FILE = FileId.of(b"file")


def _located(number: int, raw_bytes: int = 100, pack: PackInfo = PACK) -> Located:
    return Located(pack, Placement(ChunkId.of(bytes([number])), 32 + number * 100, raw_bytes, raw_bytes, Codec.RAW))


@given(builder=make.map_builders())
def test_a_map_gives_back_the_files_trees_and_references_put_into_it(builder: MapBuilder) -> None:
    decoded = decode_map(builder.encode(NONCE))
    numbered = list(builder.placements)
    assert decoded.files.keys() == builder.files.keys()
    for digest, (size_bytes, numbers, on_load) in builder.files.items():
        assert decoded.files[digest][0] == size_bytes
        assert decoded.on_load(digest) is on_load
        assert decoded.file(digest) == tuple(numbered[number] for number in numbers)
    assert [decoded.located(number) for number in range(len(decoded))] == numbered
    assert list(decoded.chunk_digests()) == [located.placement.chunk.digest for located in numbered]
    assert decoded.packs == tuple(builder.packs)
    assert {digest: bytes(data) for digest, data in decoded.trees.items()} == builder.trees
    assert {digest: bytes(data) for digest, data in decoded.indexes.items()} == builder.indexes
    assert decoded.references == builder.references
    assert [reference.on_load for _, reference in sorted(decoded.references.items(), key=lambda item: item[0])] == [
        reference.on_load for _, reference in sorted(builder.references.items(), key=lambda item: item[0])
    ]


@given(builder=make.map_builders())
def test_a_map_written_again_from_what_was_read_has_the_same_meaning(builder: MapBuilder) -> None:
    first = decode_map(builder.encode(NONCE))
    again = MapBuilder(trees={digest: bytes(data) for digest, data in first.trees.items()}, references=dict(first.references))
    for digest, (size_bytes, *_) in first.files.items():
        located = first.file(digest)
        assert located is not None
        again.add_file(FileId(digest), size_bytes, located)
    second = decode_map(again.encode(NONCE))
    assert {digest: second.file(digest) for digest in second.files} == {digest: first.file(digest) for digest in first.files}
    assert (second.trees, second.references) == (first.trees, first.references)


def test_the_layout_of_a_map() -> None:
    builder = MapBuilder()
    placement = Placement(ChunkId(b"c" * 32), 40, 50, 600, Codec.ZSTD, ElementType.U64)
    builder.add_file(FileId(b"f" * 32), 1_200, [Located(PACK, placement)] * 2, on_load=OnLoad.SEALED)
    builder.trees[b"t" * 32] = b"tree"
    builder.add_index(FileId(b"f" * 32), b"index")
    builder.refer(Covers.FOLDER, TreeId(b"k" * 32), Reference(MapName(b"m" * 32), 500, OnLoad.CODE))
    assert builder.encode(NONCE) == b"".join(
        (
            MAGIC + NONCE + struct.pack("<8I", 1, 1, 1, 2, 1, 1, 1, 9),
            PACK.name.digest + struct.pack("<Q", 10_000),
            b"c" * 32 + struct.pack("<IIIIBBHII", 0, 40, 50, 600, 1, 9, 0, NO_BASE, 0),
            b"f" * 32 + struct.pack("<QIIB3x", 1_200, 0, 2, 4),
            struct.pack("<2I", 0, 0),
            b"t" * 32 + struct.pack("<I", 4),
            struct.pack("<BB6x", 2, 3) + b"k" * 32 + b"m" * 32 + struct.pack("<Q", 500),
            b"f" * 32 + struct.pack("<I", 5),
            b"tree" + b"index",
        )
    )


@given(builder=make.map_builders())
def test_the_places_of_a_file_are_those_of_its_chunks_and_of_their_bases(builder: MapBuilder) -> None:
    decoded = decode_map(builder.encode(NONCE))
    for digest in decoded.files:
        expected = [
            (item.pack, item.placement.offset, item.placement.stored_bytes)
            for located in decoded.file(digest) or ()
            for item in (located, located.base)
            if item
        ]
        assert list(decoded.places(digest)) == expected
    assert list(decoded.places(b"?" * 32)) == []


def test_an_empty_map_is_its_header() -> None:
    decoded = decode_map(MapBuilder().encode(NONCE))
    assert decoded.on_load(FILE.digest) is OnLoad.NOT_LOOKED_AT
    assert (len(decoded), decoded.packs, decoded.files, decoded.trees, decoded.references) == (0, (), {}, {}, {})
    assert decoded.file(FILE.digest) is None
    assert list(decoded.chunk_digests()) == []


def test_a_placement_shared_by_files_and_repeated_in_one_is_stored_once() -> None:
    builder = MapBuilder()
    builder.add_file(FILE, 500, [_located(1)] * 5)
    builder.add_file(FileId.of(b"other"), 200, [_located(2), _located(1)])
    decoded = decode_map(builder.encode(NONCE))
    assert len(decoded) == 2
    assert len(decoded.chunks) == 7
    assert decoded.file(FILE.digest) == (_located(1),) * 5
    assert decoded.file(FileId.of(b"other").digest) == (_located(2), _located(1))


def test_a_chunk_in_two_packs_has_two_placements() -> None:
    builder = MapBuilder()
    elsewhere = _located(1, pack=PackInfo(PackName.of(b"elsewhere"), 10_000))
    builder.add_file(FILE, 200, [_located(1), elsewhere])
    decoded = decode_map(builder.encode(NONCE))
    assert len(decoded.packs) == len(decoded) == 2
    assert decoded.file(FILE.digest) == (_located(1), elsewhere)


def test_the_first_row_of_a_file_stays() -> None:
    builder = MapBuilder()
    builder.add_file(FILE, 100, [_located(1)])
    builder.add_file(FILE, 100, [_located(2)])
    decoded = decode_map(builder.encode(NONCE))
    assert decoded.file(FILE.digest) == (_located(1),)
    assert len(decoded) == 1


def test_an_empty_file_has_no_chunks_and_is_known() -> None:
    builder = MapBuilder()
    builder.add_file(FILE, 0, [])
    assert decode_map(builder.encode(NONCE)).file(FILE.digest) == ()


def test_references_are_sorted_by_kind_and_key_and_the_last_one_of_a_key_stays() -> None:
    builder = MapBuilder()
    keys = [bytes([number]) * 32 for number in (5, 1, 3)]
    for key in keys:
        builder.refer(Covers.FOLDER, TreeId(key), Reference(MapName.of(key), 100))
        builder.refer(Covers.FILE, FileId(key), Reference(MapName.of(b"stale"), 100))
        builder.refer(Covers.FILE, FileId(key), Reference(MapName.of(key), 200))
    data = builder.encode(NONCE)
    rows = [data[at : at + 80] for at in range(56, len(data), 80)]
    assert [(row[0], row[8]) for row in rows] == [(1, 1), (1, 3), (1, 5), (2, 1), (2, 3), (2, 5)]
    references = decode_map(data).references
    assert references[Covers.FILE, keys[0]] == Reference(MapName.of(keys[0]), 200)
    assert references[Covers.FOLDER, keys[0]] == Reference(MapName.of(keys[0]), 100)


def test_the_nonce_alone_makes_another_map() -> None:
    assert MapName.of(MapBuilder().encode(bytes(16))) != MapName.of(MapBuilder().encode(NONCE))


def test_a_map_over_the_limit_is_neither_written_nor_read(monkeypatch: pytest.MonkeyPatch) -> None:
    builder = MapBuilder()
    builder.add_file(FILE, 100, [_located(1)])
    data = builder.encode(NONCE)
    monkeypatch.setattr(maps, "MAX_METADATA_BYTES", len(data))
    decode_map(builder.encode(NONCE))
    monkeypatch.setattr(maps, "MAX_METADATA_BYTES", len(data) - 1)
    with pytest.raises(LimitError, match="limit"):
        builder.encode(NONCE)
    with pytest.raises(FormatError, match="size limit"):
        decode_map(data)


PACK_ROW = bytes(32) + struct.pack("<Q", 1_000)
TWO_FILES = (b"\x01" + bytes(31), b"\x02" + bytes(31))


def _placement(
    pack: int = 0,
    offset: int = 32,
    stored: int = 10,
    raw: int = 10,
    codec: int = 0,
    age: int = 0,
    base: int = NO_BASE,
    element: int = 0,
) -> bytes:
    return bytes(32) + struct.pack("<IIIIBBHII", pack, offset, stored, raw, codec, element, age, base, 0)


def _file(digest: bytes = TWO_FILES[0], size_bytes: int = 10, first: int = 0, count: int = 1, on_load: int = 0) -> bytes:
    return digest + struct.pack("<QIIB3x", size_bytes, first, count, on_load)


def _reference(covers: int = 1, key: bytes = bytes(32), size_bytes: int = 56, on_load: int = 0) -> bytes:
    return struct.pack("<BB6x32s32sQ", covers, on_load, key, bytes(32), size_bytes)


def _attached(digest: bytes, length: int = 0) -> bytes:
    return digest + struct.pack("<I", length)


def _map(
    packs: tuple[bytes, ...] = (PACK_ROW,),
    placements: tuple[bytes, ...] = (_placement(),),
    files: tuple[bytes, ...] = (_file(),),
    chunks: tuple[int, ...] = (0,),
    trees: tuple[bytes, ...] = (),
    references: tuple[bytes, ...] = (),
    indexes: tuple[bytes, ...] = (),
    attached: bytes = b"",
) -> bytes:
    counts = [len(table) for table in (packs, placements, files, chunks, trees, references, indexes, attached)]
    header = make.map_header(*counts)
    numbers = struct.pack(f"<{len(chunks)}I", *chunks)
    return b"".join((header, *packs, *placements, *files, numbers, *trees, *references, *indexes, attached))


def test_the_smallest_whole_map_is_accepted() -> None:
    assert decode_map(_map()).files == {TWO_FILES[0]: (10, 0, 1, OnLoad.NOT_LOOKED_AT)}


REFUSED = {
    "a pack of no bytes": _map(packs=(bytes(40),)),
    "a pack over the limit": _map(packs=(bytes(32) + struct.pack("<Q", MAX_PACK_BYTES + 1),)),
    "no pack": _map(packs=()),
    "a placement in an unknown pack": _map(placements=(_placement(pack=1),)),
    "a placement in pack 2^32 - 1": _map(placements=(_placement(pack=2**32 - 1),)),
    "a placement beyond its pack": _map(placements=(_placement(offset=991),)),
    "a placement far beyond its pack": _map(placements=(_placement(offset=2**32 - 1),)),
    "a placement of no bytes": _map(placements=(_placement(stored=0),)),
    "a placement of an empty chunk": _map(placements=(_placement(raw=0, codec=1),)),
    "a bomb": _map(placements=(_placement(stored=10, raw=10_001, codec=1),), files=(_file(size_bytes=10_001),)),
    "a base": _map(placements=(_placement(base=0),)),
    "a delta without a base": _map(placements=(_placement(codec=3),)),
    "a delta to itself": _map(placements=(_placement(codec=3, base=0),)),
    "a delta to a delta": _map(placements=(_placement(codec=3, base=1), _placement(codec=3, base=0))),
    "a delta to a placement that is not there": _map(placements=(_placement(codec=3, base=1),)),
    "a tree cut short": _map(trees=(_attached(TWO_FILES[0], 2),), attached=b"x"),
    "attached bytes of nothing": _map(attached=b"x"),
    "an index of no file": _map(indexes=(_attached(TWO_FILES[1], 1),), attached=b"x"),
    "the same index twice": _map(indexes=(_attached(TWO_FILES[0]), _attached(TWO_FILES[0]))),
    "an index cut short": _map(indexes=(_attached(TWO_FILES[0], 5),), attached=b"xx"),
    "a tree of 4 GiB": _map(trees=(_attached(TWO_FILES[0], 2**32 - 1),)),
    "a file of an unknown placement": _map(chunks=(1,)),
    "a file of placement 2^32 - 1": _map(chunks=(2**32 - 1,)),
    "a file of another size": _map(files=(_file(size_bytes=11),)),
    "a file of size 2^63": _map(files=(_file(size_bytes=2**63),)),
    "a file beyond the chunks": _map(files=(_file(count=2, size_bytes=20),)),
    "a file of 2^32 - 1 chunks": _map(files=(_file(count=2**32 - 1),)),
    "a file that does not start at the first chunk": _map(files=(_file(first=1, count=0, size_bytes=0),)),
    "overlapping files": _map(files=(_file(), _file(TWO_FILES[1]))),
    "unsorted files": _map(files=(_file(TWO_FILES[1]), _file(first=1)), chunks=(0, 0)),
    "the same file twice": _map(files=(_file(), _file(first=1)), chunks=(0, 0)),
    "the zero file twice": _map(
        files=(_file(bytes(32)), _file(bytes(32), first=1)), chunks=(0, 0)
    ),
    "chunks of no file": _map(chunks=(0, 0)),
    "chunks and no files": _map(files=()),
    "unsorted trees": _map(trees=(_attached(TWO_FILES[1]), _attached(TWO_FILES[0]))),
    "the same tree twice": _map(trees=(_attached(TWO_FILES[0]), _attached(TWO_FILES[0]))),
    "a reference of no kind": _map(references=(_reference(0),)),
    "a reference of unknown kind": _map(references=(_reference(3),)),
    "unsorted references": _map(references=(_reference(2), _reference(1))),
    "the same reference twice": _map(references=(_reference(), _reference())),
    "a reference to less than a header": _map(references=(_reference(size_bytes=55),)),
    "a reference to more than a map": _map(references=(_reference(size_bytes=64 * 1024 * 1024 + 1),)),
    "a reference to 2^64 - 1 bytes": _map(references=(_reference(size_bytes=2**64 - 1),)),
    "another magic": b"CASMAPS\x02" + _map()[8:],
    "a pack": make.example_pack(),
    "nothing": b"",
    "half a header": _map()[:55],
}  # fmt: skip


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_a_map_that_no_builder_writes_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        decode_map(data)


@pytest.mark.parametrize("codec", [4, 255])
def test_a_codec_of_a_newer_version_is_told_from_damage(codec: int) -> None:
    with pytest.raises(UnsupportedFormatError, match="upgrade"):
        decode_map(_map(placements=(_placement(codec=codec),)))


@pytest.mark.parametrize("mark", [5, 255])
def test_a_mark_of_a_newer_version_is_told_from_damage(mark: int) -> None:
    for data in (_map(files=(_file(on_load=mark),)), _map(references=(_reference(on_load=mark),))):
        with pytest.raises(UnsupportedFormatError, match="upgrade"):
            decode_map(data)


@pytest.mark.parametrize("which", range(8))
@pytest.mark.parametrize("step", [-1, 1])
def test_a_count_that_is_off_by_one_is_refused(which: int, step: int) -> None:
    data = make.example_map()
    counted = list(struct.unpack_from("<8I", data, 24))
    counted[which] += step
    with pytest.raises(FormatError, match="length"):
        decode_map(data[:24] + struct.pack("<8I", *counted) + data[56:])


def test_rows_are_read_where_they_lie() -> None:
    data = make.example_map()
    decoded = decode_map(data)
    assert decoded.rows.obj is data
