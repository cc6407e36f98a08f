"""The links of HDF5 groups (format specification 4.0, parts III.A to III.G and IV.A.2): name and address of what a group holds.

Groups of three kinds: symbol tables (B-tree, heap of names), link messages right in the object, and, where those are many, in a
fractal heap that a B-tree of version 2 indexes. Only hard links lead to an object of this file; others are left out.
"""

import struct
from collections.abc import Iterator, Sequence

from cas_registry.formats.hdf5_heap import FractalHeap
from cas_registry.formats.hdf5_objects import UNDEFINED, File, Message
from cas_registry.formats.source import MAX_NAME_BYTES, MalformedError

LINK_INFO, LINK, SYMBOL_TABLE = 0x02, 0x06, 0x11
_MAX_DEPTH = 32  # of B-trees, which hold more than 2^32 links then
_MAX_LOCAL_HEAP_BYTES = 16 << 20  # of the names in one group

_TREE_NODE = struct.Struct("<4sBBHQQ")
_SYMBOL_NODE = struct.Struct("<4sBxH")
_SYMBOL = struct.Struct("<QQI20x")
_LOCAL_HEAP = struct.Struct("<4sB3xQQQ")
_SYMBOLIC = 2  # cache type of a symbol that leads to a path

_LINK_TYPED, _LINK_ORDERED, _LINK_CHARSET = 0x08, 0x04, 0x10  # flags: optional fields that are there
_HARD = 0

_TREE2 = struct.Struct("<4sBBIHHBBQHQ")
_NODE2 = struct.Struct("<4sBB")
_NODE2_OVERHEAD_BYTES = 10  # signature, version, type, checksum
_LINKS_BY_NAME = 5  # type of a B-tree
_HASH_BYTES = 4
_MAX_NODE_BYTES = 1 << 20  # HDF5 makes nodes of 512 bytes
_ADDRESS_BYTES = 8

Link = tuple[str, int]


def links(file: File, messages: Sequence[Message]) -> Iterator[Link]:
    """Name and object address of every hard link of a group with these messages; nothing for an object that is no group."""
    for kind, body, _ in messages:
        if kind == SYMBOL_TABLE:
            tree, heap = struct.unpack_from("<2Q", body)
            yield from _symbols(file, tree, _local_heap(file, heap))
        elif kind == LINK:
            yield from _link(file, body)
        elif kind == LINK_INFO:
            at = 2 + (8 if body[1] & 1 else 0)
            heap, tree = struct.unpack_from("<2Q", body, at)
            if UNDEFINED not in {heap, tree}:
                yield from _dense(file, heap, tree)


def _local_heap(file: File, address: int) -> bytes:
    signature, version, size_bytes, _, start = _LOCAL_HEAP.unpack(file.read(address, _LOCAL_HEAP.size))
    if (signature, version) != (b"HEAP", 0) or size_bytes > _MAX_LOCAL_HEAP_BYTES:
        raise MalformedError("not a heap of names")
    return file.read(start, size_bytes)


def _symbols(file: File, root: int, names: bytes) -> Iterator[Link]:
    nodes = [(root, 0)]
    while nodes:
        file.step()
        address, depth = nodes.pop()
        signature, kind, level, count, _, _ = _TREE_NODE.unpack(file.read(address, _TREE_NODE.size))
        if (signature, kind) != (b"TREE", 0) or depth > _MAX_DEPTH:
            raise MalformedError("not a tree of symbols")
        pairs = struct.unpack(f"<{2 * count}Q", file.read(address + _TREE_NODE.size, 16 * count))
        children = pairs[1::2]  # each after its key
        if level:
            nodes += [(child, depth + 1) for child in reversed(children)]
            continue
        for child in children:
            yield from _symbol_node(file, child, names)


def _symbol_node(file: File, address: int, names: bytes) -> Iterator[Link]:
    file.step()
    signature, version, count = _SYMBOL_NODE.unpack(file.read(address, _SYMBOL_NODE.size))
    if (signature, version) != (b"SNOD", 1):
        raise MalformedError("not a node of symbols")
    for name_at, target, cache in _SYMBOL.iter_unpack(file.read(address + _SYMBOL_NODE.size, count * _SYMBOL.size)):
        file.step()
        if cache != _SYMBOLIC:
            yield _name(file, names[name_at : names.index(b"\0", name_at, name_at + MAX_NAME_BYTES + 1)]), target


