"""Objects: nothing is returned that does not match its name, a second look is given, and damage met while writing is repaired."""

from collections.abc import Callable

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.codecs import encode_chunk
from cas_registry.errors import AlreadyExistsError, FormatError, IntegrityError, LimitError
from cas_registry.model.commit import MAX_COMMIT_BYTES, Commit, encode_commit
from cas_registry.model.entry import Ref, RefTable
from cas_registry.model.ids import ChunkId, CommitId, FileId, PackName, RefTableId, TreeId
from cas_registry.model.maps import Located, PackInfo, Reference
from cas_registry.model.packs import PackBuilder
from cas_registry.model.placement import Codec, Placement
from cas_registry.model.tree import EMPTY_TREE, Mode, Tree, TreeEntry, encode_tree, make_tree
from cas_registry.store.layout import QUARANTINE, object_key
from cas_registry.store.objects import ObjectStore, walk_tree
from tests.support.faulty import Fault, FaultKind, FaultyBackend
from tests.support.folders import make_bytes
from tests.support.simulated import RoundTripBackend
from tests.support.strategies import example_map

TREE = make_tree(
    [TreeEntry("config.json", Mode.FILE, 3, FileId.of(b"{ }")), TreeEntry("run.sh", Mode.EXECUTABLE, 2, FileId.of(b"#!"))]
)
COMMIT = Commit(tree=TreeId.of(encode_tree(TREE)), parents=(), author="t", time_ms=1, message="m", log="m", position=0)
TABLE = RefTable(branches={"main": Ref(None, 3)})


@pytest.fixture
def store() -> MemoryBackend:
    return MemoryBackend("objects")


Written = tuple[object, Callable[[ObjectStore], object]]


def _write_commit(objects: ObjectStore) -> Written:
    identity = objects.write_commit(COMMIT)
    return identity, lambda objects: objects.read_commit(identity)


def _write_tree(objects: ObjectStore) -> Written:
    identity = objects.write_tree(TREE)
    return identity, lambda objects: objects.read_tree(identity)


def _write_ref_table(objects: ObjectStore) -> Written:
    identity = objects.write_ref_table(TABLE)
    return identity, lambda objects: objects.read_ref_table(identity)


def _write_map(objects: ObjectStore) -> Written:
    reference = objects.write_map(example_map())
    return reference.name, lambda objects: objects.read_map(reference.name)


METADATA = [_write_commit, _write_tree, _write_ref_table, _write_map]


# Metadata


@pytest.mark.parametrize("write", METADATA)
def test_metadata_reads_back(store: MemoryBackend, write: Callable[[ObjectStore], Written]) -> None:
    identity, read = write(ObjectStore(store))
    found = read(ObjectStore(store))
    expected = {CommitId: COMMIT, TreeId: TREE, RefTableId: TABLE}
    assert found == expected.get(type(identity), found)
    assert [info.key for info in store.list("")] == [object_key(identity)]


@pytest.mark.parametrize("write", METADATA)
def test_every_flipped_bit_of_metadata_is_noticed(store: MemoryBackend, write: Callable[[ObjectStore], Written]) -> None:
    identity, read = write(ObjectStore(store))
    key = object_key(identity)
    data = store.get(key, length=2**20)
    for at in range(len(data)):
        for bit in range(8):
            store.put(key, data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :])
            with pytest.raises(IntegrityError) as caught:
                read(ObjectStore(store))
            assert caught.value.fields["key"] == key


@pytest.mark.parametrize("write", METADATA)
def test_metadata_cut_at_any_length_is_noticed(store: MemoryBackend, write: Callable[[ObjectStore], Written]) -> None:
    identity, read = write(ObjectStore(store))
    key = object_key(identity)
    data = store.get(key, length=2**20)
    for length in range(len(data)):
        store.put(key, data[:length])
        with pytest.raises(IntegrityError, match="do not match"):
            read(ObjectStore(store))


@pytest.mark.parametrize("write", METADATA)
def test_missing_metadata_is_named(store: MemoryBackend, write: Callable[[ObjectStore], Written]) -> None:
    identity, read = write(ObjectStore(store))
    store.delete(object_key(identity))
    with pytest.raises(IntegrityError, match=f"{object_key(identity)} is missing") as caught:
        read(ObjectStore(store))
    assert caught.value.fields["missing"] is True


