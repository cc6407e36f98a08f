"""What is kept of a remote registry: asked for once, never believed, and never where a log ends."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.wrappers import CountingBackend
from cas_registry.errors import IntegrityError, RollbackError
from cas_registry.model.entry import RefKind
from cas_registry.registry import Registry, registry_over
from cas_registry.store.kept import may_be_kept
from tests.support.far import Far
from tests.support.folders import File, write_folder
from tests.support.simulated import FarBackend, make_registry, make_world, memory_with, objects_of


@pytest.fixture
def far(tmp_path: Path) -> Far:
    return Far(tmp_path)


QUESTIONS: dict[str, Callable[[Registry], object]] = {
    "log": lambda registry: registry.model("fraud").log("main"),
    "show": lambda registry: registry.model("fraud").show("prod"),
    "ls": lambda registry: registry.model("fraud").files("prod"),
    "diff": lambda registry: registry.model("fraud").diff("prod", "main"),
    "compare": lambda registry: registry.model("fraud").compare("prod", "main"),
    "history": lambda registry: registry.model("fraud").history(RefKind.TAG, "prod"),
    "number": lambda registry: registry.model("fraud").resolve("v2"),
    "ancestor": lambda registry: registry.model("fraud").resolve("main~3"),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_second_time_only_the_ends_of_logs_are_asked_for(far: Far, name: str) -> None:
    ask = QUESTIONS[name]
    first = ask(far.open())
    found: list[object] = []
    asked = far.asked(lambda: found.append(ask(far.open())))
    assert found == [first]
    ends = {"format", "refs/fraud/HEAD", "refs/fraud/0000000006", "refs/fraud/0000000007"}
    assert set(asked) <= ends, asked


def test_a_second_checkout_fetches_nothing(far: Far, tmp_path: Path) -> None:
    far.open().model("fraud").checkout("prod", tmp_path / "one")
    asked = far.asked(lambda: far.open().model("fraud").checkout("prod", tmp_path / "two"))
    assert not [key for key in asked if key.startswith(("packs/", "maps/", "trees/", "commits/"))]
    assert (tmp_path / "two/a.json").read_bytes() == b"2"
    assert (tmp_path / "two/sub/b.bin").read_bytes() == bytes([2]) * 2_000_000


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "other"])
def test_what_is_damaged_here_is_fetched_again(far: Far, damage: str) -> None:
    answers = {name: ask(far.open()) for name, ask in QUESTIONS.items()}
    kept = far.kept()
    assert {path.parts[-2] if path.parent.name != far.registry_id else path.name for path in kept} >= {
        "commits", "trees", "maps", "fraud", "format",
    }  # fmt: skip
    contents = [path.read_bytes() for path in kept]
    for path, data, other in zip(kept, contents, contents[1:] + contents[:1], strict=True):
        changed = {"flip": bytes([data[0] ^ 1]) + data[1:], "cut": data[:-1], "empty": b"", "other": other}[damage]
        path.write_bytes(changed)
    assert {name: ask(far.open()) for name, ask in QUESTIONS.items()} == answers
    assert [path.read_bytes() for path in kept] == contents


def test_a_bucket_that_was_set_back_is_seen_though_all_of_it_is_kept(far: Far) -> None:
    before = objects_of(far.memory)
    earlier = {key: data for key, data in before.items() if key not in {"refs/fraud/0000000005", "refs/fraud/0000000006"}}
    earlier["refs/fraud/HEAD"] = b"4"
    registry = far.open(state="state")
    registry.model("fraud").log("main")
    far.store = CountingBackend(FarBackend(memory_with(earlier, "far")))
    with pytest.raises(RollbackError, match="ends with entry 4 now"):
        far.open(state="state").model("fraud").log("main")
    assert len(far.open().model("fraud").log("main")) == 4, "who does not remember is told what the store says"


@pytest.mark.parametrize("more", [1, 2, 3, 6])
def test_what_was_kept_of_a_log_that_was_replaced_is_forgotten(far: Far, more: int) -> None:
    """The bucket is put back to a backup, and others go on from there, while nobody here looks."""
    far.open().model("fraud").log("main")
    far.open().model("fraud").history(RefKind.TAG, "prod")
    backup = {
        key: data
        for key, data in objects_of(far.memory).items()
        if key not in {"refs/fraud/0000000005", "refs/fraud/0000000006"}
    }
    far.memory = memory_with({**backup, "refs/fraud/HEAD": b"4"}, "far")
    far.store = CountingBackend(FarBackend(far.memory))
    writer = registry_over(far.memory, make_world()).model("fraud")
    for number in range(more):
        write_folder(far.folder / "work", {"a.json": File(b"other %d" % number)})
        writer.commit(far.folder / "work", message=f"other {number}")
    expected = writer.log("main")
    assert far.open().model("fraud").log("main") == expected
    assert far.offline().model("fraud").log("main") == expected
    assert far.open("empty").model("fraud").log("main") == expected


def test_a_log_that_went_on_is_proven_by_one_request(far: Far) -> None:
    far.open().model("fraud").log("main")
    writer = registry_over(far.memory, make_world()).model("fraud")
    for number in range(3):
        writer.tag("next", f"v{number + 1}")
    asked = far.asked(lambda: far.open().model("fraud").resolve("prod"))
    assert sorted(asked) == sorted(
        ["format", "refs/fraud/HEAD", "refs/fraud/0000000009", "refs/fraud/0000000010", "refs/fraud/0000000006"]
    )
    assert far.asked(lambda: far.open().model("fraud").resolve("prod")) == asked[:4]


def test_a_registry_made_anew_at_the_same_place_is_another_one(far: Far) -> None:
    far.open().model("fraud").log("main")
    anew = MemoryBackend("far")
    make_registry(anew)
    far.store = CountingBackend(FarBackend(anew))
    assert far.open().model_names() == []


def test_who_writes_reads_nothing_that_is_kept(far: Far) -> None:
    """A map that a collection has deleted may be kept here: what a writer names must be there."""
    registry = far.open()
    for ask in QUESTIONS.values():
        ask(registry)
    registry.model("fraud").files("v1")
    root = registry.model("fraud").resolve("v1").map
    far.memory.delete(f"maps/{root.hex}")
    stores = registry._stores
    with pytest.raises(IntegrityError, match="missing"):
        stores.objects.read_map(root)
    assert stores.reading.objects.read_map(root)


def test_checks_of_the_store_are_not_answered_from_here(far: Far) -> None:
    registry = far.open()
    registry.model("fraud").log("main")
    commit = registry.model("fraud").resolve("prod").commit
    far.memory.delete(f"commits/{commit.hex}")
    assert registry.model("fraud").show("prod")
    assert registry.fsck().exit_code


def test_what_may_be_kept_never_changes() -> None:
    kept = (
        "format", "catalogue/0000000001", "refs/fraud/0000000017", "releases/x/0000000001", f"commits/{'a' * 64}", f"trees/{'a' * 64}",
        f"maps/{'a' * 64}", f"signatures/{'a' * 64}/{'b' * 64}",
    )  # fmt: skip
    others = (
        "catalogue/HEAD", "refs/fraud/HEAD", "releases/x/HEAD", f"packs/{'a' * 64}", f"files/{'a' * 64}", "gc/0000000001/done",
        f"quarantine/commits/{'a' * 64}", "refs/fraud/17",
    )  # fmt: skip
    assert all(map(may_be_kept, kept))
    assert not any(map(may_be_kept, others))


def test_a_folder_and_memory_are_not_kept(tmp_path: Path) -> None:
    registry = make_registry(MemoryBackend("near"), make_world(tmp_path / "cache"))
    assert registry._stores.reading is registry._stores
    assert not (tmp_path / "cache" / "objects").exists()
