"""Whatever happens to an object of the bucket, the check names it and says what it costs."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import IntegrityError, InvalidInputError, NotFoundError
from cas_registry.model.entry import Ref, RefKind, RefTable, decode_entry, encode_entry
from cas_registry.model.tree import make_tree
from cas_registry.operations.findings import Severity
from cas_registry.operations.fsck import FsckReport, check_registry
from cas_registry.operations.init import create_registry
from cas_registry.operations.progress import NoProgress
from cas_registry.operations.version_files import VersionFiles, list_files
from cas_registry.registry import Model, Registry, registry_over
from cas_registry.settings import Settings
from cas_registry.store.layout import COMMITS, FILES, MAPS, PACKS, REFS, TREES
from cas_registry.store.objects import ObjectStore

HINTS = ("HEAD",)


@pytest.fixture
def backend() -> MemoryBackend:
    return MemoryBackend("fsck")


@pytest.fixture
def model(backend: MemoryBackend, tmp_path: Path) -> Model:
    """Three versions: small files in two folders, and a file of 3 MB of which the last version changes a part."""
    create_registry(backend, time_ms=1, who="ana")
    model = _open(backend).model("fraud")
    folder = tmp_path / "out"
    (folder / "sub").mkdir(parents=True)
    noise = random.Random(1)
    weights = bytearray(noise.randbytes(3_000_000))
    (folder / "model.bin").write_bytes(weights)
    (folder / "config.json").write_text("{}")
    (folder / "sub" / "vocab.txt").write_text("a b c " * 500)
    model.commit(folder, message="one")
    (folder / "config.json").write_text('{"a": 1}')
    model.commit(folder, message="two", tags=["prod"])
    weights[1_000_000:1_000_100] = noise.randbytes(100)
    (folder / "model.bin").write_bytes(weights)
    model.commit(folder, message="three")
    return model


def _open(backend: MemoryBackend) -> Registry:
    return registry_over(backend, Settings(author="ana", cache_folder=None))


def _check(backend: MemoryBackend, *, read_data: bool = True) -> FsckReport:
    return check_registry(backend, read_data=read_data, progress=NoProgress())


def _keys(backend: MemoryBackend) -> list[str]:
    return sorted(info.key for info in backend.list("") if not info.key.endswith("HEAD") and not info.key.startswith(FILES))


def _copy(backend: MemoryBackend) -> Iterator[tuple[str, MemoryBackend]]:
    for key in _keys(backend):
        copy = MemoryBackend("copy")
        for info in backend.list(""):
            copy.put(info.key, backend.get(info.key, length=info.size_bytes))
        yield key, copy


def test_a_healthy_registry_is_clean(backend: MemoryBackend, model: Model) -> None:
    report = _check(backend)
    assert report.findings == ()
    assert report.exit_code == 0
    assert (report.models, report.versions) == (1, 3)
    assert report.bytes_read == sum(info.size_bytes for info in backend.list(PACKS))


def test_the_quick_check_reads_no_pack(backend: MemoryBackend, model: Model) -> None:
    assert _check(backend, read_data=False).bytes_read == 0


def test_a_share_of_the_packs_is_drawn_anew_each_time_and_covers_all_in_time(backend: MemoryBackend, model: Model) -> None:
    packs = {info.key: info.size_bytes for info in backend.list(PACKS)}
    smallest = min(packs, key=lambda key: packs[key])
    data = bytearray(backend.get(smallest, length=packs[smallest]))
    data[40] ^= 1
    backend.put(smallest, data)
    codes = set()
    for _ in range(200):
        report = check_registry(backend, read_data=0.00005, progress=NoProgress())
        assert report.bytes_read in packs.values()  # one pack is the least
        assert report.pack_bytes == sum(packs.values())
        codes.add(report.exit_code)
    assert codes == {0, 1}


@pytest.mark.parametrize("share", [-0.1, 1.1, 5, float("nan")])
def test_a_share_is_between_nothing_and_all(backend: MemoryBackend, model: Model, share: float) -> None:
    with pytest.raises(InvalidInputError):
        check_registry(backend, read_data=share, progress=NoProgress())


def test_a_pack_that_holds_only_bases_is_missed(backend: MemoryBackend, tmp_path: Path) -> None:
    """The base of a delta lies in a pack that the version's own rows do not name."""
    create_registry(backend, time_ms=1, who="ana")
    model = _open(backend).model("deltas")
    weights = np.random.default_rng(1).standard_normal(600_000).astype(np.float32)
    for step in range(2):
        np.save(tmp_path / "w.npy", weights + np.float32(1e-6) * step)
        model.commit(tmp_path)
    model.retire("main~1")
    files = VersionFiles(model._stores.objects, model.resolve("main").map)
    (file,) = list_files(model._stores.objects, model.resolve("main").tree)[0]
    (base,) = {located.base.pack for located in files.chunks(file.entry, file.folder) if located.base}
    backend.delete(f"{PACKS}{base.name.hex}")
    report = _check(backend, read_data=False)
    assert report.exit_code == 5
    assert report.findings[0].key == f"{PACKS}{base.name.hex}"


