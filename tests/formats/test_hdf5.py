"""HDF5: both kinds of groups, object headers and superblocks, as h5py reads them."""

import struct
import tracemalloc

import pytest

from cas_registry.formats import read_index
from cas_registry.formats.source import MAX_READ_BYTES
from tests.formats.files import FILES, Source, by_name, index_of, read_as_told


@pytest.mark.parametrize("file", ["old.h5", "new.h5"])
def test_datasets_as_the_library_reads_them(file: str) -> None:
    """`old.h5`: superblock 0, symbol tables in trees of several levels; `new.h5`: superblock 3 behind a user block, dense links."""
    assert FILES[file].index(b"\x89HDF") == {"old.h5": 0, "new.h5": 512}[file]
    assert (b"SNOD" in FILES[file], b"FHIB" in FILES[file], b"BTIN" in FILES[file]) == {
        "old.h5": (True, False, False),
        "new.h5": (False, True, True),
    }[file]
    read_as_told(file)


def test_what_is_chunked_compressed_compact_unwritten_or_of_no_type_here_is_left_out() -> None:
    for file in ("old.h5", "new.h5"):
        assert b"left-out" in FILES[file]
        assert not [name for name in by_name(FILES[file]) if name.startswith("left-out")]


def test_a_dataset_of_several_links_has_the_name_that_comes_first() -> None:
    """`many` has sixty links to the dataset of `few`, and a link to `few`, which has one to `many`."""
    assert {name for name in by_name(FILES["new.h5"]) if name.startswith(("few", "many"))} == {"few/é", "many/z"}


def superblock(root: int) -> bytes:
    return b"\x89HDF\r\n\x1a\n\x02\x08\x08\x00" + struct.pack("<4Q", 0, 2**64 - 1, 4096, root) + bytes(4)


def header(*messages: tuple[int, bytes]) -> bytes:
    body = b"".join(struct.pack("<BHB", kind, len(data), 0) + data for kind, data in messages)
    return b"OHDR\x02\x02" + struct.pack("<I", len(body)) + body + bytes(4)


def link(name: bytes, address: int) -> tuple[int, bytes]:
    return 6, struct.pack("<BBB", 1, 0, len(name)) + name + struct.pack("<Q", address)


ROOT = 48
F32 = struct.pack("<IIHHBBBBI", 0x1F2011, 4, 0, 32, 23, 8, 0, 23, 127)


def dataset(shape: tuple[int, ...], address: int, size_bytes: int, datatype: bytes = F32) -> bytes:
    space = struct.pack(f"<4B{len(shape)}Q", 2, len(shape), 0, 1, *shape)
    return header((1, space), (3, datatype), (8, struct.pack("<BBQQ", 3, 1, address, size_bytes)))


def hdf5(*objects: bytes, size_bytes: int = 4096) -> bytes:
    """A file whose root group is the first object, the others 512 bytes apart from 512 on."""
    data = superblock(ROOT) + objects[0]
    for number, part in enumerate(objects[1:], 1):
        data = data.ljust(512 * number, b"\0") + part
    return data.ljust(size_bytes, b"\0")


def test_a_file_made_by_hand_is_read() -> None:
    """So that what is malformed below is so for one reason."""
    found = by_name(hdf5(header(link(b"a", 512)), dataset((4, 2), 2048, 32)))
    assert (found["a"].dtype, found["a"].shape, found["a"].offset) == ("F32", (4, 2), 2048)