@pytest.mark.parametrize("kind", [FaultKind.FLIP_BIT, FaultKind.TRUNCATE])
@pytest.mark.parametrize("write", METADATA)
def test_a_transfer_that_went_wrong_once_is_made_good_by_a_second_look(
    store: MemoryBackend, write: Callable[[ObjectStore], Written], kind: FaultKind
) -> None:
    _, read = write(ObjectStore(store))
    once = FaultyBackend(store, [Fault("get", kind)])
    assert read(ObjectStore(once)) is not None
    once.assert_all_hit()
    with pytest.raises(IntegrityError):
        read(ObjectStore(FaultyBackend(store, [Fault("get", kind, times=2)])))


def test_an_object_far_over_the_limit_is_refused_without_being_read_to_its_end(store: MemoryBackend) -> None:
    identity = ObjectStore(store).write_commit(COMMIT)
    store.put(object_key(identity), bytes(40_000_000))
    backend = RoundTripBackend(store)
    with pytest.raises(IntegrityError):
        ObjectStore(backend).read_commit(identity)
    assert backend.bytes_in <= 2 * (MAX_COMMIT_BYTES + 1)


def test_a_file_that_parses_as_a_commit_cannot_pose_as_one(store: MemoryBackend) -> None:
    """Item 29 of the hostile corpus: ids of metadata are derived with a context, those of files are not."""
    data = encode_commit(COMMIT)
    posing = CommitId(FileId.of(data).digest)
    store.put(object_key(posing), data)
    with pytest.raises(IntegrityError, match="do not match its name"):
        ObjectStore(store).read_commit(posing)


def test_a_tree_under_a_commits_key_is_refused(store: MemoryBackend) -> None:
    tree = ObjectStore(store).write_tree(TREE)
    posing = CommitId(tree.digest)
    store.put(object_key(posing), encode_tree(TREE))
    with pytest.raises(IntegrityError):
        ObjectStore(store).read_commit(posing)


def test_several_objects_are_read_in_one_round_trip(store: MemoryBackend) -> None:
    trees = [make_tree([TreeEntry(f"{n}", Mode.FILE, n, FileId.of(b"%d" % n))]) for n in range(20)]
    identities = [ObjectStore(store).write_tree(tree) for tree in trees]
    backend = RoundTripBackend(store)
    assert ObjectStore(backend).read_trees(identities) == trees
    assert backend.round_trips == 1
    assert ObjectStore(backend).read_trees([]) == []
    assert backend.round_trips == 1


@pytest.mark.parametrize("write", METADATA)
def test_writing_again_changes_nothing(store: MemoryBackend, write: Callable[[ObjectStore], Written]) -> None:
    write(ObjectStore(store))
    before = sorted(info.key for info in store.list(""))
    write(ObjectStore(store))
    assert sorted(info.key for info in store.list("")) == before


@pytest.mark.parametrize("write", METADATA)
def test_a_damaged_object_that_is_written_again_is_repaired_and_the_damage_kept_aside(
    store: MemoryBackend, write: Callable[[ObjectStore], Written]
) -> None:
    identity, read = write(ObjectStore(store))
    key = object_key(identity)
    store.put(key, b"damaged")
    write(ObjectStore(store))
    assert read(ObjectStore(store)) is not None
    assert store.get(f"{QUARANTINE}{key}", length=100) == b"damaged"


def test_maps_must_have_the_length_that_their_reference_gives(store: MemoryBackend) -> None:
    reference = ObjectStore(store).write_map(example_map())
    (found,) = ObjectStore(store).read_maps([reference])
    assert len(found) > 0
    with pytest.raises(FormatError, match="its reference says"):
        ObjectStore(store).read_maps([Reference(reference.name, reference.size_bytes + 1)])


def test_commits_are_found_by_the_beginning_of_their_id(store: MemoryBackend) -> None:
    identity = ObjectStore(store).write_commit(COMMIT)
    assert ObjectStore(store).find_commits(identity.hex[:8]) == [identity]
    assert ObjectStore(store).has_commit(identity)
    assert not ObjectStore(store).has_commit(CommitId(bytes(32)))
    assert ObjectStore(store).find_commits("0" * 8) == []


# Trees


def test_a_walk_reads_a_level_in_one_round_trip_and_names_everything(store: MemoryBackend) -> None:
    root = _nested(ObjectStore(store), depth=4, width=3)
    backend = RoundTripBackend(store)
    found = list(walk_tree(ObjectStore(backend), root))
    assert backend.round_trips == 5
    assert sum(1 for _, entry, _ in found if not entry.is_folder) == sum(3**level for level in range(5))
    assert "d0/d1/d2/d0/file" in {path for path, _, _ in found}


