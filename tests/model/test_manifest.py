"""`cas-model.json`: what is written is read again, and nothing else is believed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.errors import FormatError, InvalidInputError, LimitError, UnsupportedFormatError
from cas_registry.model import manifest as module
from cas_registry.model.manifest import Manifest, SavedObject, decode_manifest, encode_manifest

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True).filter(lambda name: name not in {"con", "prn", "aux", "nul"})
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8)
OBJECTS = st.builds(
    SavedObject,
    adapter=TEXT,
    kind=TEXT,
    format=TEXT,
    files=st.lists(NAMES, min_size=1, max_size=3).map(tuple),
    needs_pickle=st.booleans(),
    folder=st.just("") | NAMES,
    details=st.dictionaries(TEXT, SCALARS, max_size=3),
    trust=st.lists(TEXT, max_size=2).map(tuple),
    versions=st.dictionaries(TEXT, TEXT, max_size=3),
)
MANIFESTS = st.builds(
    Manifest,
    st.dictionaries(NAMES, OBJECTS, max_size=3),
    st.dictionaries(TEXT, JSON, max_size=3),
    st.dictionaries(TEXT, JSON, max_size=3),
)
ONE = SavedObject("scikit-learn", "sklearn.X", "skops", ("model.skops",))


def changed(**fields: object) -> bytes:
    """A manifest of one object in which these fields are others."""
    value = json.loads(encode_manifest(Manifest({"model": ONE})))
    value["objects"]["model"] |= fields
    return json.dumps(value).encode()


@given(MANIFESTS)
def test_what_is_written_is_read_again(manifest: Manifest) -> None:
    assert decode_manifest(encode_manifest(manifest)) == manifest


@given(MANIFESTS)
def test_one_manifest_has_one_spelling(manifest: Manifest) -> None:
    turned = Manifest(dict(reversed(manifest.objects.items())), dict(reversed(manifest.data.items())), manifest.metadata)
    assert encode_manifest(turned) == encode_manifest(manifest)


def test_paths_are_those_of_the_version() -> None:
    assert ONE.paths == ("model.skops",)
    assert SavedObject("a", "b", "c", ("x", "y/z"), folder="net").paths == ("net/x", "net/y/z")


def test_fields_of_later_versions_are_passed_over() -> None:
    assert decode_manifest(changed(colour="red")).objects == {"model": ONE}


@pytest.mark.parametrize(
    "fields",
    [
        {"files": []},
        {"files": "model.skops"},
        {"files": [1]},
        {"files": ["../../etc/passwd"]},
        {"files": ["/etc/passwd"]},
        {"files": ["a\\b"]},
        {"folder": ".."},
        {"folder": "a/b"},
        {"folder": 1},
        {"pickle": 0},
        {"pickle": None},
        {"details": {"a": [1]}},
        {"details": [1]},
        {"trust": [None]},
        {"versions": {"a": 1}},
        {"adapter": None},
        {"format": "x" * 70_000},
    ],
    ids=str,
)
def test_what_no_writer_writes_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(FormatError):
        decode_manifest(changed(**fields))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b'{"kind": "saved objects", "v": 1}',
        b'{"kind": "commit", "v": 1, "objects": {}}',
        b'{"kind": "saved objects", "v": true, "objects": {}}',
        b'{"kind": "saved objects", "v": "1", "objects": {}}',
        b'{"kind": "saved objects", "v": 1, "objects": {"..": {}}}',
        b'{"kind": "saved objects", "v": 1, "objects": {}, "data": NaN}',
        b'{"kind": "saved objects", "v": 1, "objects": {}, "metadata": 1}',
        b"[" * 100_000,
    ],
)
def test_bytes_of_strangers_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        decode_manifest(data)


@given(MANIFESTS, st.data())
def test_damage_is_refused_or_read_and_nothing_else(manifest: Manifest, data: st.DataObject) -> None:
    whole = bytearray(encode_manifest(manifest))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.sampled_from(b'"{}[],:0-n\\ \xff/.'))
    try:
        found = decode_manifest(bytes(whole))
    except (FormatError, UnsupportedFormatError):
        return
    assert all(".." not in path.split("/") for stored in found.objects.values() for path in stored.paths)


def test_a_newer_manifest_asks_for_an_upgrade() -> None:
    with pytest.raises(UnsupportedFormatError, match="upgrade"):
        decode_manifest(b'{"kind": "saved objects", "v": 2, "objects": {}}')


@pytest.mark.parametrize("metadata", [{"a": object()}, {"a": float("nan")}, {"a": {1, 2}}])
def test_what_is_no_json_cannot_be_written(metadata: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="must be JSON"):
        encode_manifest(Manifest({"model": ONE}, metadata=metadata))


def test_a_name_that_no_folder_can_have_cannot_be_written() -> None:
    with pytest.raises(InvalidInputError):
        encode_manifest(Manifest({"a/b": ONE}))


def test_limits_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    many = Manifest({f"m{number}": ONE for number in range(module.MAX_OBJECTS + 1)})
    with pytest.raises(InvalidInputError, match="more than"):
        encode_manifest(many)
    monkeypatch.setattr(module, "MAX_MANIFEST_BYTES", 100)
    with pytest.raises(LimitError):
        encode_manifest(Manifest({"model": ONE}))
    with pytest.raises(FormatError):
        decode_manifest(b" " * 101)
