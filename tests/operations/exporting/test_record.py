"""`cas-version.json`: everything that is known of a version, and no secret."""

import json

import blake3

from cas_registry.model.inputs import Input
from cas_registry.model.schema import Column, Schema
from cas_registry.operations.exporting.record import clean, moment
from tests.operations.exporting.bench import Bench, files

SECRET = "hunter2SECRETabcdefghijkl"


def test_it_tells_what_the_registry_knows(bench: Bench) -> None:
    bench.two_versions()
    bench.model.commit(
        bench.work, allow_empty=True, capture=False, schema=Schema((Column("x", "double"),), (Column(None, "float32", (None, 3)),)),
        inputs={"base": "fraud@v1"}, metrics={"auc": 0.93, "nan": float("nan")}, tags=["prod"], message="third",
    )  # fmt: skip
    bench.model.export("prod", bench.place / "out", metadata=True)
    found = json.loads((bench.place / "out" / "cas-version.json").read_text())
    version = bench.model.resolve("prod")
    assert (found["model"], found["number"], found["commit"]) == ("fraud", 3, version.commit.hex)
    assert (found["tags"], found["message"], found["author"]) == (["prod"], "third", "tester@bench")
    assert found["metrics"] == {"auc": 0.93, "nan": "NaN"}
    assert found["inputs"][0]["commit"] == bench.model.resolve("v1").commit.hex
    assert found["schema"]["outputs"] == [{"name": None, "dtype": "float32", "shape": [None, 3]}]
    by_path = {file["path"]: file for file in found["files"]}
    for path, file in files(2).items():
        if file:
            row = by_path[path]
            assert (row["size_bytes"], row["executable"]) == (len(file.data), file.executable)
            assert row["blake3"] == blake3.blake3(file.data).hexdigest()


def test_no_secret_leaves_with_an_export(bench: Bench) -> None:
    bench.commit(
        {"a.txt": files(1)["config.json"]},
        message=f"from https://ada:{SECRET}@host/data",
        labels={"password": SECRET, "note": f"token={SECRET}"},
        params={"source": f"s3://AKIAABCDEFGHIJKLMNOP:{SECRET}@bucket/x"},
        inputs=[Input("train", uri=f"https://ada:{SECRET}@host/train.csv")],  # made by hand: what people write is refused
    )
    bench.model.export("main", bench.place / "out", metadata=True)
    bench.model.export("main", bench.place / "out.tar", metadata=True)
    bench.model.export("main", bench.place / "layout", format="oci", metadata=True)
    written = [path for path in bench.place.rglob("*") if path.is_file() and not path.is_relative_to(bench.work)]
    assert len(written) > 6
    for path in written:
        if path.is_relative_to(bench.place / "cache"):
            continue
        assert SECRET.encode() not in path.read_bytes(), path
    assert b'"note"' in (bench.place / "out" / "cas-version.json").read_bytes()


def test_values_that_json_has_not_become_text() -> None:
    assert clean({"a": [float("inf"), -float("inf")], "b": 1, "c": None, "d": True}) == {
        "a": ["Infinity", "-Infinity"],
        "b": 1,
        "c": None,
        "d": True,
    }
    assert moment(10**17) is None
