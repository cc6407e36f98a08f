"""Making a registry: once, on a store that is fit, and whole even when it was stopped half-way."""

from pathlib import Path

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.wrappers import CountingBackend
from cas_registry.errors import AlreadyExistsError, BackendError, InvalidInputError, NotFoundError
from cas_registry.operations.init import create_registry
from cas_registry.registry import registry_over
from cas_registry.settings import Settings
from cas_registry.store.stores import open_stores
from tests.support.servers import S3Server


def _create(backend: MemoryBackend, **options: object) -> str:
    return create_registry(backend, time_ms=5, who="ana", **options).format.registry


def test_a_registry_is_made_once() -> None:
    backend = MemoryBackend()
    identity = _create(backend)
    with pytest.raises(AlreadyExistsError):
        _create(backend)
    assert open_stores(backend).format.registry == identity


def test_an_init_that_was_stopped_before_format_is_finished_by_the_next() -> None:
    backend = MemoryBackend()
    identity = _create(backend)
    backend.delete("format")
    with pytest.raises(NotFoundError):
        open_stores(backend)
    assert _create(backend) == identity
    assert open_stores(backend).format.registry == identity


def test_one_begun_with_other_parameters_is_not_taken_over() -> None:
    backend = MemoryBackend()
    _create(backend, chunk_bytes=128 * 1024)
    backend.delete("format")
    with pytest.raises(AlreadyExistsError, match="other parameters"):
        _create(backend)


def test_chunk_sizes_outside_the_range_are_refused_before_anything_is_written() -> None:
    backend = CountingBackend(MemoryBackend())
    for chunk_bytes in (0, 1000, 2048, 8 * 1024 * 1024):
        with pytest.raises(InvalidInputError, match="power of two"):
            create_registry(backend, time_ms=5, who="ana", chunk_bytes=chunk_bytes)
    assert not backend.requests


def test_a_store_that_ignores_conditions_is_refused_unless_one_process_writes(rclone_server: S3Server) -> None:
    from cas_registry.backends.opening import open_backend

    bucket = rclone_server.make_bucket("conditions")
    backend = open_backend(f"s3://{bucket}/registry", rclone_server.storage_options)
    with pytest.raises(BackendError, match="--single-writer"):
        create_registry(backend, time_ms=5, who="ana")
    with pytest.raises(NotFoundError):
        open_stores(backend)
    stores = create_registry(backend, time_ms=5, who="ana", single_writer=True)
    assert stores.format.single_writer


def test_a_new_branch_starts_a_history_of_its_own_and_stores_nothing_twice(tmp_path: Path) -> None:
    backend = MemoryBackend()
    _create(backend)
    model = registry_over(backend, Settings(author="ana", cache_folder=None)).model("m")
    (tmp_path / "a.txt").write_text("small")
    model.commit(tmp_path)
    report = model.commit(tmp_path, branch="experiment")
    assert (report.created, report.parent, report.new_bytes, report.packs) == (True, None, 0, 0)
    model.branch("from-main", "main")
    (tmp_path / "a.txt").write_text("other")
    assert model.commit(tmp_path, branch="from-main").parent == model.resolve("main").commit


def test_a_pack_that_holds_only_a_recipe_is_named_by_the_versions_root(tmp_path: Path) -> None:
    backend = MemoryBackend()
    _create(backend)
    model = registry_over(backend, Settings(author="ana", cache_folder=None)).model("m")
    noise = Path(__file__).read_bytes() * 400  # over 1 MiB, with chunks that repeat
    (tmp_path / "a.bin").write_bytes(noise)
    model.commit(tmp_path)
    (tmp_path / "a.bin").write_bytes(noise + noise)
    report = model.commit(tmp_path)
    stores = open_stores(backend)
    root, _ = stores.objects.read_map(model.resolve("main").map)
    named = {pack.name.hex for pack in root.packs}
    assert report.packs == 1
    assert {info.key.partition("/")[2] for info in backend.list("packs/")} == named