def test_nothing_there_is_not_found() -> None:
    with pytest.raises(NotFoundError, match="no registry"):
        _check(MemoryBackend("empty"))


@pytest.mark.parametrize("read_data", [True, False])
def test_every_missing_object_is_named(backend: MemoryBackend, model: Model, read_data: bool) -> None:
    for key, copy in _copy(backend):
        copy.delete(key)
        report = _check(copy, read_data=read_data)
        assert any(finding.key == key and finding.problem.startswith("missing") for finding in report.findings), key
        assert report.exit_code == (1 if key == "format" or key.startswith((MAPS, TREES)) else 5), (key, report.findings)


def test_every_flipped_byte_is_named(backend: MemoryBackend, model: Model) -> None:
    for key, _ in _copy(backend):
        data = backend.get(key, length=10**9)
        spots = range(len(data)) if len(data) < 300 else [0, 20, 66, 300, len(data) // 2, len(data) - 70, len(data) - 1]
        for spot in spots:
            flipped = bytearray(data)
            flipped[spot] ^= 1 << (spot % 8)
            backend.put(key, flipped)
            report = _check(backend)
            assert any(finding.key == key for finding in report.findings), (key, spot)
            assert report.exit_code in {1, 5}, (key, spot)
        backend.put(key, data)
    assert _check(backend).exit_code == 0


def test_lost_data_names_the_versions_concerned(backend: MemoryBackend, model: Model) -> None:
    first, second, third = (model.resolve(f"main~{steps}").commit.short for steps in (2, 1, 0))
    version = model.show("main").version
    backend.delete(f"{TREES}{version.tree.hex}")
    assert [finding.severity for finding in _check(backend).findings] == [Severity.REPAIRABLE]  # the root map carries it
    backend.delete(f"{MAPS}{version.map.hex}")
    findings = [finding for finding in _check(backend).findings if finding.severity is Severity.LOST]
    assert [finding.versions for finding in findings] == [(f"fraud@{third}",)]
    assert findings[0].key == f"{TREES}{version.tree.hex}"
    backend.delete(f"{COMMITS}{model.resolve('prod').commit.hex}")
    assert {version for finding in _check(backend).findings for version in finding.versions} == {
        f"fraud@{second}", f"fraud@{third}",
    }  # fmt: skip
    assert first not in str(_check(backend).findings)


def test_a_flip_in_a_packs_footer_loses_nothing_and_one_in_a_chunk_does(backend: MemoryBackend, model: Model) -> None:
    key = max(backend.list(PACKS), key=lambda info: info.size_bytes).key
    data = backend.get(key, length=10**9)
    for spot, code in ((8, 1), (len(data) - 1, 1), (1_000_000, 5)):
        flipped = bytearray(data)
        flipped[spot] ^= 1
        backend.put(key, flipped)
        assert _check(backend).exit_code == code
    assert {name.partition("@")[0] for finding in _check(backend).findings for name in finding.versions} == {"fraud"}


def test_a_chunk_that_another_pack_has_is_repairable(backend: MemoryBackend, model: Model, tmp_path: Path) -> None:
    other = _open(backend).model("copy-without-hint")
    for info in list(backend.list(FILES)):
        backend.delete(info.key)
    other.commit(tmp_path / "out")
    packs = {finding.key for finding in _check(backend).findings}
    assert packs == set()
    third = model.diff("main~1", "main")
    assert third.new_bytes > 0
    smallest = min(backend.list(PACKS), key=lambda info: info.size_bytes).key
    backend.delete(smallest)
    assert {finding.key for finding in _check(backend).findings} == {smallest}


def test_the_newest_entry_gone_is_noticed_by_the_hint(backend: MemoryBackend, model: Model) -> None:
    backend.delete(f"{REFS}fraud/0000000003")
    report = _check(backend)
    assert report.exit_code == 5
    assert report.findings[0].key == f"{REFS}fraud/0000000003"


def test_format_comes_back_from_the_catalogue(backend: MemoryBackend, model: Model) -> None:
    backend.delete("format")
    with pytest.raises(NotFoundError):
        _open(backend)
    report = _check(backend)
    assert [(finding.key, finding.severity) for finding in report.findings] == [("format", Severity.REPAIRABLE)]
    backend.delete("catalogue/0000000001")
    with pytest.raises(IntegrityError, match="parameters are lost"):
        _check(backend)


def test_leftovers_of_a_stopped_commit_are_only_noted(backend: MemoryBackend, model: Model) -> None:
    backend.create(f"{PACKS}{'ab' * 32}", b"left over")
    report = _check(backend)
    assert report.exit_code == 0
    assert {finding.severity for finding in report.findings} == {Severity.NOTE}


def test_hints_are_not_authoritative(backend: MemoryBackend, model: Model) -> None:
    for info in list(backend.list("")):
        if info.key.endswith(HINTS) or info.key.startswith(FILES):
            backend.delete(info.key)
    assert _check(backend).exit_code == 0


def test_an_entry_put_far_behind_the_end_does_not_keep_the_check_busy(backend: MemoryBackend, model: Model) -> None:
    far = f"{REFS}fraud/9999999998"
    backend.put(far, backend.get(f"{REFS}fraud/0000000003", length=10**6))
    report = _check(backend)
    assert report.exit_code == 5
    found = {finding.key: finding.problem for finding in report.findings}
    assert "another's place" in found[far]
    assert found[f"{REFS}fraud/0000000004"].startswith("missing")
    assert len(found) < 2000
    assert any("as all up to 9999999997" in problem for problem in found.values())


def test_a_hint_that_can_be_no_entrys_number_costs_nothing(backend: MemoryBackend, model: Model) -> None:
    backend.put(f"{REFS}fraud/HEAD", b"999999999999999")
    report = _check(backend)
    assert report.exit_code == 0
    assert [finding.key for finding in report.findings] == [f"{REFS}fraud/HEAD"]


def test_a_folder_of_another_size_than_the_one_above_says_is_named(backend: MemoryBackend, model: Model) -> None:
    """As a forged commit may have it: every id is right, and no reader lets it pass."""
    objects = ObjectStore(backend)
    version = model.resolve("main")
    entries = objects.read_tree(version.tree).entries
    forged = [replace(entry, size_bytes=entry.size_bytes + 1) if entry.is_folder else entry for entry in entries]
    tree = objects.write_tree(make_tree(forged))
    commit = objects.write_commit(replace(objects.read_commit(version.commit), tree=tree))
    key = f"{REFS}fraud/{version.at:010d}"
    _, entry = decode_entry(backend.get(key, length=10**6))
    assert isinstance(entry.refs, RefTable)
    row = replace(version.row, commit=commit, tree=tree)
    table = entry.refs.with_ref(RefKind.BRANCH, "main", Ref(row, version.at))
    backend.put(key, encode_entry(replace(entry, commit=commit, tree=tree, refs=table)))
    with pytest.raises(IntegrityError, match="the folder above says"):
        model.files("main")
    report = _check(backend)
    assert report.exit_code == 5
    folder = next(entry.id for entry in entries if entry.is_folder)
    assert f"{TREES}{folder.hex}" in {finding.key for finding in report.findings}
