"""What packs say of themselves: places of chunks, bases of deltas, recipes cut in several ways and stored in parts."""

from cas_registry.backends.memory import MemoryBackend
from cas_registry.model.ids import ChunkId, FileId
from cas_registry.model.packs import PackBuilder, Recipe
from cas_registry.model.placement import Codec
from cas_registry.model.tensors import ElementType
from cas_registry.model.tree import Mode, TreeEntry
from cas_registry.operations.pack_index import PackIndex, listed_packs

BASE, DELTA, OTHER = (ChunkId.of(name) for name in (b"base", b"delta", b"other"))
FILE = FileId.of(b"file")


def _put(store: MemoryBackend, builder: PackBuilder) -> str:
    name, data = builder.finish()
    key = f"packs/{name.hex}"
    store.put(key, data)
    return key


def _index(store: MemoryBackend) -> PackIndex:
    return PackIndex(store, {info.key: info.size_bytes for info in store.list("")})


def _entry(size_bytes: int) -> TreeEntry:
    return TreeEntry("file", Mode.FILE, size_bytes, FILE)


def _with_chunk(nonce: int, chunk: ChunkId, element: ElementType = ElementType.NONE) -> PackBuilder:
    builder = PackBuilder(bytes([nonce]) * 16)
    builder.add(chunk.digest, b"12345678", raw_bytes=8, codec=Codec.RAW, element=element)
    return builder


def _with_delta(nonce: int) -> PackBuilder:
    builder = PackBuilder(bytes([nonce]) * 16)
    builder.add(DELTA.digest, b"xy", raw_bytes=8, codec=Codec.DELTA, element=ElementType.F32, base=BASE.digest)
    return builder


def test_a_delta_is_there_once_its_base_is() -> None:
    store = MemoryBackend()
    _put(store, _with_delta(1))
    index = _index(store)
    assert not index.has(DELTA)
    assert index.missing_bases(DELTA) == [BASE]
    assert index.raw_bytes(DELTA) == 8
    assert index.element(BASE) is index.element(DELTA) is ElementType.F32
    elsewhere = MemoryBackend()
    _put(elsewhere, _with_chunk(2, BASE, ElementType.F32))
    base = _index(elsewhere).whole(BASE)
    assert base is not None
    index.learn(base)
    assert [located.base for located in index.places(DELTA)] == [base]
    assert index.missing_bases(DELTA) == []


def test_a_base_of_the_same_element_comes_before_others() -> None:
    store = MemoryBackend()
    for nonce, element in ((1, ElementType.BF16), (2, ElementType.F32), (3, ElementType.F32)):
        _put(store, _with_chunk(nonce, BASE, element))
    _put(store, _with_delta(4))
    bases = [located.base for located in _index(store).places(DELTA)]
    assert [base.placement.element for base in bases if base] == [ElementType.F32, ElementType.BF16]


def test_recipes_in_parts_are_put_together_and_other_ways_of_cutting_kept_apart() -> None:
    store = MemoryBackend()
    first, second, third = _with_chunk(1, BASE), _with_chunk(2, OTHER), PackBuilder(bytes(16))
    first.add_recipe(Recipe(FILE, 16, 2, 0, [BASE.digest]))
    second.add_recipe(Recipe(FILE, 16, 2, 1, [OTHER.digest]))
    third.add_recipe(Recipe(FILE, 16, 1, 0, [DELTA.digest]))
    keys = [_put(store, builder) for builder in (first, second, third)]
    index = _index(store)
    assert sorted(map(len, index.recipes(FILE))) == [1, 2]
    assert [located.placement.chunk for located in index.rebuild(_entry(16))] == [BASE, OTHER]
    assert not index.can_rebuild(_entry(17))
    store.delete(keys[1])
    assert list(_index(store).recipes(FILE)) == [[DELTA]]
    assert not _index(store).can_rebuild(_entry(16))
    assert {pack.name.hex for pack in _index(store).recipe_packs(FILE)} == {keys[2].partition("/")[2]}


def test_what_is_no_pack_is_nobodys() -> None:
    store = MemoryBackend()
    key = _put(store, _with_chunk(1, BASE))
    store.put("packs/README", b"not ours")
    store.put(f"packs/{'ab' * 32}", b"a stump")
    assert _index(store).has(BASE)
    assert len(listed_packs({key: 9, "packs/README": 1, "maps/x": 1})) == 1
