"""T10: any object cut, longer, empty, in another one's place or gone: noticed, and what does not need it still comes out."""

import random
from collections.abc import Callable, Iterator

import pytest

from cas_registry.errors import IntegrityError, NotFoundError, RegistryError
from cas_registry.operations.fsck import check_registry
from cas_registry.operations.progress import NoProgress
from cas_registry.registry import registry_over
from tests.reliability.matrix import Row
from tests.reliability.sample import Sample, make_sample
from tests.support.folders import File
from tests.support.simulated import make_world, memory_with

ROW = "T10"
CUTS = 20


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return make_sample(tmp_path_factory.mktemp("sample"))


def _damaged(data: bytes, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """The object cut to lengths from nothing on, longer by something, and as zeros."""
    lengths = {0, 1, 8, 64, 65, len(data) // 2, len(data) - 1, *(rng.randrange(len(data)) for _ in range(CUTS))}
    for length in sorted(length for length in lengths if length < len(data)):
        yield f"cut to {length}", data[:length]
    for tail in (b"\0", b"\n", b"}", data[:56], data, rng.randbytes(1000)):
        yield f"longer by {len(tail)}", data + tail
    yield "zeros", bytes(len(data))


def test_an_object_cut_longer_or_empty_is_noticed_by_its_reader(sample: Sample, matrix: Row) -> None:
    rng = random.Random("cut")
    store = memory_with(sample.objects)
    for key in sample.metadata():
        for what, data in _damaged(sample.objects[key], rng):
            store.put(key, data)
            try:
                found = sample.read(store, key)
            except IntegrityError:
                matrix.count()
            else:
                pytest.fail(f"{key} {what} reads as {found!r:.200}")
        store.put(key, sample.objects[key])


def test_an_object_in_the_place_of_any_other_is_noticed(sample: Sample, matrix: Row) -> None:
    store = memory_with(sample.objects)
    keys = sample.metadata()
    for key in keys:
        for other in keys:
            if sample.objects[other] == sample.objects[key]:
                continue
            store.put(key, sample.objects[other])
            with pytest.raises(IntegrityError):
                sample.read(store, key)
            matrix.count()
        store.put(key, sample.objects[key])


def read_versions(sample: Sample, objects: dict[str, bytes]) -> dict[str, bool]:
    """Which versions come out whole; wrong bytes, and errors of another kind, fail here."""
    found: dict[str, bool] = {}
    for revision, folder in sample.versions.items():
        model, _, commit = revision.partition("@")
        try:
            registry = registry_over(memory_with(objects), make_world()).model(model)
            for path, file in folder.items():
                assert isinstance(file, File)
                assert registry.read_bytes(commit, path) == file.data
        except RegistryError as error:
            if not isinstance(error, IntegrityError | NotFoundError):
                raise
            found[revision] = False
        else:
            found[revision] = True
    return found


DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "gone": lambda _: None,
    "empty": lambda _: b"",
    "cut in half": lambda data: data[: len(data) // 2],
    "cut by one": lambda data: data[:-1],
    "longer": lambda data: data + b"\n",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_versions_that_do_not_need_an_object_come_out_without_it_and_fsck_names_it(
    sample: Sample, damage: str, matrix: Row
) -> None:
    for key in [*sample.metadata(), *sample.packs()]:
        data = DAMAGES[damage](sample.objects[key])
        objects = {name: other for name, other in sample.objects.items() if name != key}
        whole = read_versions(sample, {**objects, **({key: data} if data is not None else {})})
        shared = key == "format" or key.startswith("catalogue/")
        for revision, is_whole in whole.items():
            needs_not = (
                key.startswith("gc/")
                or (key in sample.of_other or key.startswith("refs/other/")) is not revision.startswith("other@")
                or key in sample.retired
            )
            assert is_whole or shared or not needs_not, (key, revision)
        if not key.startswith("gc/") and key not in sample.retired:  # fsck looks at neither
            assert key in _named(sample, objects if data is None else {**objects, key: data}), key
        matrix.count()


def _named(sample: Sample, objects: dict[str, bytes]) -> set[str]:
    """The keys that a check finds fault with."""
    try:
        report = check_registry(memory_with(objects), read_data=True, progress=NoProgress())
    except (IntegrityError, NotFoundError) as error:
        return {str(error.fields.get("key"))}
    assert report.exit_code
    return {finding.key for finding in report.findings}
