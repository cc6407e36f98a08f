"""A version with some files replaced, without a checkout."""

from pathlib import Path

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import ConflictError, HostileNameError, NotFoundError
from cas_registry.model.inputs import Input
from cas_registry.model.schema import Column, Schema
from cas_registry.operations.commit import CommitRequest
from cas_registry.operations.edit import edit_version
from cas_registry.operations.progress import NoProgress
from cas_registry.registry import Model
from tests.support.folders import KIB, MIB, File, make_bytes, write_folder
from tests.support.simulated import RoundTripBackend, make_registry, make_world

FILES: dict[str, File | None] = {
    "model.safetensors": File(make_bytes(1, 3 * MIB)),
    "config.json": File(b'{"layers": 2}'),
    "vocab.txt": File(make_bytes(2, 200 * KIB)),
    "empty": File(b""),
    "sub/run.sh": File(b"#!/bin/sh\n", executable=True),
    "sub/deep/notes.txt": File(b"int8"),
    "hollow": None,
}


@pytest.fixture
def backend() -> RoundTripBackend:
    return RoundTripBackend(MemoryBackend("edit"))


@pytest.fixture
def model(backend: RoundTripBackend, tmp_path: Path) -> Model:
    model = make_registry(backend, make_world(tmp_path / "cache")).model("m")
    model.commit(
        write_folder(tmp_path / "work", FILES), message="first", params={"lr": 0.1}, metrics={"auc": 0.9}, labels={"team": "risk"},
        framework={"torch": "2.9"}, inputs=[Input("train", uri="s3://b/k")], schema=Schema((Column("x", "double"),)),
    )  # fmt: skip
    return model


def files_of(model: Model, revision: str) -> dict[str, tuple[bytes, str]]:
    return {
        file.path: (model.read_bytes(revision, file.path) if file.size_bytes else b"", file.mode.value)
        for file in model.files(revision)
    }


def edit(model: Model, files: dict[str, bytes], *, revision: str = "main") -> object:
    request = CommitRequest("m", (), "ana", 1, message="edited")
    return edit_version(model._stores, model.resolve(revision), files, request, clock_ns=lambda: 1, progress=NoProgress())


def test_only_those_files_differ_and_no_byte_of_the_others_is_read(model: Model, backend: RoundTripBackend) -> None:
    before = files_of(model, "main")
    backend.reset()
    report = edit(model, {"config.json": b'{"layers": 3}', "sub/new/README.md": b"new"})
    assert not backend.by_area().get("get packs")
    assert (report.created, report.number, report.new_bytes, report.files_read) == (True, 2, 16, 0)
    assert files_of(model, "main") == {
        **before,
        "config.json": (b'{"layers": 3}', "file"),
        "sub/new/README.md": (b"new", "file"),
    }
    assert [entry.path for entry in model.ls("main") if entry.is_folder] == ["hollow", "sub"]
    assert report.parent == model.resolve("v1").commit


def test_the_registry_is_whole_afterwards(model: Model, tmp_path: Path) -> None:
    edit(model, {"sub/run.sh": b"#!/bin/bash\n"})
    edit(model, {"model.safetensors": make_bytes(9, 2 * MIB)})
    from cas_registry.registry import Registry

    assert Registry(model._stores, model._world).fsck(read_data=True).exit_code == 0
    target = tmp_path / "out"
    model.checkout("main", target)
    assert (target / "vocab.txt").read_bytes() == make_bytes(2, 200 * KIB)
    again = model.commit(target)
    assert again.tree == model.resolve("v3").tree


def test_the_same_bytes_are_nothing_new(model: Model) -> None:
    assert not edit(model, {"config.json": b'{"layers": 2}'}).created
    assert model.resolve("main").number == 1


def test_what_is_executable_stays_so(model: Model) -> None:
    edit(model, {"sub/run.sh": b"#!/bin/bash\n"})
    assert files_of(model, "main")["sub/run.sh"] == (b"#!/bin/bash\n", "exec")


def test_the_branch_must_stand_there_before_anything_is_written(model: Model, backend: RoundTripBackend) -> None:
    edit(model, {"config.json": b"2"})
    backend.reset()
    with pytest.raises(ConflictError, match="stands at"):
        edit(model, {"config.json": b"3"}, revision="v1")
    assert set(backend.requests) == {"get"}
    assert model.resolve("main").number == 2


def test_a_path_that_climbs_is_refused(model: Model) -> None:
    with pytest.raises(HostileNameError):
        edit(model, {"../x": b""})


def test_a_changed_card_is_the_same_model(model: Model) -> None:
    report = model.set_card("main", {"license": "mit"}, message="licensed")
    old, new = model.show("v1").commit, model.show("main").commit
    for field in ("params", "metrics", "labels", "framework", "packages", "environment", "code", "inputs", "schema"):
        assert getattr(new, field) == getattr(old, field), field
    assert (new.message, new.parents, new.author) == ("licensed", (model.resolve("v1").commit,), "tester@bench")
    assert model.card("main").metadata == {"license": "mit"}
    assert report.new_bytes < 100
    model.set_card("main", text="---\ntags: [a]\n---\n# M\n")
    assert (model.card("main").metadata, model.card("main").title) == ({"tags": ["a"]}, "M")
    assert model.show("main").commit.message == "card"
    assert not model.set_card("main", text="---\ntags: [a]\n---\n# M\n").created


def test_a_card_needs_a_branch(model: Model) -> None:
    model.tag("prod", "main")
    with pytest.raises(ConflictError, match="say which one"):
        model.set_card("prod", {"license": "mit"})
    assert model.set_card("prod", {"license": "mit"}, branch="main").number == 2
    with pytest.raises(ConflictError, match="stands at"):
        model.set_card("prod", {"license": "bsd"}, branch="main")
    with pytest.raises(ConflictError, match="stands at nothing"):
        model.set_card("prod", {"license": "bsd"}, branch="other")
    with pytest.raises(NotFoundError):
        model.set_card("nothing", {"license": "bsd"})
