"""What MLflow loads a version by: told by its own word, by names and first bytes, or not at all."""

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from cas_registry.errors import InvalidInputError
from cas_registry.model.manifest import MANIFEST, Manifest, SavedObject, encode_manifest
from cas_registry.operations.exporting.mlflow_flavors import Told, tell_flavor

UBJ = b"{L\x00\x00\x00\x00\x00\x00\x00\x07learner{"
TOKENIZER = {"tokenizer_config.json": b"{}", "tokenizer.json": b"{}"}
BERT = {"config.json": b'{"architectures": ["BertForSequenceClassification"]}', "model.safetensors": b"\x00" * 8}


def archive(**members: object) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as opened:
        for name, value in members.items():
            opened.writestr(f"{name}.json", json.dumps(value))
    return written.getvalue()


def tell(files: Mapping[str, bytes], **objects: SavedObject) -> Told:
    held = {**files, **({MANIFEST: encode_manifest(Manifest(objects))} if objects else {})}
    opener: Callable[[str], Any] = lambda path: io.BytesIO(held[path])  # noqa: E731 - short
    return tell_flavor(held, opener)


def saved(adapter: str, format_: str, *files: str, **more: Any) -> SavedObject:
    return SavedObject(adapter, "some.Kind", format_, files, **more)


@pytest.mark.parametrize(
    ("files", "objects", "expected"),
    [
        ({"m.cbm": b"CBM1...."}, {}, {"model_type": "CatBoost", "save_format": "cbm", "data": "m.cbm"}),
        (
            {"model.cbm": b"CBM1...."},
            {"model": saved("catboost", "cbm", "model.cbm", details={"class": "CatBoostClassifier"})},
            {"model_type": "CatBoostClassifier"},
        ),
        (
            {"model.cbm": b"CBM1...."},
            {"model": saved("catboost", "cbm", "model.cbm", details={"class": "os.system"})},
            {"model_type": "CatBoost"},
        ),
        (
            {"model.ubj": UBJ},
            {"model": saved("xgboost", "ubj", "model.ubj", details={"estimator": "XGBClassifier"})},
            {"model_class": "xgboost.sklearn.XGBClassifier", "model_format": "ubj"},
        ),
        (
            {"model.ubj": UBJ},
            {"model": saved("xgboost", "ubj", "model.ubj", details={"estimator": "evil"})},
            {"model_class": "xgboost.core.Booster"},
        ),
        ({"model.keras": archive(config={"class_name": "Dense", "module": "keras"})}, {}, {"data": "model"}),
        (
            {"m.skops": archive(schema={"__module__": "sklearn.tree._tree", "__class__": "Tree", "content": [{"__module__": "os", "__class__": "System"}]})},
            {},
            {"skops_trusted_types": ["sklearn.tree._tree.Tree"], "pickled_model": "m.skops"},
        ),
        ({"model.pt2": b"PK\x03\x04"}, {}, {"model_data": ".", "pytorch_version": "unknown"}),
        ({**BERT, **TOKENIZER}, {}, {"task": "text-classification", "model_binary": ".", "tokenizer_type": "AutoTokenizer"}),
        (
            {f"{folder}/{name}": data for folder, held in (("model", BERT), ("words", TOKENIZER)) for name, data in held.items()},
            {
                "model": saved("transformers", "safetensors", *BERT, folder="model"),
                "words": saved("transformers", "json", *TOKENIZER, folder="words"),
            },
            {"model_binary": "model", "components": ["tokenizer"]},
        ),
    ],
)  # fmt: skip
def test_a_flavor_is_told(files: Mapping[str, bytes], objects: Mapping[str, SavedObject], expected: Mapping[str, Any]) -> None:
    told = tell(files, **objects)
    assert {name: told.entry[name] for name in expected} == expected
    if told.flavor.name == "transformers":
        assert set(told.made) >= {f"components/tokenizer/{name}" for name in TOKENIZER}


@pytest.mark.parametrize(
    ("files", "objects", "reason"),
    [
        ({"model.skops": archive(schema=[])}, {"model": saved("scikit-learn", "skops", "model.skops", trust=("a.B",))}, "a.B"),
        ({"model.joblib": b"\x80"}, {"model": saved("scikit-learn", "joblib", "model.joblib", needs_pickle=True)}, "joblib"),
        ({"model.cbm": b"\x80\x04"}, {"model": saved("catboost", "cbm", "model.cbm")}, "is not what cas-model.json says"),
        ({}, {"model": saved("catboost", "cbm", "model.cbm")}, "names files that this version has not"),
        (
            {"a/m": b"", "b/m": b""},
            {"a": saved("catboost", "cbm", "m", folder="a"), "b": saved("shap", "x", "m", folder="b")},
            "a, b",
        ),
        (
            {"model.safetensors": b""},
            {"model": saved("pytorch", "safetensors", "model.safetensors")},
            "MLflow loads PyTorch from",
        ),
        ({"model.keras": archive(config={"class_name": "Lambda", "module": "keras.layers"})}, {}, "brings code"),
        ({"model.keras": b"PK\x03\x04 and nothing more"}, {}, "not what its name says"),
        ({"m.skops": b"PK\x03\x04 and nothing more"}, {}, "not what its name says"),
        ({"model.pt2": b"PK\x03\x04", "model.pth": b""}, {}, "reads model.pt2"),
        ({"other.pt2": b"PK\x03\x04"}, {}, "reads model.pt2"),
        ({"model/MLmodel": b"", "notes/x": b""}, {}, "is its folder model: export"),
        (BERT, {}, "neither tokenizer nor image processor"),
        ({**BERT, **TOKENIZER, "model.bin": b""}, {}, "weights as pickles"),
        ({**BERT, **TOKENIZER, "config.json": b'{"architectures": ["X"], "auto_map": {}}'}, {}, "brings code of its own"),
        ({**BERT, **TOKENIZER, "tokenizer_config.json": b'{"auto_map": {}}'}, {}, "its tokenizer brings code"),
        ({**BERT, **TOKENIZER, "config.json": b'{"architectures": ["../x"]}'}, {}, "names no class"),
        ({**BERT, **TOKENIZER, "config.json": b"[" * 100_000}, {}, "no JSON object"),
        ({**BERT, **TOKENIZER, "config.json": b'{"architectures": ["Unheard"]}'}, {}, "no task is known for a Unheard"),
    ],
)
def test_what_mlflow_would_not_load_or_would_run_is_refused_with_the_reason(
    files: Mapping[str, bytes], objects: Mapping[str, SavedObject], reason: str
) -> None:
    with pytest.raises(InvalidInputError, match=reason):
        tell(files, **objects)
