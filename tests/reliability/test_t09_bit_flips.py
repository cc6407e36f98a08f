"""T9: one bit of any object flips: every byte of all metadata, 256 places of each pack. It is noticed, and no wrong byte comes out."""

import random

import pytest

from cas_registry.errors import IntegrityError
from cas_registry.registry import Registry, registry_over
from tests.reliability.matrix import Row
from tests.reliability.profile import scaled
from tests.reliability.sample import Sample, make_sample
from tests.support.folders import File
from tests.support.simulated import make_world, memory_with

ROW = "T9"
FLIPS_OF_A_PACK = 256
READ = 8  # of so many flips the versions are read after one: a check finds all


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return make_sample(tmp_path_factory.mktemp("sample"))


def flipped(data: bytes, at: int, bit: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def test_the_sample_has_every_kind_of_object_and_each_is_read(sample: Sample) -> None:
    assert {key.partition("/")[0] for key in sample.objects} >= {
        "format",
        "catalogue",
        "refs",
        "commits",
        "trees",
        "maps",
        "packs",
        "gc",
    }
    assert set(sample.kinds.values()) == {"tree", "refs", "remap"}
    assert {key.rpartition("/")[2] for key in sample.objects if key.startswith("gc/0")} == {
        "condemned",
        "delete",
        "verdict",
        "done",
    }
    store = memory_with(sample.objects)
    for key in sample.metadata():
        assert sample.read(store, key) not in (None, [None])
    assert sample.read(store, "refs/m/0000000002") != sample.read(store, "refs/m/0000000001")


@pytest.mark.parametrize("area", ["format", "catalogue", "refs", "commits", "trees", "maps", "gc"])
def test_a_flip_in_any_byte_of_metadata_is_noticed_by_whoever_reads_it(sample: Sample, area: str, matrix: Row) -> None:
    store = memory_with(sample.objects)
    for key in sample.metadata():
        if key.partition("/")[0] != area:
            continue
        data = sample.objects[key]
        for at in range(len(data)):
            store.put(key, flipped(data, at, at % 8))
            with pytest.raises(IntegrityError):
                sample.read(store, key)
            matrix.count()
        store.put(key, data)
        sample.read(store, key)


def test_a_flip_anywhere_in_a_pack_is_named_by_fsck_and_no_wrong_byte_comes_out(sample: Sample, matrix: Row) -> None:
    rng = random.Random("packs")
    met = 0
    for key in sample.packs():
        data = sample.objects[key]
        for number in range(scaled(FLIPS_OF_A_PACK)):
            store = memory_with({**sample.objects, key: flipped(data, rng.randrange(len(data)), rng.randrange(8))})
            registry = registry_over(store, make_world())
            report = registry.fsck(read_data=True)
            assert report.exit_code
            assert key in {finding.key for finding in report.findings}
            matrix.count()
            if number % READ == 0:
                met += _refusals(registry, sample, key)
    assert met > 0, "some flips lie where a reader looks"


def _refusals(registry: Registry, sample: Sample, key: str) -> bool:
    """Whether a file is refused for this pack; all others come out as they were committed."""
    refused = False
    for revision, folder in sample.versions.items():
        for path, file in folder.items():
            assert isinstance(file, File)
            try:
                assert registry.model("m").read_bytes(revision, path) == file.data
            except IntegrityError as error:
                refused = error.fields.get("key") == key
                if not refused:
                    raise
    return refused
