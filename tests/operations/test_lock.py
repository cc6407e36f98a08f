"""Lock files of versions, and checkouts by them."""

from pathlib import Path

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import ConflictError, InvalidInputError, NotFoundError
from cas_registry.model.lockfile import LOCK_NAME
from cas_registry.registry import Model, verify_folder
from tests.support.folders import File, make_bytes, read_folder, write_folder
from tests.support.simulated import HookedBackend, make_registry

BASE = {"model.bin": File(make_bytes(1, 1_500_000)), "sub/run.sh": File(b"#!", executable=True), "empty": None}


class Bench:
    def __init__(self, folder: Path) -> None:
        self.work = folder / "work"
        self.out = folder / "out"
        self.lock = folder / "reg.lock"
        self.store = MemoryBackend()
        self.registry = make_registry(self.store)
        self.first = self.commit(BASE)
        self.model.tag("prod", "main")

    @property
    def model(self) -> Model:
        return self.registry.model("fraud")

    def commit(self, files, model: str = "fraud") -> str:
        write_folder(self.work, files)
        return self.registry.model(model).commit(self.work).commit.hex


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_locked_version_is_checked_out_again_wherever_its_tag_went(bench: Bench) -> None:
    lock = bench.registry.lock(["fraud@prod"], path=bench.lock)
    assert [(version.model, version.revision, version.id.hex, version.number) for version in lock.versions] == [
        ("fraud", "prod", bench.first, 1)
    ]
    bench.commit({**BASE, "model.bin": File(b"other")})
    bench.model.tag("prod", "main")
    report = bench.model.checkout("prod", bench.out, lock=bench.lock)
    assert report.version.commit.hex == bench.first
    assert {path: file for path, file in read_folder(bench.out).items() if not path.startswith(".reg")} == BASE
    bench.model.checkout(f"fraud@{bench.first[:10]}", bench.out, lock=bench.lock)


def test_a_checkout_by_a_lock_refuses_what_is_not_that_version(bench: Bench) -> None:
    bench.registry.lock(["fraud@prod"], path=bench.lock)
    with pytest.raises(NotFoundError, match=r"says nothing of fraud@main; it has: fraud@prod"):
        bench.model.checkout("main", bench.out, lock=bench.lock)
    with pytest.raises(ConflictError, match="is another one"):
        make_registry(MemoryBackend()).model("fraud").checkout("prod", bench.out, lock=bench.lock)
    bench.commit({"x": File(b"x")})
    bench.model.tag("prod", "main")
    bench.model.retire(bench.first)
    with pytest.raises(NotFoundError, match="retired"):
        bench.model.checkout("prod", bench.out, lock=bench.lock)
    with pytest.raises(NotFoundError, match="reg lock writes one"):
        bench.model.checkout("prod", bench.out, lock=bench.lock.with_name("none"))
    bench.lock.write_text(bench.lock.read_text().replace('"number": 1', '"number": "1"'))
    with pytest.raises(InvalidInputError, match="damaged"):
        bench.model.checkout("prod", bench.out, lock=bench.lock)
    assert not bench.out.exists()


def test_a_whole_release_is_locked(bench: Bench) -> None:
    bench.commit({"r": File(b"r")}, "ranker")
    bench.registry.release("live", {"fraud": "prod", "ranker": "main"})
    lock = bench.registry.lock(["release:live", "release:live/fraud", "fraud@main"], path=bench.lock)
    assert [(version.model, version.revision) for version in lock.versions] == [
        ("fraud", "release:live/fraud"), ("ranker", "release:live/ranker"), ("fraud", "main"),
    ]  # fmt: skip
    bench.registry.model("ranker").checkout("release:live/ranker", bench.out, lock=bench.lock)
    with pytest.raises(InvalidInputError, match="several versions"):
        verify_folder(bench.out, lock=bench.lock)
    assert verify_folder(bench.out, lock=bench.lock, model="ranker").holds
    for wrong in ([], ["main"], ["fraud@main:model.bin"]):
        with pytest.raises(InvalidInputError):
            bench.registry.lock(wrong)


def test_secrets_of_the_url_stay_out_of_a_lock_file(bench: Bench) -> None:
    from dataclasses import replace

    from cas_registry.operations.lock import make_lock

    class Secretive(HookedBackend):
        url = "s3://key:hunter2@host/bucket"

    stores = replace(bench.registry._stores, backend=Secretive(bench.store, lambda *_: None))
    assert "hunter2" not in make_lock(stores, [("prod", bench.model.resolve("prod"))]).url
    assert LOCK_NAME == "reg.lock"
