"""The life of a commit: what it reads, writes and asks of the store, what it refuses, and what it says afterwards."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import (
    AccessError,
    ConflictError,
    HostileNameError,
    InvalidInputError,
    LimitError,
    NotFoundError,
    RegistryError,
)
from cas_registry.model.entry import RefKind
from cas_registry.model.inputs import Input
from cas_registry.operations.commit import DELTAS
from cas_registry.operations.storing import Delta
from cas_registry.registry import Model, Registry
from cas_registry.worktree.stat_cache import StatCache
from tests.support.folders import KIB, MIB, File, make_bytes, read_folder, write_folder
from tests.support.simulated import Clock, OpenedFiles, RoundTripBackend, make_registry, make_world, objects_of

MAX_REQUESTS_NOTHING_NEW = 4
MAX_REQUESTS_ONE_FILE = 12  # besides packs


@dataclass
class Bench:
    """A registry in memory whose requests are counted, and a model with a folder to commit."""

    store: MemoryBackend
    backend: RoundTripBackend
    registry: Registry
    work: Path
    home: Path

    @property
    def model(self) -> Model:
        return self.registry.model("m")

    def commit(self, **more: object) -> object:
        return self.model.commit(self.work, **more)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    store = MemoryBackend("bench")
    backend = RoundTripBackend(store)
    registry = make_registry(backend, make_world(tmp_path / "cache"))
    work = write_folder(tmp_path / "work", _model_folder())
    return Bench(store, backend, registry, work, tmp_path)


def _model_folder() -> dict[str, File | None]:
    return {
        "model.safetensors": File(make_bytes(1, 3 * MIB)),
        "config.json": File(b'{"hidden_size": 384}'),
        "vocab.txt": File(make_bytes(2, 200 * KIB)),
        "1_Pooling/config.json": File(b'{"pooling": "mean"}'),
        "onnx/quantized/deep/model.onnx": File(make_bytes(3, MIB + 5)),
        "onnx/quantized/deep/notes.txt": File(b"int8"),
        "run.sh": File(b"#!/bin/sh\n", executable=True),
    }


# What it asks of the store


def test_a_commit_of_the_same_folder_reads_no_file_and_writes_nothing(bench: Bench) -> None:
    first = bench.model.commit(bench.work)
    before = objects_of(bench.store)
    bench.backend.reset()
    with OpenedFiles(bench.work) as opened:
        again = bench.model.commit(bench.work)
    assert opened.paths == []
    assert not again.created
    assert (again.commit, again.number, again.files_read, again.packs) == (first.commit, 1, 0, 0)
    assert set(bench.backend.requests) == {"get"}
    assert bench.backend.requests.total() <= MAX_REQUESTS_NOTHING_NEW, bench.backend.by_area()
    assert objects_of(bench.store) == before


def test_watching_for_opened_files_sees_the_first_commit_read_them(bench: Bench) -> None:
    with OpenedFiles(bench.work) as opened:
        report = bench.model.commit(bench.work)
    assert report.files_read == len(_model_folder())
    assert set(opened.paths) == set(_model_folder())


def test_the_same_folder_is_nothing_new_after_a_tag_moved(bench: Bench) -> None:
    bench.model.commit(bench.work)
    for reason in range(5):
        bench.model.tag("prod", "main", reason=str(reason))
        bench.model.delete_tag("prod")
    bench.backend.reset()
    assert not bench.model.commit(bench.work).created
    assert set(bench.backend.requests) == {"get"}
    assert bench.backend.requests.total() <= MAX_REQUESTS_NOTHING_NEW, bench.backend.by_area()


def test_an_unchanged_folder_costs_no_thought_of_any_file(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file is looked up and no cache written; a branch that stands elsewhere is told from it all the same."""
    bench.model.commit(bench.work)
    (bench.work / "config.json").write_bytes(b"{}")
    bench.model.commit(bench.work, branch="other")
    old = bench.work.stat()
    monkeypatch.setattr(StatCache, "look_up", lambda *_: pytest.fail("a file was looked up"))
    monkeypatch.setattr(StatCache, "save", lambda *_: pytest.fail("the cache was written"))
    report = bench.model.commit(bench.work, branch="other")
    assert (report.created, report.files, report.files_read) == (False, len(_model_folder()), 0)
    assert bench.work.stat() == old
    monkeypatch.undo()
    assert bench.model.commit(bench.work).created
    assert bench.model.commit(bench.work, allow_empty=True).created
    with pytest.raises(ConflictError):
        bench.model.commit(bench.work, expect="main~1")


