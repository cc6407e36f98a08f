"""Model cards: front matter and prose."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cas_registry as reg
from cas_registry.errors import InvalidInputError, NotFoundError
from cas_registry.operations.card import MAX_CARD_BYTES, MAX_FRONT_MATTER_BYTES, field_value, parse_card, set_fields, template
from cas_registry.operations.yaml_text import dump_yaml
from tests.support.folders import File, write_folder

# As it stands on the hub, with a comment.
BERT = """---
language: en
tags:
- exbert
license: apache-2.0  # as the code
datasets:
- bookcorpus
- wikipedia

# results of others
model-index:
- name: bert
  results: []
---

# BERT base model (uncased)

Pretrained on English.
"""
FIELDS = st.dictionaries(
    st.text(min_size=1, max_size=12),
    st.recursive(st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=12), lambda inner: st.lists(inner, max_size=3), max_leaves=5),
    max_size=5,
)  # fmt: skip


def test_metadata_and_prose() -> None:
    card = parse_card(BERT, "README.md")
    assert card.metadata["language"] == "en"
    assert card.metadata["datasets"] == ["bookcorpus", "wikipedia"]
    assert card.metadata["model-index"] == [{"name": "bert", "results": []}]
    assert card.text.startswith("# BERT base model")
    assert (card.title, card.path, card.problem) == ("BERT base model (uncased)", "README.md", None)


@pytest.mark.parametrize("source", ["", "# Title\n", "text\n---\na: 1\n---\n", " ---\na: 1\n---\n", "----\na: 1\n----\n"])
def test_without_front_matter_all_is_prose(source: str) -> None:
    card = parse_card(source, "README.md")
    assert (card.metadata, card.text, card.problem) == ({}, source, None)


@pytest.mark.parametrize("source", ["---\n---\n", "---\n---", "---\r\na: 1\r\n---\r\nx", "---  \na: 1\n--- \n\n\nx"])
def test_front_matter_may_be_empty_or_of_windows(source: str) -> None:
    card = parse_card(source, "README.md")
    assert (card.metadata, card.text, card.problem) == ({"a": 1} if "a" in source else {}, "x" if "x" in source else "", None)


@pytest.mark.parametrize(
    ("head", "problem"),
    [
        ("a: [", "is not YAML"),
        ("- a\n- b", "holds no names"),
        ("just text", "holds no names"),
        ("a: &a [*a]", "stands for nothing"),
        ("a: !!python/object/apply:os.system [id]", "is not YAML"),
        ("[" * 40 + "]" * 40, "nested"),
        ("a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1 if n else chr(0)}'] * 10)}]\n".replace("*a\x00", "*a") for n in range(6)), "values"),
        ("a: " + "x" * MAX_FRONT_MATTER_BYTES, "longer than"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_shown_as_it_stands(head: str, problem: str) -> None:
    source = f"---\n{head}\n---\ntext\n"
    card = parse_card(source, "README.md")
    assert (card.metadata, card.text) == ({}, source)
    assert problem in (card.problem or "")
    with pytest.raises(InvalidInputError, match="--edit"):
        set_fields(source, {"license": "mit"})


def test_front_matter_without_an_end_is_said_to_be_so() -> None:
    assert parse_card("---\na: 1\ntext", "README.md").problem == "its front matter has no end"
    with pytest.raises(InvalidInputError, match="no end"):
        set_fields("---\na: 1\ntext", {"b": 1})


@given(FIELDS, st.text())
def test_what_is_set_is_read_and_the_prose_stays(fields: dict[str, object], prose: str) -> None:
    source = set_fields(f"\n{prose}", fields)
    card = parse_card(source, "README.md")
    assert card.problem is None
    assert card.metadata == fields
    assert source.endswith(prose)


@given(FIELDS, FIELDS)
def test_fields_change_and_others_stay(before: dict[str, object], changes: dict[str, object]) -> None:
    source = set_fields(f"---\n{dump_yaml(before) if before else ''}---\n\nprose\n", changes)
    assert parse_card(source, "README.md").metadata == {**before, **changes}
    gone = set_fields(source, dict.fromkeys(changes))
    assert parse_card(gone, "README.md").metadata == {name: value for name, value in before.items() if name not in changes}


@given(st.text())
def test_any_file_is_a_card(source: str) -> None:
    for text in (source, f"---\n{source}\n---\n"):
        parse_card(text, "README.md")


def test_the_lines_of_other_fields_stay_as_they_are() -> None:
    changed = set_fields(BERT, {"tags": ["fill-mask"], "library_name": "transformers", "language": None})
    assert changed == BERT.replace("language: en\n", "").replace("- exbert", "- fill-mask").replace(
        "  results: []\n", "  results: []\nlibrary_name: transformers\n"
    )
    flow = set_fields("---\n{license: mit, tags: [a]}\n---\n", {"license": "bsd"})
    assert parse_card(flow, "README.md").metadata == {"license": "bsd", "tags": ["a"]}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("license", "mit", "mit"), ("tags", "a,b", ["a", "b"]), ("tags", "a", ["a"]), ("license", "", None), ("inference", "false", False),
        ("x", "0.5", 0.5), ("x", "a: b", "a: b"), ("x", "[1]", "[1]"), ("version", "1.2.3", "1.2.3"), ("x", "no", "no"),
    ],
)  # fmt: skip
def test_values_as_they_are_typed(name: str, text: str, value: object) -> None:
    assert field_value(name, text) == value


def test_the_template_can_be_filled_in() -> None:
    card = parse_card(template("fraud"), "README.md")
    assert {"license", "language", "tags", "datasets", "base_model", "pipeline_tag", "model-index"} <= card.metadata.keys()
    assert card.title == "fraud"
    assert parse_card(set_fields(template("fraud"), {"tags": ["x"]}), "README.md").metadata["tags"] == ["x"]


def test_the_card_of_a_version(tmp_path) -> None:
    model = reg.init(tmp_path / "registry").model("m")
    model.commit(write_folder(tmp_path / "a", {"x": File(b"x"), "sub/README.md": File(b"---\na: 1\n---\n")}))
    with pytest.raises(NotFoundError, match=r"has no MODEL_CARD\.md or README\.md"):
        model.card("main")
    assert model.card_source("main") == ("README.md", template("m"))
    model.commit(write_folder(tmp_path / "b", {"README.md": File(BERT.encode())}))
    assert model.card("main").title == "BERT base model (uncased)"
    assert model.card_source("main") == ("README.md", BERT)
    model.commit(write_folder(tmp_path / "c", {"README.md": File(b"# one"), "MODEL_CARD.md": File(b"# two \xff")}))
    assert model.card("main").path == "MODEL_CARD.md"
    assert model.card("main").title == "two \ufffd"


@pytest.mark.parametrize("data", [b"# \xff", b"# " + b"x" * MAX_CARD_BYTES])
def test_a_card_that_cannot_be_read_whole_is_not_changed(tmp_path, data: bytes) -> None:
    model = reg.init(tmp_path / "registry").model("m")
    model.commit(write_folder(tmp_path / "a", {"README.md": File(data)}))
    assert model.card("main").title
    with pytest.raises(InvalidInputError, match="check it out"):
        model.set_card("main", {"license": "mit"})
    assert model.resolve("main").number == 1