def _link(file: File, body: bytes) -> Iterator[Link]:
    version, flags = body[:2]
    if version != 1:
        raise MalformedError("not a link")
    position = 2
    kind = _HARD
    if flags & _LINK_TYPED:
        kind = body[position]
        position += 1
    if flags & _LINK_ORDERED:
        position += 8
    if flags & _LINK_CHARSET:
        position += 1
    width = 1 << (flags & 3)
    length = int.from_bytes(body[position : position + width], "little")
    position += width
    if kind == _HARD:
        (target,) = struct.unpack_from("<Q", body, position + length)
        yield _name(file, body[position : position + length]), target


def _name(file: File, name: bytes) -> str:
    if not 0 < len(name) <= MAX_NAME_BYTES:
        raise MalformedError("not a name")
    return file.keep(name.decode())


def _dense(file: File, heap_address: int, tree_address: int) -> Iterator[Link]:
    heap = FractalHeap(file, heap_address)
    for record in _records(file, tree_address):
        yield from _link(file, heap.object(record[_HASH_BYTES:]))


def _records(file: File, address: int) -> Iterator[bytes]:
    """The records of a B-tree of version 2."""
    signature, version, kind, node_bytes, record_bytes, depth, _, _, root, count, _ = _TREE2.unpack(
        file.read(address, _TREE2.size)
    )
    if (signature, version, kind) != (b"BTHD", 0, _LINKS_BY_NAME) or depth > _MAX_DEPTH:
        raise MalformedError("not a tree of links")
    if record_bytes <= _HASH_BYTES or node_bytes > _MAX_NODE_BYTES:
        raise MalformedError("not a tree of links")
    most, counts_bytes = _capacities(node_bytes, record_bytes, depth)
    nodes = [(root, count, depth)]
    while nodes:
        file.step()
        address, count, level = nodes.pop()
        if address == UNDEFINED and not count:
            continue  # a tree without a record
        if count > most[level]:
            raise MalformedError("more records than a node takes")
        node = file.read(address, node_bytes)
        if _NODE2.unpack_from(node) != (b"BTIN" if level else b"BTLF", 0, kind):
            raise MalformedError("not a node of links")
        end = _NODE2.size + count * record_bytes
        for start in range(_NODE2.size, end, record_bytes):
            file.step()
            yield node[start : start + record_bytes]
        if level:
            step = _ADDRESS_BYTES + counts_bytes[0] + counts_bytes[level - 1] * (level > 1)
            for start in range(end, end + (count + 1) * step, step):
                child = int.from_bytes(node[start : start + _ADDRESS_BYTES], "little")
                records = int.from_bytes(node[start + _ADDRESS_BYTES : start + _ADDRESS_BYTES + counts_bytes[0]], "little")
                nodes.append((child, records, level - 1))


def _capacities(node_bytes: int, record_bytes: int, depth: int) -> tuple[list[int], list[int]]:
    """Of nodes at each level, the leaves first: how many records fit, and the bytes of a number of all records at or below."""
    room = node_bytes - _NODE2_OVERHEAD_BYTES
    most = [room // record_bytes]
    below = [most[0]]
    counts_bytes = [_bytes_of(most[0])]
    for level in range(1, depth + 1):
        pointer_bytes = _ADDRESS_BYTES + counts_bytes[0] + counts_bytes[level - 1] * (level > 1)
        most.append((room - pointer_bytes) // (record_bytes + pointer_bytes))
        if most[level] <= 0:
            raise MalformedError("nodes too small for a record")
        below.append((most[level] + 1) * below[level - 1] + most[level])
        counts_bytes.append(_bytes_of(below[level]))
    return most, counts_bytes


def _bytes_of(number: int) -> int:
    return max(1, (number.bit_length() + 7) // 8)