HOSTILE = {
    "a root beyond the file": superblock(2**63) + bytes(999),
    "a dataset beyond the file": hdf5(header(link(b"a", 512)), dataset((4,), 4090, 16)),
    "a dataset at the end of all addresses": hdf5(header(link(b"a", 512)), dataset((4,), 2**64 - 2, 16)),
    "a dataset of another size": hdf5(header(link(b"a", 512)), dataset((4,), 2048, 17)),
    "a dimension of 2^63": hdf5(header(link(b"a", 512)), dataset((2**63, 4), 2048, 16)),
    "datasets that overlap": hdf5(
        header(link(b"a", 512), link(b"b", 1024)), dataset((4,), 2048, 16), dataset((4,), 2056, 16)
    ),
    "a link of a name without end": hdf5(header((6, struct.pack("<BBB", 1, 0, 200) + bytes(20)))),
    "two datasets of one name": hdf5(header(link(b"a", 512), link(b"a", 1024)), dataset((4,), 2048, 16), dataset((4,), 3000, 16)),
    "blocks that lead to each other": hdf5(
        header((16, struct.pack("<QQ", 512, 40))), b"OCHK" + struct.pack("<BHBQQ", 16, 16, 0, 512, 40) + bytes(40)
    ),
    "a tree that is its own child": hdf5(
        header((17, struct.pack("<QQ", 512, 1024))),
        struct.pack("<4sBBHQQ", b"TREE", 0, 1, 2, 0, 0) + struct.pack("<4Q", 0, 512, 0, 512),
        struct.pack("<4sB3xQQQ", b"HEAP", 0, 64, 0, 1100),
    ),
    "a heap of 2^40 bytes": hdf5(
        header((17, struct.pack("<QQ", 512, 1024))), b"", struct.pack("<4sB3xQQQ", b"HEAP", 0, 2**40, 0, 1100)
    ),
    "dense links in nodes of 2^32 bytes": hdf5(
        header((2, struct.pack("<BBQQ", 0, 0, 512, 1024))),
        struct.pack("<4sBHHBI12QHQQHHQH", b"FRHP", 0, 7, 0, 0, 4096, *[0] * 12, 4, 512, 65536, 32, 1, 2048, 0),
        struct.pack("<4sBBIHHBBQHQ", b"BTHD", 0, 5, 2**32 - 1, 11, 0, 100, 40, 1536, 1, 1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_header_is_no_container(data: bytes) -> None:
    assert index_of(data) is None


def test_groups_that_hold_each_other_end() -> None:
    data = hdf5(header(link(b"a", 512), link(b"up", ROOT)), header(link(b"b", ROOT), link(b"c", 1024)), dataset((4,), 2048, 16))
    assert by_name(data).keys() == {"a/c"}


def test_names_that_lie_on_top_of_each_other_take_little_memory() -> None:
    """A heap of one megabyte that names a hundred thousand links, each a kilobyte long: a tenth of them fits."""
    names = b"a" * (1 << 20) + b"\0"
    nodes, count = 4, 25_000
    start = 2 << 20
    tree = struct.pack("<4sBBHQQ", b"TREE", 0, 0, nodes, 0, 0)
    tree += b"".join(struct.pack("<2Q", 0, start + number * (1 << 20)) for number in range(nodes))
    data = bytearray(
        hdf5(header((17, struct.pack("<QQ", 512, 1024))), tree, struct.pack("<4sB3xQQQ", b"HEAP", 0, len(names), 0, 4096))
    )
    data += names
    for number in range(nodes):
        data = data.ljust(start + number * (1 << 20), b"\0") + struct.pack("<4sBxH", b"SNOD", 1, count)
        for symbol in range(count):
            data += struct.pack("<QQI20x", len(names) - 1000 - symbol % 7, 4096 + symbol, 0)
    tracemalloc.start()
    try:
        assert index_of(bytes(data)) is None
        assert tracemalloc.get_traced_memory()[1] - len(data) < 64 << 20
    finally:
        tracemalloc.stop()


def test_messages_without_end_are_read_up_to_a_limit() -> None:
    """Objects that all go on in the same block of four megabytes."""
    block = b"OCHK" + b"\0\xf0\xff\0" * 64
    objects = [header((16, struct.pack("<QQ", 1 << 20, (4 << 20) - 100))) for _ in range(600)]
    data = superblock(ROOT) + header(*(link(b"%d" % number, 65536 + 512 * number) for number in range(600)))
    data = data.ljust(65536, b"\0") + b"".join(part.ljust(512, b"\0") for part in objects)
    data = data.ljust(1 << 20, b"\0") + block.ljust(4 << 20, b"\0")
    source = Source(data)
    assert read_index(source) is None
    assert source.read_bytes <= MAX_READ_BYTES


def test_superblocks_of_other_widths_and_versions_are_not_read() -> None:
    data = hdf5(header(link(b"a", 512)), dataset((4,), 2048, 16))
    assert index_of(data) is not None
    for at, value in ((8, 9), (9, 4), (10, 4)):
        assert index_of(data[:at] + bytes([value]) + data[at + 1 :]) is None
