"""Notes: what is said of a version later, found again in the log without reading all of it."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.wrappers import CountingBackend
from cas_registry.errors import IntegrityError, InvalidInputError, NotFoundError
from cas_registry.model.entry import Operation, Ref, RefKind, RefTable, VersionRow, decode_entry, encode_entry
from cas_registry.model.ids import CommitId, MapName, TreeId
from cas_registry.model.note import Note
from cas_registry.operations.notes import find_notes, read_notes
from cas_registry.registry import Model, registry_over
from cas_registry.store.layout import entry_key
from cas_registry.store.log import Log
from tests.support.folders import File, write_folder
from tests.support.simulated import HookedBackend, make_registry, make_world


@pytest.fixture
def store() -> MemoryBackend:
    return MemoryBackend("notes")


@pytest.fixture
def model(store: MemoryBackend, tmp_path: Path) -> Model:
    """Two versions by tester@bench."""
    made = make_registry(store).model("m")
    for seed in ("one", "two"):
        made.commit(write_folder(tmp_path / "work", {"c.json": File(seed.encode())}), metrics={"auc": 0.9})
    return made


def _as(store: MemoryBackend, who: str) -> Model:
    return registry_over(store, make_world(author=who)).model("m")


def test_a_note_is_an_entry_that_moves_nothing_and_the_commit_stays_what_it_is(model: Model, store: MemoryBackend) -> None:
    before = (model.resolve("main"), model.branches(), model.show("main").commit)
    report = _as(store, "ana@lab").note("main", "slow on CPU", labels={"owner": "risk"}, metrics={"latency": 12.5})
    assert (report.model, report.number, report.by_author, report.signed_by) == ("m", 2, False, None)
    assert (model.resolve("main"), model.branches(), model.show("main").commit) == before
    head = model._stores.log("m").head()
    assert head is not None
    assert (head.n, head.entry.op, head.entry.notes, head.entry.who, head.entry.why) == (
        3,
        Operation.NOTE,
        1,
        "ana@lab",
        "slow on CPU",
    )
    (note,) = model.notes("main")
    assert note == report.note
    assert (note.n, note.text, note.who, note.commit) == (3, "slow on CPU", "ana@lab", before[0].commit)
    assert (note.labels, note.metrics, note.tag, note.approved) == ({"owner": "risk"}, {"latency": 12.5}, None, None)


def test_notes_are_told_by_version_oldest_first(model: Model) -> None:
    model.note("main", "first")
    model.note("main~1", "of the other")
    model.note("main", "second")
    assert [note.text for note in model.notes("main")] == ["first", "second"]
    assert [note.text for note in model.notes("main~1")] == ["of the other"]
    assert [note.text for note in model.notes()] == ["first", "of the other", "second"]


def test_a_note_that_says_nothing_or_is_about_nothing_is_refused(model: Model) -> None:
    with pytest.raises(InvalidInputError, match="says something"):
        model.note("main")
    with pytest.raises(NotFoundError):
        model.note("nowhere", "x")
    first = model.resolve("main~1").commit.hex
    model.retire(first)
    with pytest.raises(NotFoundError, match="was retired"):
        model.note(first, "too late")
    assert model.notes() == []


def test_approvals_say_whether_the_author_gave_them(model: Model, store: MemoryBackend) -> None:
    assert model.approve("main", "prod").by_author
    report = _as(store, "bob@lab").approve("main", "prod", "checked", refuse=True)
    assert (report.by_author, report.note.tag, report.note.approved, report.note.text) == (False, "prod", False, "checked")


def test_two_who_note_at_once_both_land(model: Model, store: MemoryBackend) -> None:
    left = [lambda: model.note("main", "faster")]

    def hook(method: str, key: str) -> None:
        if method == "create" and key == entry_key("m", 3) and left:
            left.pop()()

    registry_over(HookedBackend(store, hook), make_world()).model("m").note("main", "slower")
    assert [(note.n, note.text) for note in model.notes()] == [(3, "faster"), (4, "slower")]


def test_notes_survive_other_entries_and_are_whole_by_fsck(model: Model, tmp_path: Path) -> None:
    registry = registry_over(model._stores.backend, make_world())
    model.note("main", "kept")
    model.tag("prod", "main")
    model.commit(write_folder(tmp_path / "work", {"c.json": File(b"three")}))
    model.retire("main~2")
    registry.gc(delete=True, grace_s=0, trash_window_s=0)
    model.note("main", "later")
    assert [note.text for note in model.notes()] == ["kept", "later"]
    assert registry.fsck(read_data=True).exit_code == 0


def test_fsck_names_an_entry_that_counts_wrongly(model: Model, store: MemoryBackend) -> None:
    model.note("main", "kept")
    key = entry_key("m", 3)
    _, entry = decode_entry(store.get(key, length=2**20))
    store.put(key, encode_entry(replace(entry, notes=2)))
    findings = registry_over(store, make_world()).fsck().findings
    assert [(finding.key, finding.problem) for finding in findings] == [
        (key, "counts 2 notes, of which 0 came before it: some will not be found")
    ]


def test_a_log_without_notes_is_not_read(model: Model, store: MemoryBackend) -> None:
    counting = CountingBackend(store)
    log = registry_over(counting, make_world())._stores.log("m")
    head = log.head()
    assert head is not None
    before = len(counting.keys)
    assert find_notes(log, head) == []
    assert len(counting.keys) == before


@settings(max_examples=25)
@given(st.lists(st.booleans(), min_size=1, max_size=120), st.data())
def test_notes_are_found_wherever_they_are(pattern: list[bool], data: st.DataObject) -> None:
    """Against reading everything: entries that are notes or not, in any order, after any entry."""
    _, log = _log_of(pattern)
    head = log.head()
    assert head is not None
    after = data.draw(st.integers(0, head.n))
    expected = [n for n, is_note in enumerate([False, *pattern], start=1) if is_note and n > after]
    assert [recorded.n for recorded in find_notes(log, head, after=after)] == expected


def test_few_notes_in_a_long_log_cost_few_reads() -> None:
    store, log = _log_of([number in {700, 1500} for number in range(2000)])
    head = log.head()
    assert head is not None
    counting = CountingBackend(store)
    watched = registry_over(counting, make_world())._stores.log("m")
    before = len(counting.keys)
    assert [recorded.n for recorded in find_notes(watched, head)] == [702, 1502]
    assert len(counting.keys) - before <= 59


def test_a_count_that_does_not_add_up_is_an_error_not_a_note_less() -> None:
    store, log = _log_of([True, False, True])
    key = entry_key("m", 4)
    _, entry = decode_entry(store.get(key, length=2**20))
    store.put(key, encode_entry(replace(entry, notes=3)))
    head = log.head()
    assert head is not None
    with pytest.raises(IntegrityError, match="counts 3 notes"):
        find_notes(log, head)


def test_reading_notes_of_a_model_without_versions_finds_none(store: MemoryBackend) -> None:
    assert read_notes(make_registry(store)._stores, "nobody") == []


def _log_of(pattern: list[bool]) -> tuple[MemoryBackend, Log]:
    """A log whose entry 1 is a commit, and after it notes and moves of a tag."""
    store = MemoryBackend("log")
    stores = make_registry(store)._stores
    refs = stores.refs("m")
    row = VersionRow(CommitId.of(b"c"), 1, 1, TreeId.of(b"t"), MapName.of(b"m"))
    table = RefTable().with_ref(RefKind.BRANCH, "main", Ref(row, 1))
    told = {"registry": stores.format.registry, "time_ms": 1, "who": "w", "why": ""}
    entry = replace(refs.next_entry(None, table, **told), commit=row.commit, tree=row.tree, map=row.map, versions=1)
    head = refs.log.append(entry)
    for is_note in pattern:
        entry = refs.next_entry(head, table, **told)
        if is_note:
            entry = replace(entry, op=Operation.NOTE, note=Note(row.commit, {"a": 1}), notes=entry.notes + 1)
        head = refs.log.append(entry)
    refs.log.write_hint(len(pattern) + 1)
    return store, refs.log
