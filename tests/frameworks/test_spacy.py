"""Pipelines of spaCy."""

import json
from pathlib import Path

import pytest

import cas_registry as reg
from cas_registry.errors import InvalidInputError, UnsafeFileError
from tests.frameworks.round_trip import Case, check

pytestmark = pytest.mark.filterwarnings("default")
TEXTS = [
    ("the weather is nice", "good"),
    ("what a bad day", "bad"),
    ("good food and nice people", "good"),
    ("bad service", "bad"),
]


def _trained(seed: int):
    import spacy
    from spacy.training import Example
    from spacy.util import fix_random_seed

    fix_random_seed(seed)
    nlp = spacy.blank("en")
    categories = nlp.add_pipe("textcat")
    for label in ("good", "bad"):
        categories.add_label(label)
    examples = [
        Example.from_dict(nlp.make_doc(text), {"cats": {name: float(name == label) for name in ("good", "bad")}})
        for text, label in TEXTS
    ]
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(3):
        nlp.update(examples, sgd=optimizer)
    return nlp


CASES = (
    Case("spaCy text classifier, other seed", ("spacy",), _trained, lambda nlp: [dict(nlp(text).cats) for text, _ in TEXTS], "spacy", "spacy"),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_round_trip(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


@pytest.fixture
def with_torch():
    """A pipeline of which one component's model is PyTorch's."""
    spacy = pytest.importorskip("spacy")
    torch = pytest.importorskip("torch")
    from spacy.language import Language
    from thinc.api import PyTorchWrapper

    class Part:
        def __init__(self) -> None:
            self.model = PyTorchWrapper(torch.nn.Linear(2, 2))

        def __call__(self, doc):
            return doc

        def to_disk(self, path, exclude=()) -> None:
            Path(path).write_bytes(self.model.to_bytes())

        def from_disk(self, path, exclude=()) -> "Part":
            self.model.from_bytes(Path(path).read_bytes())
            return self

    if not Language.has_factory("tests_torch_part"):
        Language.factory("tests_torch_part", func=lambda nlp, name: Part())
    nlp = spacy.blank("en")
    nlp.add_pipe("tests_torch_part")
    return nlp


def test_pieces_of_pytorch_count_as_pickles(with_torch, tmp_path: Path) -> None:
    model = reg.init(tmp_path / "registry").model("m")
    with pytest.raises(InvalidInputError, match="tests_torch_part"):
        model.save(with_torch)
    model.save(with_torch, allow_pickle=True)
    with pytest.raises(UnsafeFileError):
        model.load()
    assert model.load(allow_pickle=True).pipe_names == ["tests_torch_part"]
    model.checkout("main", tmp_path / "out")
    path = tmp_path / "out" / "cas-model.json"
    manifest = json.loads(path.read_text())
    manifest["objects"]["model"]["format"] = "spacy"
    path.write_text(json.dumps(manifest))
    model.commit(tmp_path / "out")
    with pytest.raises(UnsafeFileError, match="pickles within"):
        model.load()


def test_folder_of_elsewhere_is_recognized(tmp_path: Path) -> None:
    pytest.importorskip("spacy")
    model = reg.init(tmp_path / "registry").model("m")
    nlp = _trained(0)
    nlp.to_disk(tmp_path / "there")
    model.commit(tmp_path / "there")
    assert model.load()("what a nice day").cats == nlp("what a nice day").cats
