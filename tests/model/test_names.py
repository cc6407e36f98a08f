"""The grammar of names: what no file system holds safely is refused, what people use is accepted."""

import contextlib
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.errors import HostileNameError, LimitError
from cas_registry.model.names import (
    MAX_NAME_BYTES,
    MAX_PATH_BYTES,
    MAX_PATH_DEPTH,
    are_plain,
    check_component,
    check_model,
    check_path,
    check_ref,
    find_collision,
    fold,
    is_component,
)
from tests.support import strategies as make

HOSTILE_COMPONENTS = {
    "4 parent": "..",
    "5 slash": "a/b",
    "6 backslash": "a\\..\\..\\x",
    "7 drive": "C:x",
    "7 share": "\\\\srv\\s",
    "8 NUL": "a\x00b",
    "9 empty": "",
    "10 here": ".",
    "11 CON": "CON",
    "11 nul.txt": "nul.txt",
    "11 COM¹": "COM¹",
    "11 case": "cOn",
    "11 extensions": "aux.tar.gz",
    "11 blank before the dot": "con .txt",
    "11 digit": "LPT9",
    "11 com0": "com0",
    "11 conin$": "conin$",
    "11 CONOUT$.log": "CONOUT$.log",
    "11 superscript": "lpt³.bin",
    "12 dot at the end": "x.",
    "12 blank at the end": "x ",
    "12 dots": "...",
    "14 NFD": "e\u0301.bin",
    "14 singleton": "\u212b",
    "15 .git": ".git",
    "15 .GIT": ".GIT",
    "15 .reg": ".reg",
    "15 .Reg": ".Reg",
    "15 GIT~1": "GIT~1",
    "15 short name": "MODEL~2.BIN",
    "15 zero width": ".g\u200cit",
    "16 stream": "file:stream",
    "16 .git stream": ".git::$INDEX_ALLOCATION",
    "17 bidi override": "a\u202etxt.exe",
    "17 bidi isolate": "a\u2066b",
    "18 4 KiB": "a" * 4096,
    "18 256 bytes": "a" * 256,
    "18 256 bytes of two-byte characters": "é" * 128,
    "19 lone surrogate": "a\ud800",
    "19 surrogate escape of bad UTF-8": b"\xff".decode("utf-8", "surrogateescape"),
    "20 carriage return": "a\r",
    "line feed": "a\nb",
    "only a line feed": "\n",
    "line feed after a plain name": "model.bin\n",
    "escape": "a\x1b[31m",
    "delete": "a\x7f",
    "C1 control": "a\x85",
    "line separator": "a\u2028b",
    "paragraph separator": "a\u2029b",
    "byte order mark": "\ufeffa",
    "soft hyphen": "a\u00adb",
    "tag character": "a\U000e0041",
    "star": "*.bin",
    "question mark": "a?",
    "quote": 'a"b',
    "angle": "a<b",
    "closing angle": "a>b",
    "pipe": "a|b",
}
HOSTILE_PATHS = {
    "1": "../x",
    "2": "/etc/x",
    "3": "a/../../x",
    "empty": "",
    "empty component": "a//b",
    "slash at the end": "a/",
    "here": "./a",
    "deep device": "a/b/NUL",
    "deep .git": "a/.git/config",
    "drive": "C:/x",
    "NUL": "a/\x00",
}
HOSTILE_REFS = {
    "46 climbing": "../../x",
    "46 option": "-rf",
    "46 option below": "env/-rf",
    "46 moves": "a@{1}",
    "46 empty component": "refs//x",
    "46 device": "CON",
    "46 300 bytes": "a" * 300,
    "46 300 bytes in parts": "/".join(["a" * 99] * 3),
    "46 looks like an id": "0123456789abcdef" * 4,
    "46 looks like an id in capitals": "A" * 64,
    "at": "a@b",
    "steps": "main~2",
    "parent": "main^",
    "path": "main:x",
    "brace": "main{3",
    "closing brace": "main}",
    "slash first": "/main",
    "slash last": "main/",
    "empty": "",
    "surrogate": "\ud800",
    "blank last": "main ",
    "lock folder": "a/.git",
}


