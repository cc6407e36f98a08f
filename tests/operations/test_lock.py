"""Lock files of versions, checkouts by them, and folders proven without any registry."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import ConflictError, InvalidInputError, NotFoundError
from cas_registry.model.lockfile import LOCK_NAME
from cas_registry.registry import Model, registry_over, verify_folder
from tests.support.folders import File, folders, make_bytes, read_folder, write_folder
from tests.support.simulated import HookedBackend, make_registry, make_world

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


def test_a_checkout_by_a_lock_is_proven_by_its_id_alone(bench: Bench) -> None:
    """No registry, no lock file beside: the folder itself keeps the commit's bytes, and the id is all that is trusted."""
    bench.registry.lock(["fraud@prod"], path=bench.lock)
    bench.model.checkout("prod", bench.out, lock=bench.lock)
    image = bench.out.rename(bench.out.with_name("image"))
    tree = bench.model.resolve("prod").tree.hex
    for identity in (bench.first, tree):
        proof = verify_folder(image, identity)
        assert (proof.holds, proof.listed, proof.files, proof.size_bytes) == (True, True, 2, 1_500_002)
    shutil.rmtree(image / ".reg")
    assert verify_folder(image, tree).holds
    assert verify_folder(image, bench.first, lock=bench.lock).holds
    assert not verify_folder(image, bench.first).holds, "nobody knows that commit's tree: it is taken for a tree"
    with pytest.raises(InvalidInputError, match="all 64 hex digits"):
        verify_folder(image, bench.first[:12])
    with pytest.raises(InvalidInputError, match="which version"):
        verify_folder(image)
    with pytest.raises(NotFoundError):
        verify_folder(image / "nothing", tree)


def _edit(folder: Path) -> dict[str, object]:
    """What may be done to a folder, and where it shows."""
    model = folder / "model.bin"

    def flip() -> None:
        data = bytearray(model.read_bytes())
        data[700_000] ^= 1
        status = model.stat()
        model.write_bytes(data)
        os.utime(model, ns=(status.st_atime_ns, status.st_mtime_ns))

    def ignore() -> None:
        (folder / ".regignore").write_text("*.so\n")
        (folder / "evil.so").write_bytes(b"x")

    return {
        "flip": (flip, "changed", "model.bin"),
        "mode": (lambda: model.chmod(0o755), "changed", "model.bin"),
        "remove": (model.unlink, "removed", "model.bin"),
        "add": (lambda: (folder / "sub" / "new").write_bytes(b""), "added", "sub/new"),
        "ignored": (ignore, "added", "evil.so"),
        "git": ((folder / ".git").mkdir, "extra", ".git: no version holds that name"),
        "hidden": ((folder / "sub" / ".reg").mkdir, "extra", "sub/.reg: no version holds that name"),
        "link": (
            lambda: (folder / "link").symlink_to("/etc"),
            "extra",
            "link: a link to a folder (links to files are followed)",
        ),
        "folder": ((folder / "more").mkdir, None, None),
        "unfolder": ((folder / "empty").rmdir, None, None),
        "case": (lambda: (folder / "MODEL.bin").write_bytes(b""), "added", "MODEL.bin"),
    }


@pytest.mark.parametrize("how", sorted(_edit(Path())))
def test_whatever_is_changed_in_a_folder_shows(bench: Bench, how: str) -> None:
    bench.registry.lock(["fraud@prod"], path=bench.lock)
    bench.model.checkout("prod", bench.out, lock=bench.lock)
    do, where, what = _edit(bench.out)[how]  # type: ignore[misc]
    do()
    proof = verify_folder(bench.out, bench.first)
    assert not proof.holds
    if where:
        assert what in getattr(proof, where)
    assert not verify_folder(bench.out, bench.model.resolve("prod").tree.hex).holds


@settings(max_examples=15)
@given(folder=folders())
def test_the_tree_of_a_folder_is_the_one_that_a_commit_has(tmp_path_factory: pytest.TempPathFactory, folder) -> None:
    work = write_folder(tmp_path_factory.mktemp("prove") / "work", folder)
    model = make_registry(MemoryBackend()).model("m")
    report = model.commit(work, allow_empty=True)
    assert verify_folder(work, report.tree.hex).holds


def test_proving_asks_no_store(bench: Bench) -> None:
    def refuse(method: str, key: str) -> None:
        raise AssertionError(f"{method} {key}")

    bench.registry.lock(["fraud@prod"], path=bench.lock)
    bench.model.checkout("prod", bench.out, lock=bench.lock)
    registry_over(bench.store, make_world())
    bench.registry = registry_over(bench.store, make_world())
    bench.registry._stores.objects._backend = HookedBackend(bench.store, refuse)  # whoever asks, fails
    assert verify_folder(bench.out, bench.first).holds


def test_secrets_of_the_url_stay_out_of_a_lock_file(bench: Bench) -> None:
    from dataclasses import replace

    from cas_registry.operations.lock import make_lock

    class Secretive(HookedBackend):
        url = "s3://key:hunter2@host/bucket"

    stores = replace(bench.registry._stores, backend=Secretive(bench.store, lambda *_: None))
    assert "hunter2" not in make_lock(stores, [("prod", bench.model.resolve("prod"))]).url
    assert LOCK_NAME == "reg.lock"
