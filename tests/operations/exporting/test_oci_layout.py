"""A layout that several write to, and that others wrote."""

import json
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.errors import ConflictError, InvalidInputError
from cas_registry.operations.exporting.oci_layout import REF_NAME, OciLayout, check_ref_name

WRITERS = 8


def test_names_given_at_the_same_time_are_all_there(tmp_path: Path) -> None:
    layout = OciLayout(tmp_path / "layout")
    layout.prepare()
    start = threading.Barrier(WRITERS)
    failures: list[BaseException] = []

    def write(number: int) -> None:
        try:
            start.wait()
            for turn in range(4):
                mine = OciLayout(tmp_path / "layout")
                blob, _ = mine.add_small(b"%d %d" % (number, turn))
                mine.name(f"w{number}-{turn}", blob, "commit", force=False)
        except BaseException as error:  # told below, in the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    index = json.loads((tmp_path / "layout" / "index.json").read_text())
    names = {item["annotations"][REF_NAME] for item in index["manifests"]}
    assert names == {f"w{number}-{turn}" for number in range(WRITERS) for turn in range(4)}


@given(
    st.from_regex(r"[A-Za-z0-9]+([-._:@+/][A-Za-z0-9]+)*", fullmatch=True).filter(
        lambda name: len(name) < 200 and name.isascii()
    )
)
def test_names_of_the_grammar_are_taken(name: str) -> None:
    assert check_ref_name(name) == name


@given(
    st.text(max_size=20).filter(lambda name: not (name.isascii() and name.isalnum())),
    st.sampled_from(["/", "..", "-", "\n", " "]),
)
def test_names_that_end_in_no_letter_are_refused(name: str, end: str) -> None:
    with pytest.raises(InvalidInputError):
        check_ref_name(name + end)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["manifests", "layers", "digest", "annotations", "size", "x"]), inner, max_size=4),
        max_leaves=12,
    )
)  # fmt: skip
def test_an_index_of_any_shape_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, found: object) -> None:
    root = tmp_path_factory.mktemp("layout")
    (root / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (root / "index.json").write_text(json.dumps(found))
    try:
        OciLayout(root).find({})
        OciLayout(root).check_name("prod", "commit", force=False)
    except ConflictError:
        pass
    assert (root / "index.json").read_text() == json.dumps(found)
