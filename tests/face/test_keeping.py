"""Working without the store: on what was looked at, and on what was fetched."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import InvalidInputError, NotFoundError, OfflineError, RegistryError
from cas_registry.model.entry import RefKind
from cas_registry.model.ids import FileId
from cas_registry.registry import Registry
from tests.support.far import Far
from tests.support.folders import File, write_folder
from tests.support.simulated import make_registry, make_world

B = bytes([2]) * 2_000_000


@pytest.fixture
def far(tmp_path: Path) -> Far:
    return Far(tmp_path)


LOOKS: dict[str, Callable[[Registry], object]] = {
    "log": lambda registry: registry.model("fraud").log("main"),
    "show": lambda registry: registry.model("fraud").show("prod"),
    "ls": lambda registry: registry.model("fraud").ls("prod:sub"),
    "files": lambda registry: registry.model("fraud").files("prod"),
    "diff": lambda registry: registry.model("fraud").diff("prod", "main"),
    "compare": lambda registry: registry.model("fraud").compare("prod", "main"),
    "blame": lambda registry: registry.model("fraud").blame("main"),
    "tags": lambda registry: registry.model("fraud").tags(),
    "history": lambda registry: registry.model("fraud").history(RefKind.TAG, "prod"),
    "models": lambda registry: registry.models(),
    "search": lambda registry: registry.search("metrics.auc > 0.1").rows,
    "lineage": lambda registry: registry.model("fraud").lineage("prod"),
}


@pytest.mark.parametrize("name", LOOKS)
def test_what_was_looked_at_once_is_answered_without_the_store(far: Far, name: str) -> None:
    look = LOOKS[name]
    online = look(far.open())
    found: list[object] = []
    assert far.asked(lambda: found.append(look(far.offline()))) == []
    assert found == [online]


def test_a_version_that_was_checked_out_is_checked_out_without_the_store(far: Far, tmp_path: Path) -> None:
    far.open().model("fraud").checkout("prod", tmp_path / "one")
    offline = far.offline()
    report = offline.model("fraud").checkout("prod", tmp_path / "two")
    assert (report.cached_bytes, report.fetched_bytes) == (2_000_001, 0)
    assert (tmp_path / "two/a.json").read_bytes() == b"2"
    assert (tmp_path / "two/sub/b.bin").read_bytes() == B
    assert offline.model("fraud").read_bytes("prod:a.json") == b"2"
    with offline.model("fraud").open("prod:sub/b.bin") as file:
        file.seek(-3, io.SEEK_END)
        assert file.read() == B[-3:]
    assert offline.model("fraud").status(tmp_path / "two", "prod").is_clean


def test_a_fetched_version_is_all_here(far: Far, tmp_path: Path) -> None:
    report = far.open().model("fraud").fetch("prod")
    assert (report.files, report.size_bytes, report.cached_bytes, report.left_out) == (2, 2_000_001, 0, ())
    assert report.fetched_bytes
    again = far.open().model("fraud").fetch("prod")
    assert (again.cached_bytes, again.fetched_bytes) == (2_000_001, 0)
    for name in ("show", "ls", "files", "tags"):
        LOOKS[name](far.offline())
    assert len(far.offline().model("fraud").log("prod")) == 3
    assert far.offline().model_names() == ["fraud"]
    far.offline().model("fraud").checkout("prod", tmp_path / "out")
    assert (tmp_path / "out/sub/b.bin").read_bytes() == B
    assert not list((tmp_path / "cache").glob("fetch-*"))


def test_a_part_of_a_version_is_fetched(far: Far, tmp_path: Path) -> None:
    assert far.open().model("fraud").fetch("prod", paths=["a.json"]).size_bytes == 1
    far.offline().model("fraud").checkout("prod", tmp_path / "out", paths=["a.json"])
    with pytest.raises(OfflineError, match=r"does not have sub/b\.bin; nothing was written") as caught:
        far.offline().model("fraud").checkout("prod", tmp_path / "whole")
    assert caught.value.fields["missing"] == ["sub/b.bin"]
    assert not (tmp_path / "whole").exists() or not list((tmp_path / "whole").iterdir())


def test_a_damaged_file_of_the_cache_is_fetched_again(far: Far, tmp_path: Path) -> None:
    far.open().model("fraud").fetch("prod")
    path = tmp_path / "cache/files" / FileId.of(B).hex[:2] / FileId.of(B).hex
    path.chmod(0o600)
    path.write_bytes(bytes(2_000_000))
    with pytest.raises(OfflineError):
        far.offline().model("fraud").read_bytes("prod:sub/b.bin")
    report = far.open().model("fraud").fetch("prod")
    assert report.fetched_bytes
    assert far.offline().model("fraud").read_bytes("prod:sub/b.bin") == B


def test_files_for_which_there_is_no_room_are_named(far: Far) -> None:
    registry = far.open()
    object.__setattr__(registry._world, "cache_bytes", 1_000_000)
    assert registry.model("fraud").fetch("prod").left_out == ("sub/b.bin",)


WRITES: dict[str, Callable[[Registry, Path], object]] = {
    "commit": lambda registry, folder: registry.model("fraud").commit(folder),
    "tag": lambda registry, _: registry.model("fraud").tag("prod", "main"),
    "delete": lambda registry, _: registry.model("fraud").delete_tag("prod"),
    "note": lambda registry, _: registry.model("fraud").note("prod", "text"),
    "retire": lambda registry, _: registry.model("fraud").retire("main~1"),
    "release": lambda registry, _: registry.release("all", {"fraud": "prod"}),
    "policy": lambda registry, _: registry.set_policy(None),
    "gc": lambda registry, _: registry.gc(),
    "fsck": lambda registry, _: registry.fsck(),
    "repair": lambda registry, _: registry.repair(),
    "repack": lambda registry, _: registry.repack(),
    "stats": lambda registry, _: registry.stats(),
    "du": lambda registry, _: registry.model("fraud").du("prod"),
}


@pytest.mark.parametrize("name", WRITES)
def test_what_writes_or_looks_after_the_store_is_refused(far: Far, tmp_path: Path, name: str) -> None:
    for look in LOOKS.values():
        look(far.open())
    asked: list[str] = []

    def act() -> None:
        with pytest.raises(OfflineError, match="run it without --offline"):
            WRITES[name](far.offline(), tmp_path / "work")

    asked += far.asked(act)
    assert asked == []
    assert not {method for method, _ in far.store.keys} & {"create", "put", "delete", "list", "stat"}


def test_what_is_missing_is_said_by_name(far: Far) -> None:
    with pytest.raises(OfflineError, match="never read the registry at s3://far/away"):
        far.offline()
    far.open()
    with pytest.raises(OfflineError, match="the log refs/fraud of s3://far/away was never read on this machine"):
        far.offline().model("fraud").show("prod")
    with pytest.raises(OfflineError, match="the list of models"):
        far.offline().model_names()
    version = far.open().model("fraud").resolve("prod")
    with pytest.raises(OfflineError, match=f"commits/{version.commit.hex} of .* is not on this machine") as caught:
        far.offline().model("fraud").show("prod")
    assert caught.value.fields["missing"] == f"commits/{version.commit.hex}"
    with pytest.raises(NotFoundError, match="no index of"):
        far.offline().search()
    with pytest.raises(NotFoundError, match="has no tag, branch or commit"):
        far.offline().model("fraud").resolve("nothing")


def test_a_log_ends_where_it_was_seen_last(far: Far) -> None:
    far.open().model("fraud").log("main")
    write_folder(far.folder / "work", {"a.json": File(b"newer")})
    far.open().model("fraud").commit(far.folder / "work")
    offline = far.offline()
    assert offline.as_of_ms is None
    assert offline.model("fraud").resolve("main").number == 5
    assert offline.as_of_ms is not None
    assert abs(offline.as_of_ms - offline._world.clock_ns() // 1_000_000) < 600_000
    assert far.open().model("fraud").resolve("main").number == 6
    assert far.offline().model("fraud").resolve("main").number == 6


def test_a_log_that_was_set_back_and_accepted_ends_there(far: Far) -> None:
    far.open().model("fraud").log("main")
    for number in (5, 6):
        far.memory.delete(f"refs/fraud/{number:010d}")
    far.memory.put("refs/fraud/HEAD", b"4")
    far.open().model("fraud").resolve("main")
    assert far.offline().model("fraud").resolve("main").number == 4


def test_abbreviated_ids_are_looked_for_here(far: Far) -> None:
    commit = far.open().model("fraud").log("main")[1].id
    assert far.offline().model("fraud").resolve(commit.hex[:10]).commit == commit


def test_a_registry_that_is_here_is_not_fetched(tmp_path: Path) -> None:
    model = make_registry(MemoryBackend("near"), make_world(tmp_path / "cache")).model("fraud")
    with pytest.raises(InvalidInputError, match="on this machine already"):
        model.fetch("prod")


def test_where_nothing_is_kept_nothing_is_fetched_and_offline_says_so(far: Far) -> None:
    registry = far.open("none")
    object.__setattr__(registry._world, "cache_bytes", 0)
    with pytest.raises(InvalidInputError, match="no cache"):
        registry.model("fraud").fetch("prod")


def told(look: Callable[[], object]) -> object:
    try:
        return look()
    except RegistryError as error:
        return error


def test_whatever_is_lost_here_is_said_by_name_or_answered_right(far: Far) -> None:
    """Each object that is kept, taken away in turn: the right answer, or an error of ours that says what to do."""
    expected = {name: look(far.open()) for name, look in LOOKS.items()}
    for path in far.kept():
        data = path.read_bytes()
        path.unlink()
        for name in ("log", "show", "diff", "files"):
            answer = told(lambda look=LOOKS[name]: look(far.offline()))
            assert answer == expected[name] or (isinstance(answer, OfflineError) and "without --offline" in answer.message)
        path.write_bytes(data)
    assert {name: look(far.offline()) for name, look in LOOKS.items()} == expected