@pytest.mark.parametrize("name", HOSTILE_COMPONENTS.values(), ids=HOSTILE_COMPONENTS)
def test_hostile_components_are_refused(name: str) -> None:
    with pytest.raises(HostileNameError, match="cannot be stored"):
        check_component(name)
    assert not is_component(name)


@pytest.mark.parametrize("name", [name for name in HOSTILE_COMPONENTS.values() if "/" not in name])
def test_hostile_components_are_refused_inside_paths_refs_and_models(name: str) -> None:
    with pytest.raises((HostileNameError, LimitError)):
        check_path(f"a/{name}/b")
    with pytest.raises(HostileNameError):
        check_ref(f"a/{name}/b")
    with pytest.raises(HostileNameError):
        check_model(name)


@pytest.mark.parametrize("path", HOSTILE_PATHS.values(), ids=HOSTILE_PATHS)
def test_hostile_paths_are_refused(path: str) -> None:
    with pytest.raises(HostileNameError):
        check_path(path)


@pytest.mark.parametrize("name", HOSTILE_REFS.values(), ids=HOSTILE_REFS)
def test_hostile_refs_are_refused(name: str) -> None:
    with pytest.raises(HostileNameError):
        check_ref(name)
    with pytest.raises(HostileNameError):
        check_model(name)


@pytest.mark.parametrize("name", ["a/b", "head", "HEAD", "catalogue", "Catalogue", "-x", "0" * 64, "a@b"])
def test_hostile_models_are_refused(name: str) -> None:
    with pytest.raises(HostileNameError):
        check_model(name)


@pytest.mark.parametrize("name", make.ORDINARY_NAMES)
def test_ordinary_names_are_accepted(name: str) -> None:
    check_component(name)
    assert is_component(name)
    assert check_path(f"data/{name}") == ("data", name)


@pytest.mark.parametrize(
    "name",
    ["main", "prod", "v1.4", "env/prod", "team/a/b-c_d", "HEAD", "2026-11-01", "deadbeef", "0" * 63, "release candidate", "é"],
)
def test_ordinary_refs_are_accepted(name: str) -> None:
    assert check_ref(name) == name


@pytest.mark.parametrize("name", ["fraud-detector", "llama-3.1-8b", "bert base", "Modell_ä", "heads", "catalogues", "0"])
def test_ordinary_models_are_accepted(name: str) -> None:
    assert check_model(name) == name


def test_limits_are_the_documented_ones_and_the_last_within_them_is_accepted() -> None:
    assert (MAX_NAME_BYTES, MAX_PATH_BYTES, MAX_PATH_DEPTH) == (255, 4096, 64)
    check_component("é" * 127 + "a")
    check_ref("a" * 255)
    assert len(check_path("/".join(["a"] * 64))) == 64
    long_path = "/".join(["a" * 254] * 16) + "/" + "a" * 15
    assert len(long_path) == 4095
    check_path(long_path + "a")
    with pytest.raises(LimitError, match="bytes"):
        check_path(long_path + "aa")


@pytest.mark.parametrize("depth", [65, 5_000])
def test_paths_deeper_than_the_limit_are_refused(depth: int) -> None:
    with pytest.raises(LimitError):
        check_path("/".join(["a"] * depth))


def test_messages_hold_no_character_that_a_terminal_obeys() -> None:
    for name in HOSTILE_COMPONENTS.values():
        with pytest.raises(HostileNameError) as caught:
            check_component(name)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 700


@given(name=make.any_names())
def test_an_accepted_name_is_what_every_file_system_gives_back(name: str) -> None:
    if not is_component(name):
        return
    assert unicodedata.is_normalized("NFC", name)
    assert 1 <= len(name.encode("utf-8")) <= 255
    assert not set(name) & set('/\\:*?"<>|')
    assert not any(unicodedata.category(char)[0] == "C" and unicodedata.category(char) in {"Cc", "Cf", "Cs"} for char in name)
    assert name == name.rstrip(". ")
    assert name not in {".", ".."}
    assert fold(name) not in {".git", ".reg"}
    check_component(unicodedata.normalize("NFC", unicodedata.normalize("NFD", name)))  # as macOS and back