def test_a_folder_whose_size_is_not_that_of_its_content_is_refused(store: MemoryBackend) -> None:
    below = ObjectStore(store).write_tree(TREE)
    root = ObjectStore(store).write_tree(make_tree([TreeEntry("folder", Mode.FOLDER, TREE.size_bytes + 1, below)]))
    with pytest.raises(FormatError, match="holds 5 bytes, the folder above says 6"):
        list(walk_tree(ObjectStore(store), root))


def _nested(objects: ObjectStore, *, depth: int, width: int) -> TreeId:
    return objects.write_tree(_nested_tree(objects, depth, width))


def _nested_tree(objects: ObjectStore, depth: int, width: int) -> Tree:
    entries = [TreeEntry("file", Mode.FILE, depth, FileId.of(b"%d" % depth))]
    if depth:
        below = _nested_tree(objects, depth - 1, width)
        identity = objects.write_tree(below)
        entries += [TreeEntry(f"d{n}", Mode.FOLDER, below.size_bytes, identity) for n in range(width)]
    return make_tree(entries)


def test_the_empty_tree_is_a_tree(store: MemoryBackend) -> None:
    identity = ObjectStore(store).write_tree(EMPTY_TREE)
    assert list(walk_tree(ObjectStore(store), identity)) == []


# Packs and chunks


def _pack(chunks: list[bytes]) -> tuple[PackName, bytes, list[Placement]]:
    builder = PackBuilder(bytes(16))
    placements = []
    for data in chunks:
        codec, stored = encode_chunk(data)
        identity = ChunkId.of(data)
        offset = builder.add(identity.digest, stored, raw_bytes=len(data), codec=codec)
        placements.append(Placement(identity, offset, len(stored), len(data), codec))
    name, data = builder.finish()
    return name, bytes(data), placements


def _read(objects: ObjectStore, located: list[Located]) -> dict[ChunkId, bytes]:
    stored = objects.read_span(located)
    return {item.placement.chunk: bytes(objects.decode(item, stored)) for item in located}


CHUNKS = [make_bytes(1, 3000), b"compressible " * 300, make_bytes(2, 1), bytes(5000)]


def test_chunks_read_back_one_by_one_and_together(store: MemoryBackend) -> None:
    name, data, placements = _pack(CHUNKS)
    pack = ObjectStore(store).write_pack(name, data)
    assert {placement.codec for placement in placements} >= {Codec.RAW, Codec.ZSTD}
    located = [Located(pack, placement) for placement in placements]
    backend = RoundTripBackend(store)
    together = _read(ObjectStore(backend), located)
    assert together == {ChunkId.of(chunk): chunk for chunk in CHUNKS}
    assert backend.round_trips == 1
    for item, chunk in zip(located, CHUNKS, strict=True):
        assert _read(ObjectStore(store), [item]) == {item.placement.chunk: chunk}


@pytest.mark.parametrize("chunk", [make_bytes(1, 300), b"compressible " * 30], ids=["raw", "zstd"])
def test_every_flipped_bit_of_a_chunk_is_noticed_with_its_pack_and_offset(store: MemoryBackend, chunk: bytes) -> None:
    """A zstd frame has a few bits that mean nothing: with one of these the right bytes come out."""
    name, data, (placement,) = _pack([chunk])
    pack = ObjectStore(store).write_pack(name, data)
    meaningless = 0
    for at in range(placement.offset, placement.offset + placement.stored_bytes):
        for bit in range(8):
            store.put(object_key(name), data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :])
            try:
                assert _read(ObjectStore(store), [Located(pack, placement)]) == {placement.chunk: chunk}
                meaningless += 1
            except IntegrityError as error:
                found = error
            assert found.fields == {"key": object_key(name), "offset": placement.offset}
    assert meaningless <= (0 if placement.codec is Codec.RAW else 10)


def test_a_pack_that_is_cut_or_missing_is_named(store: MemoryBackend) -> None:
    name, data, placements = _pack(CHUNKS)
    pack = ObjectStore(store).write_pack(name, data)
    last = [Located(pack, placements[-1])]
    store.put(object_key(name), data[: placements[-1].offset + 3])
    with pytest.raises(IntegrityError, match="is cut short"):
        _read(ObjectStore(store), last)
    store.delete(object_key(name))
    with pytest.raises(IntegrityError, match="is missing"):
        _read(ObjectStore(store), last)