def test_the_words_for_deltas_are_those_of_placing(bench: Bench) -> None:
    assert tuple(Delta) == DELTAS
    with pytest.raises(InvalidInputError, match="choose one of auto, never, always"):
        bench.model.commit(bench.work, delta="sometimes")


def test_the_same_folder_without_a_stat_cache_is_read_but_nothing_is_written(bench: Bench) -> None:
    bench.model.commit(bench.work)
    forgetful = Registry(bench.registry._stores, make_world(None))
    bench.backend.reset()
    report = forgetful.model("m").commit(bench.work)
    assert not report.created
    assert report.files_read == len(_model_folder())
    assert set(bench.backend.requests) == {"get"}


def _nothing_between(_: Bench) -> None:
    pass


def _prod_moved(bench: Bench) -> None:
    bench.model.tag("prod", "main", reason="moved in between")


@pytest.mark.parametrize("between", [_nothing_between, _prod_moved])
@pytest.mark.parametrize("path", ["config.json", "1_Pooling/config.json", "onnx/quantized/deep/notes.txt"])
def test_one_changed_small_file_costs_a_dozen_requests_besides_the_pack(
    bench: Bench, path: str, between: Callable[[Bench], None]
) -> None:
    bench.model.commit(bench.work)
    between(bench)
    (bench.work / path).write_bytes(b"changed")
    bench.backend.reset()
    with OpenedFiles(bench.work) as opened:
        report = bench.model.commit(bench.work)
    assert report.created
    assert set(opened.paths) == {path}
    assert (report.files_read, report.packs, report.new_bytes) == (1, 1, 7)
    assert bench.backend.requests_besides("packs/") <= MAX_REQUESTS_ONE_FILE, bench.backend.by_area()
    assert bench.backend.requests["list"] == 0


def test_commit_resolve_and_checkout_list_nothing(bench: Bench) -> None:
    bench.model.commit(bench.work, tags=["prod"])
    (bench.work / "config.json").write_bytes(b"changed")
    bench.model.commit(bench.work, branch="main")
    for revision in ("main", "prod", "main~1", "main@{1}", "main@{2100-01-01}"):
        bench.model.resolve(revision)
    bench.model.checkout("prod", bench.home / "out")
    bench.model.checkout("main", bench.home / "out")
    bench.model.read_bytes("main", "config.json")
    bench.model.diff("prod", "main")
    bench.model.log("main")
    assert bench.backend.requests["list"] == 0


def test_a_large_file_changed_in_the_middle_stores_what_is_around_the_change(bench: Bench) -> None:
    bench.model.commit(bench.work)
    data = make_bytes(1, 3 * MIB)
    (bench.work / "model.safetensors").write_bytes(data[:MIB] + b"inserted" + data[MIB:])
    report = bench.model.commit(bench.work)
    assert 8 < report.new_bytes <= 3 * 256 * KIB
    assert report.reused_bytes == report.raw_bytes - report.new_bytes
    assert bench.model.read_bytes("main", "model.safetensors") == data[:MIB] + b"inserted" + data[MIB:]


# What it says and records


