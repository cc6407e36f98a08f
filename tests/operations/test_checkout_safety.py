"""A checkout writes inside its target only, never over edits unasked, and a stopped one goes on."""

import os
import threading
from pathlib import Path

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import LocalEditsError, NotFoundError, RegistryError
from cas_registry.operations.init import create_registry
from cas_registry.registry import Model, registry_over
from cas_registry.settings import Settings


@pytest.fixture
def backend() -> MemoryBackend:
    backend = MemoryBackend()
    create_registry(backend, time_ms=1, who="ana")
    return backend


@pytest.fixture
def model(backend: MemoryBackend, tmp_path: Path) -> Model:
    model = registry_over(backend, Settings(author="ana", cache_folder=tmp_path / "cache")).model("m")
    source = tmp_path / "source"
    (source / "sub" / "deep").mkdir(parents=True)
    (source / "a.txt").write_text("a one")
    (source / "sub" / "b.txt").write_text("b one")
    (source / "sub" / "deep" / "c.txt").write_text("c one")
    model.commit(source, message="one")
    (source / "a.txt").write_text("a two")
    (source / "sub" / "deep" / "c.txt").unlink()
    (source / "sub" / "deep").rmdir()
    (source / "new.txt").write_text("new")
    model.commit(source, message="two")
    return model


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """What nobody may touch."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "b.txt").write_text("victim")
    return folder


def _content(folder: Path) -> dict[str, str]:
    """The files below a folder, links to folders not followed."""
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".reg" not in path.parts
    }


ONE = {"a.txt": "a one", "sub/b.txt": "b one", "sub/deep/c.txt": "c one"}
TWO = {"a.txt": "a two", "new.txt": "new", "sub/b.txt": "b one"}


def test_versions_come_and_go_in_one_folder(model: Model, tmp_path: Path) -> None:
    target = tmp_path / "out"
    assert model.checkout("main~1", target).written == tuple(sorted(ONE))
    report = model.checkout("main", target)
    assert (report.written, report.removed, report.unchanged) == (("a.txt", "new.txt"), ("sub/deep/c.txt",), 1)
    assert _content(target) == TWO
    assert not (target / "sub" / "deep").exists()
    model.checkout("main~1", target)
    assert _content(target) == ONE


def test_files_of_nobody_stay(model: Model, tmp_path: Path) -> None:
    target = tmp_path / "out"
    model.checkout("main~1", target)
    (target / "sub" / "deep" / "mine.txt").write_text("mine")
    model.checkout("main", target)
    assert _content(target) == {**TWO, "sub/deep/mine.txt": "mine"}


def test_edits_are_listed_and_nothing_is_changed(model: Model, tmp_path: Path) -> None:
    target = tmp_path / "out"
    model.checkout("main~1", target)
    (target / "a.txt").write_text("edited")
    (target / "sub" / "deep" / "c.txt").write_text("edited too")
    before = _content(target)
    with pytest.raises(LocalEditsError, match="--force") as caught:
        model.checkout("main", target)
    assert sorted(caught.value.fields["paths"]) == ["a.txt", "sub/deep/c.txt"]
    assert _content(target) == before
    model.checkout("main", target, force=True)
    assert _content(target) == TWO


def test_a_folder_that_holds_something_else_is_not_overwritten(model: Model, tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "a.txt").write_text("precious")
    with pytest.raises(LocalEditsError):
        model.checkout("main", target)
    assert _content(target) == {"a.txt": "precious"}


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_that_is_a_link_leads_nowhere(model: Model, tmp_path: Path, outside: Path, force: bool) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "sub").symlink_to(outside)
    with pytest.raises(LocalEditsError, match="link") as caught:
        model.checkout("main", target, force=force)
    assert caught.value.fields["paths"] == ["sub"]
    assert _content(target) == {}
    assert _content(outside) == {"b.txt": "victim"}


@pytest.mark.parametrize("link", ["symbolic", "hard"])
def test_a_file_that_is_a_link_is_replaced_not_followed(model: Model, tmp_path: Path, outside: Path, link: str) -> None:
    target = tmp_path / "out"
    (target / "sub").mkdir(parents=True)
    if link == "symbolic":
        (target / "sub" / "b.txt").symlink_to(outside / "b.txt")
    else:
        os.link(outside / "b.txt", target / "sub" / "b.txt")
    with pytest.raises(LocalEditsError):
        model.checkout("main", target)
    model.checkout("main", target, force=True)
    assert _content(target) == TWO
    assert not (target / "sub" / "b.txt").is_symlink()
    assert _content(outside) == {"b.txt": "victim"}


def test_a_folder_swapped_for_a_link_meanwhile_leads_nowhere(
    backend: MemoryBackend, model: Model, tmp_path: Path, outside: Path
) -> None:
    stop = threading.Event()
    target = tmp_path / "out"
    (target / "sub").mkdir(parents=True)

    def swap() -> None:
        while not stop.is_set():
            try:
                (target / "sub").rename(target / "aside")
                (target / "sub").symlink_to(outside)
                (target / "sub").unlink()
                (target / "aside").rename(target / "sub")
            except OSError:
                continue

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(60):
            for revision in ("main", "main~1"):
                try:
                    model.checkout(revision, target, force=True, remember=False)
                except RegistryError:
                    continue
    finally:
        stop.set()
        thread.join()
    assert _content(outside) == {"b.txt": "victim"}


def test_a_stopped_checkout_goes_on_and_is_not_taken_for_edits(model: Model, tmp_path: Path) -> None:
    target = tmp_path / "out"
    model.checkout("main~1", target)

    class StopsAfterOneFile:
        def update(self, stage: str, done_bytes: int, total_bytes: int) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.checkout("main", target, progress=StopsAfterOneFile())
    assert _content(target) == {**ONE, "a.txt": "a two"}
    assert not list(target.rglob(".reg-tmp-*"))
    model.checkout("main", target)
    assert _content(target) == TWO
    model.checkout("main~1", target)
    assert _content(target) == ONE


def test_parts_of_a_version(model: Model, tmp_path: Path) -> None:
    model.checkout("main", tmp_path / "folder", paths=["sub"])
    assert _content(tmp_path / "folder") == {"sub/b.txt": "b one"}
    model.checkout("main", tmp_path / "pattern", paths=["*.txt"])
    assert _content(tmp_path / "pattern") == TWO
    with pytest.raises(NotFoundError, match=r"nothing\.bin"):
        model.checkout("main", tmp_path / "none", paths=["nothing.bin"])
    assert not [path for path in (tmp_path / "none").rglob("*") if path.is_file()]