@pytest.mark.parametrize("kind", [FaultKind.FLIP_BIT, FaultKind.TRUNCATE])
def test_a_chunk_that_arrived_damaged_is_fetched_once_more(store: MemoryBackend, kind: FaultKind) -> None:
    name, data, placements = _pack(CHUNKS)
    pack = ObjectStore(store).write_pack(name, data)
    located = [Located(pack, placements[0])]
    once = FaultyBackend(store, [Fault("get", kind)])
    assert _read(ObjectStore(once), located) == {placements[0].chunk: CHUNKS[0]}
    once.assert_all_hit()
    with pytest.raises(IntegrityError):
        _read(ObjectStore(FaultyBackend(store, [Fault("get", kind, times=2)])), located)


def test_a_pack_whose_first_answer_was_lost_is_ones_own(store: MemoryBackend) -> None:
    name, data, _ = _pack(CHUNKS)
    store.create(object_key(name), data)
    assert ObjectStore(store).write_pack(name, data) == PackInfo(name, len(data))


def test_a_pack_of_that_name_with_another_length_is_refused(store: MemoryBackend) -> None:
    name, data, _ = _pack(CHUNKS)
    store.create(object_key(name), data[:-1])
    with pytest.raises(IntegrityError, match="another length") as caught:
        ObjectStore(store).write_pack(name, data)
    assert isinstance(caught.value.__cause__, AlreadyExistsError)


def test_a_pack_is_there_only_with_its_exact_length(store: MemoryBackend) -> None:
    name, data, _ = _pack(CHUNKS)
    pack = ObjectStore(store).write_pack(name, data)
    assert ObjectStore(store).pack_is_there(pack)
    assert not ObjectStore(store).pack_is_there(PackInfo(name, len(data) + 1))
    store.delete(object_key(name))
    assert not ObjectStore(store).pack_is_there(pack)


def test_metadata_over_the_limit_is_refused_before_it_is_written(store: MemoryBackend) -> None:
    with pytest.raises(LimitError):
        ObjectStore(store).write_commit(
            Commit(tree=TreeId(bytes(32)), parents=(), author="t", time_ms=1, message="m" * 70_000, log="m", position=0)
        )
    assert list(store.list("")) == []


def _repeated(objects: ObjectStore, *, times: int, names: tuple[str, ...]) -> TreeId:
    """An empty file in so many folders, each of which stands in the one above under all these names."""
    tree = objects.write_tree(make_tree([TreeEntry("f", Mode.FILE, 0, FileId.of(b""))]))
    for _ in range(times):
        tree = objects.write_tree(make_tree([TreeEntry(name, Mode.FOLDER, 0, tree) for name in names]))
    return tree


def test_a_walk_goes_no_deeper_than_a_path(store: MemoryBackend) -> None:
    objects = ObjectStore(store)
    deepest = [path for path, _, _ in walk_tree(objects, _repeated(objects, times=63, names=("a",)))][-1]
    assert deepest == "a/" * 63 + "f"
    with pytest.raises(FormatError, match="nested more than 64"):
        list(walk_tree(objects, _repeated(objects, times=64, names=("a",))))


def test_a_few_trees_that_stand_for_any_number_of_files_are_refused(
    store: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cas_registry.store.objects.MAX_VERSION_ENTRIES", 1000)
    objects = ObjectStore(store)
    assert len(list(walk_tree(objects, _repeated(objects, times=8, names=("a", "b"))))) == 766
    with pytest.raises(FormatError, match="more than 1,000 files and folders"):
        list(walk_tree(objects, _repeated(objects, times=60, names=("a", "b"))))


def test_bytes_from_elsewhere_are_stored_under_their_name_alone_and_what_was_there_is_kept_whole(store: MemoryBackend) -> None:
    objects = ObjectStore(store)
    data = encode_tree(TREE)
    identity = TreeId.of(data)
    assert not objects.is_whole(identity)
    with pytest.raises(IntegrityError):
        objects.write_named(identity, data + b" ")
    assert not objects.is_whole(identity)
    damaged = data * 3
    store.put(object_key(identity), damaged)
    assert not objects.is_whole(identity)
    objects.write_named(identity, data)
    assert objects.is_whole(identity)
    assert store.get(f"{QUARANTINE}{object_key(identity)}", length=10**6) == damaged