def test_the_report_and_the_log_agree_on_what_a_commit_cost(bench: Bench) -> None:
    report = bench.model.commit(bench.work)
    (record,) = bench.model.log("main")
    assert record.stats is not None
    assert (record.stats.files, record.stats.raw_bytes, record.stats.new_bytes, record.stats.stored_bytes) == (
        report.files, report.raw_bytes, report.new_bytes, report.stored_bytes,
    )  # fmt: skip
    packs = {key: data for key, data in objects_of(bench.store).items() if key.startswith("packs/")}
    assert report.stored_bytes == sum(len(data) for data in packs.values())
    assert report.packs == len(packs) == 1
    assert report.raw_bytes == report.new_bytes == sum(len(file.data) for file in _model_folder().values() if file)


def test_everything_said_of_a_commit_can_be_read_again(bench: Bench) -> None:
    params = {"lr": 1e-4, "layers": 6, "name": "tiny — größer", "frozen": True, "seed": None}
    metrics = {"auc": 0.93, "loss": float("inf"), "steps": 2**53}
    bench.model.commit(
        bench.work,
        message="first\n\nwith a second line",
        params=params,
        metrics=metrics,
        framework={"torch": "2.9"},
        inputs=[Input("train", uri="s3://data/train@v3")],
        author="ada",
    )
    commit = bench.model.show("main").commit
    assert (commit.message, commit.author, commit.params, commit.metrics) == (
        "first\n\nwith a second line",
        "ada",
        params,
        metrics,
    )
    assert (commit.framework, commit.inputs, commit.parents) == (
        {"torch": "2.9"},
        (Input("train", uri="s3://data/train@v3"),),
        (),
    )


def test_the_author_and_the_time_come_from_the_world(bench: Bench) -> None:
    clock = Clock(ahead_ns=0, frozen_ns=1_750_000_000_123_456_789)
    registry = Registry(bench.registry._stores, make_world(None, author="grace@host", clock=clock))
    registry.model("m").commit(bench.work)
    commit = registry.model("m").show("main").commit
    assert (commit.author, commit.time_ms) == ("grace@host", 1_750_000_000_123)


def test_tags_move_in_the_same_entry_as_the_branch(bench: Bench) -> None:
    bench.backend.reset()
    report = bench.model.commit(bench.work, tags=["prod", "r1"])
    assert report.tags == ("prod", "r1")
    assert [key for method, key in bench.backend.keys if method == "create" and key.startswith("refs/")] == [
        "refs/m/0000000001"
    ]
    assert {tag.name: tag.commit for tag in bench.model.tags()} == {"prod": report.commit, "r1": report.commit}


def test_tags_move_even_where_the_folder_holds_nothing_new(bench: Bench) -> None:
    first = bench.model.commit(bench.work)
    report = bench.model.commit(bench.work, tags=["prod"], message="ship it")
    assert not report.created
    assert bench.model.resolve("prod").commit == first.commit
    assert bench.model.history(RefKind.TAG, "prod")[0].why == "ship it"


def test_allow_empty_makes_a_commit_of_the_same_tree(bench: Bench) -> None:
    first = bench.model.commit(bench.work)
    second = bench.model.commit(bench.work, allow_empty=True, message="again")
    assert second.created
    assert (second.parent, second.number, second.packs, second.new_bytes) == (first.commit, 2, 0, 0)
    assert bench.model.resolve("main").tree == bench.model.resolve("main~1").tree


def test_a_changed_permission_is_a_new_version_without_new_bytes(bench: Bench) -> None:
    bench.model.commit(bench.work)
    (bench.work / "config.json").chmod(0o755)
    report = bench.model.commit(bench.work)
    assert report.created
    assert (report.new_bytes, report.packs) == (0, 0)
    bench.model.checkout("main", bench.home / "out")
    assert read_folder(bench.home / "out") == read_folder(bench.work)


def test_a_renamed_folder_stores_no_data(bench: Bench) -> None:
    bench.model.commit(bench.work)
    (bench.work / "onnx").rename(bench.work / "exported")
    report = bench.model.commit(bench.work)
    assert (report.created, report.new_bytes, report.packs) == (True, 0, 0)
    assert bench.model.read_bytes("main", "exported/quantized/deep/model.onnx") == make_bytes(3, MIB + 5)


