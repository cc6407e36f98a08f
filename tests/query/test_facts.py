"""What a condition knows a version by."""

from cas_registry.model.commit import Commit
from cas_registry.model.entry import CommitStats
from cas_registry.model.ids import CommitId, TreeId
from cas_registry.model.inputs import Input
from cas_registry.model.note import Note
from cas_registry.query.facts import amended, input_texts, version_facts

BASE = CommitId(b"\x01" * 32)
COMMIT = Commit(
    TreeId(b"\x02" * 32), (), "ana", 7, "first", "fraud", 0,
    params={"lr": 0.1}, metrics={"auc": 0.9}, labels={"state": "new", "odd": None}, inputs=(Input("base", model="bert", commit=BASE),),
)  # fmt: skip


def test_facts_are_those_of_the_commit_the_log_and_the_refs() -> None:
    facts = version_facts(
        CommitId(b"\x03" * 32), COMMIT, model="fraud", number=3, stats=CommitStats(2, 100, 60, 50), tags=("b", "a")
    )
    assert facts == {
        "model": "fraud",
        "number": 3,
        "commit": "03" * 32,
        "author": "ana",
        "message": "first",
        "time": 7,
        "tag": ("a", "b"),
        "branch": (),
        "input": ("base", f"bert@{'01' * 32}"),
        "size": 100,
        "stored": 50,
        "files": 2,
        "params.lr": 0.1,
        "metrics.auc": 0.9,
        "labels.state": "new",
        "labels.odd": None,
    }


def test_notes_count_in_their_order() -> None:
    first = Note(BASE, labels={"state": "good", "by": "bob"}, metrics={"auc": 0.8, "latency": 3})
    second = Note(BASE, labels={"by": None}, metrics={"latency": 2})
    facts = version_facts(BASE, COMMIT, model="fraud", number=3, notes=(first, second))
    assert {name: value for name, value in facts.items() if name.startswith(("labels", "metrics"))} == {
        "labels.state": "good",
        "labels.odd": None,
        "metrics.auc": 0.8,
        "metrics.latency": 2,
    }
    assert amended("params", COMMIT.params, first) is COMMIT.params
    assert "files" not in facts


def test_an_input_elsewhere_is_found_by_its_name_its_uri_and_its_digest() -> None:
    assert input_texts(Input("train", "s3://data/train", "sha256:ab")) == ("train", "s3://data/train", "sha256:ab")
    assert input_texts(Input("train", "s3://data/train")) == ("train", "s3://data/train")