@given(names=st.lists(make.any_names() | st.sampled_from(["a", "CON", "con.x", "lpt1", "\u017f", "a" * 256]), max_size=4))
def test_names_that_are_plain_together_are_accepted_one_by_one(names: list[str]) -> None:
    if are_plain(names):
        assert all(map(is_component, names))
        assert all(map(str.isascii, names))
    else:
        assert not all(re.fullmatch(r"[a-bd-k]{1,255}", name) for name in names)


@given(name=make.any_names())
def test_no_input_raises_anything_else(name: str) -> None:
    for check in (check_component, check_path, check_ref, check_model):
        with contextlib.suppress(HostileNameError, LimitError):
            check(name)


def test_each_character_of_the_first_planes_is_judged_by_its_category_and_normal_form() -> None:
    forbidden = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    wrong = []
    for point in (*range(0x20000), *range(0xE0000, 0xE0200)):
        char = chr(point)
        expected = (
            char not in '/\\:*?"<>|'
            and unicodedata.category(char) not in forbidden
            and unicodedata.is_normalized("NFC", f"model{char}x")
        )
        if is_component(f"model{char}x") != expected:
            wrong.append(hex(point))
    assert wrong == []


@pytest.mark.parametrize(
    "point",
    [*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2065), *range(0x2066, 0x2070), 0xFEFF, 0xAD],
    ids=hex,
)
def test_no_character_that_a_file_system_ignores_hides_a_git_folder(point: int) -> None:
    assert not is_component(f".g{chr(point)}it")


@given(name=make.any_names())
def test_an_accepted_ref_is_made_of_accepted_components_without_marks_of_a_revision(name: str) -> None:
    try:
        check_ref(name)
    except HostileNameError:
        return
    assert all(is_component(part) for part in name.split("/"))
    assert not set(name) & set("@~^:{}")
    assert not any(part.startswith("-") for part in name.split("/"))


@given(text=st.text(max_size=20))
def test_fold_joins_case_and_normal_forms_and_joins_no_further_when_repeated(text: str) -> None:
    folded = fold(text)
    assert fold(folded) == folded
    assert (
        folded == fold(text.casefold()) == fold(unicodedata.normalize("NFC", text)) == fold(unicodedata.normalize("NFD", text))
    )


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("A", "a"),
        ("é", "e\u0301"),
        ("É", "e\u0301"),
        ("straße", "STRASSE"),
        ("ſ", "s"),
        ("K", "k"),
        ("ς", "Σ"),
        ("\u1fb4\u0300", "\u0386\u0300\u0345"),
    ],
)
def test_names_that_one_folder_cannot_hold_together_collide(left: str, right: str) -> None:
    assert fold(left) == fold(right)
    assert find_collision(["first", left, "other", right]) == (left, right)


def test_a_name_collides_with_itself() -> None:
    name = "model.bin"
    assert find_collision([name, name]) == (name, name)
    assert find_collision([name, name[:5] + name[5:]]) == (name, name)


def test_names_that_differ_do_not_collide() -> None:
    assert find_collision([]) is None
    assert find_collision(make.ORDINARY_NAMES) is None
    assert find_collision(["a", "á", "à", "ä", "o", "0", "i"]) is None


@given(names=st.lists(make.names(), max_size=6))
def test_a_collision_is_found_exactly_when_two_folded_names_are_equal(names: list[str]) -> None:
    assert (find_collision(names) is None) == (len({fold(name) for name in names}) == len(names))


def test_letters_that_any_mapping_of_case_joins_are_folded_together() -> None:
    joined: dict[str, set[str]] = {}
    for point in range(0x110000):
        char = chr(point)
        if char.upper() == char.lower() or not unicodedata.is_normalized("NFC", char):
            continue
        for mapped in (char.upper(), char.lower(), char.title(), char.lower().upper(), char.upper().lower()):
            joined.setdefault(mapped, set()).add(fold(char))
    assert [mapped for mapped, folded in joined.items() if len(folded) > 1] == []