def test_several_paths_go_in_under_their_own_names(bench: Bench) -> None:
    bench.model.commit([bench.work / "onnx", bench.work / "config.json"])
    assert [info.path for info in bench.model.files("main")] == [
        "config.json",
        "onnx/quantized/deep/model.onnx",
        "onnx/quantized/deep/notes.txt",
    ]


def test_one_file_alone_is_a_version(bench: Bench) -> None:
    bench.model.commit(bench.work / "config.json")
    assert [info.path for info in bench.model.files("main")] == ["config.json"]


def test_an_emptied_folder_is_a_version_too(bench: Bench) -> None:
    bench.model.commit(bench.work)
    empty = bench.home / "empty"
    empty.mkdir()
    assert bench.model.commit(empty).created
    assert bench.model.files("main") == []


# What it refuses


def test_a_first_commit_of_nothing_is_refused_and_leaves_no_model(bench: Bench) -> None:
    empty = bench.home / "empty"
    empty.mkdir()
    with pytest.raises(InvalidInputError, match="holds no files"):
        bench.model.commit(empty)
    assert bench.registry.models() == []


def test_expect_lets_a_commit_through_only_where_the_branch_stands_there(bench: Bench) -> None:
    first = bench.model.commit(bench.work)
    (bench.work / "config.json").write_bytes(b"2")
    second = bench.model.commit(bench.work, expect=first.commit.hex)
    (bench.work / "config.json").write_bytes(b"3")
    with pytest.raises(ConflictError) as caught:
        bench.model.commit(bench.work, expect="main~1")
    assert caught.value.fields == {"expected": first.commit.hex, "actual": second.commit.hex}
    assert bench.model.resolve("main").commit == second.commit


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"branch": "../up"}, HostileNameError),
        ({"branch": "-rf"}, HostileNameError),
        ({"branch": "a@{1}"}, HostileNameError),
        ({"branch": "0" * 64}, HostileNameError),
        ({"tags": ["CON"]}, HostileNameError),
        ({"tags": ["main"]}, ConflictError),
        ({"params": {"x": object()}}, InvalidInputError),
        ({"params": {"": 1}}, InvalidInputError),
        ({"metrics": {"x": 2**64}}, LimitError),
        ({"message": "m" * 70_000}, LimitError),
        ({"author": "a" * 2_000}, LimitError),
        ({"message": "\ud800"}, InvalidInputError),
        ({"base": "nothing"}, NotFoundError),
    ],
)
def test_what_cannot_be_stored_is_refused_and_nothing_moves(
    bench: Bench, more: dict[str, object], error: type[RegistryError]
) -> None:
    first = bench.model.commit(bench.work)
    (bench.work / "config.json").write_bytes(b"2")
    with pytest.raises(error):
        bench.model.commit(bench.work, **more)
    assert bench.model.resolve("main").commit == first.commit
    assert len(bench.model.log("main")) == 1


def test_a_branch_cannot_have_the_name_of_a_tag(bench: Bench) -> None:
    bench.model.commit(bench.work, tags=["prod"])
    with pytest.raises(ConflictError, match="is a tag"):
        bench.model.commit(bench.work, branch="prod")


def test_a_deleted_tag_frees_its_name_for_a_branch(bench: Bench) -> None:
    bench.model.commit(bench.work, tags=["prod"])
    bench.model.delete_tag("prod")
    assert bench.model.commit(bench.work, branch="prod").created


def test_a_path_that_is_not_there_is_named(bench: Bench) -> None:
    with pytest.raises(NotFoundError, match="no such folder does not exist"):
        bench.model.commit(bench.work / "no such folder")


def test_a_file_that_may_not_be_read_is_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    real_open = Path.open

    def refuse(self: Path, *arguments: object, **more: object) -> object:
        if self.name == "config.json":
            raise PermissionError(13, "Permission denied")
        return real_open(self, *arguments, **more)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(AccessError, match=r"config\.json: Permission denied"):
        bench.model.commit(bench.work)
    assert bench.registry.models() == []
