"""Folders proven to hold one version, by their files and one id."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import ChangedDuringCommitError, InvalidInputError, NotFoundError
from cas_registry.operations import prove
from cas_registry.registry import registry_over, verify_folder
from tests.operations.test_lock import Bench
from tests.support.folders import folders, write_folder
from tests.support.simulated import HookedBackend, make_registry, make_world


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


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


def test_a_folder_that_does_not_hold_still_proves_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = bench.model.resolve("prod").tree.hex
    hashed = prove.hash_file

    def meddle(file):
        identity = hashed(file)
        (bench.work / "late.txt").write_text("x")
        return identity

    monkeypatch.setattr(prove, "hash_file", meddle)
    with pytest.raises(ChangedDuringCommitError) as refusal:
        verify_folder(bench.work, tree)
    assert refusal.value.fields["paths"] == ["late.txt"]
