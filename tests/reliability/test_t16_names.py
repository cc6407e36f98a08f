"""T16: the one grammar against file systems that fold case, normalise, or both. What is accepted comes back; no two siblings collide.

The file systems are stand-ins that know nothing of the package: each maps a name to the key by which it finds a file, and to the
spelling that it lists.
"""

import random
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from cas_registry.errors import HostileNameError, LimitError
from cas_registry.model.ids import FileId
from cas_registry.model.names import check_model, check_path, check_ref, is_component
from cas_registry.model.tree import Mode, TreeEntry, decode_tree, encode_tree, make_tree
from tests.reliability.matrix import Row
from tests.reliability.profile import scaled
from tests.support.strategies import ORDINARY_NAMES

ROW = "T16"
NAMES = scaled(50_000)
SIBLINGS = 12
DEVICES = ("CON", "PRN", "AUX", "NUL", "COM1", "LPT9", "COM¹", "CONIN$", "CONOUT$")
PIECES = (
    *"aAbBzZ09._- +,;=()[]#&'!%", "é", "e\u0301", "É", "Å", "Å", "ß", "SS", "ẞ", "ſ", "s", "K", "K", "k", "İ", "I", "ı", "i", "i\u0307", "ﬁ",
    "fi", "Σ", "ς", "σ", "\u0345", "ᾳ", "ΐ", "가", "\u1100\u1161", "\u200d", "\u200c", "\u202e", "\u2066", "\ufeff", "\u00ad", "\u2028",
    "\ud800", "\udfff", "\x00", "\x1f", "\x7f", "\r", "\n", "/", "\\", ":", "*", "?", '"', "<", ">", "|", "~1", "~", "..", ".", " ", "-",
    "@", "{", "}", "^", ".git", ".reg", "git", *DEVICES, *(name.lower() for name in DEVICES), "🤗", "模", "مرحبا", "\u0300", "\u0316", "Dž", "dž",
)  # fmt: skip
_FORBIDDEN_IN_WINDOWS = re.compile(r'[<>:"/\\|?*\x00-\x1f]')


@dataclass
class FoldingDisk:
    """Files by the key that the file system compares; `listed` is how it spells a name that it was given."""

    key: Callable[[str], str]
    listed: Callable[[str], str]
    files: dict[str, tuple[str, str]] = field(default_factory=dict)

    def write(self, name: str, content: str) -> None:
        self.files[self.key(name)] = (self.listed(name), content)

    def read(self, name: str) -> str:
        return self.files[self.key(name)][1]

    def list(self) -> list[str]:
        return [name for name, _ in self.files.values()]


def _nfd(name: str) -> str:
    return unicodedata.normalize("NFD", name)


def _simple_upper(name: str) -> str:
    """Unicode's simple folding, character by character: what grows in upper case stays, and so does the dotless i."""
    return "".join(char.upper() if len(char.upper()) == 1 else char for char in name)


DISKS: dict[str, Callable[[], FoldingDisk]] = {
    "case-insensitive by single characters, as NTFS": lambda: FoldingDisk(_simple_upper, str),
    "case-insensitive and normalising, as HFS+": lambda: FoldingDisk(lambda name: _nfd(_nfd(name).casefold()), _nfd),
    "case-insensitive, kept as given, as APFS": lambda: FoldingDisk(lambda name: _nfd(_nfd(name).casefold()), str),
    "lower case, as FAT": lambda: FoldingDisk(str.lower, str),
    "normalising, case-sensitive": lambda: FoldingDisk(_nfd, _nfd),
}


def _name(rng: random.Random) -> str:
    """ASCII, marks, bidi, devices, surrogates, long ones; some of an ordinary name with one thing changed."""
    match rng.randrange(6):
        case 0:
            return rng.choice(ORDINARY_NAMES)
        case 1:
            name = rng.choice(ORDINARY_NAMES)
            at = rng.randrange(len(name) + 1)
            return name[:at] + rng.choice(PIECES) + name[at:]
        case 2:
            return "".join(rng.choices(PIECES, k=rng.randrange(1, 200)))
        case 3:
            return "".join(chr(rng.randrange(0x20, 0x3000)) for _ in range(rng.randrange(1, 12)))
        case 4:
            return rng.choice((str.upper, str.lower, str.title, str.swapcase, _nfd))(rng.choice(PIECES) + rng.choice(PIECES))
        case _:
            return "".join(rng.choices(PIECES, k=rng.randrange(0, 6)))


def _relative(rng: random.Random, name: str) -> str:
    """Another spelling of a name, that some file system takes for the same."""
    change = rng.choice((str.upper, str.lower, str.title, str.casefold, _nfd, lambda text: unicodedata.normalize("NFC", text)))
    return unicodedata.normalize("NFC", change(name)) if rng.random() < 0.8 else change(name)


def _is_accepted(check: Callable[[str], object], text: str) -> bool:
    """Whether the grammar takes it; what it does not take is a HostileNameError or LimitError."""
    try:
        check(text)
    except (HostileNameError, LimitError):
        return False
    return True


def test_accepted_siblings_come_back_from_every_file_system(matrix: Row) -> None:
    rng = random.Random(16)
    accepted = refused = collisions = 0
    for _ in range(NAMES // SIBLINGS):
        drawn = [_name(rng) for _ in range(SIBLINGS // 2)]
        drawn += [_relative(rng, name) for name in drawn]
        names = [name for name in dict.fromkeys(drawn) if is_component(name)]
        accepted += len(names)
        refused += len(drawn) - len(names)
        entries = [TreeEntry(name, Mode.FILE, len(name), FileId.of(name.encode())) for name in names]
        try:
            tree = make_tree(entries)
        except HostileNameError:
            collisions += 1
            continue
        assert decode_tree(encode_tree(tree)) == tree
        for what, disk_of in DISKS.items():
            disk = disk_of()
            for entry in tree.entries:
                disk.write(entry.name, entry.name)
            assert len(disk.files) == len(names), (what, names)
            for entry in tree.entries:
                assert disk.read(entry.name) == entry.name, (what, names)
            assert {unicodedata.normalize("NFC", name) for name in disk.list()} == set(names), (what, names)
    assert accepted > NAMES // 4
    assert refused > NAMES // 10
    assert collisions > NAMES // SIBLINGS // 20
    matrix.count(NAMES)


def test_what_is_accepted_means_nothing_else_to_any_system(matrix: Row) -> None:
    """Written down a second time from what Windows, macOS and git document, not from the grammar."""
    rng = random.Random(17)
    for _ in range(NAMES):
        name = _name(rng)
        if not is_component(name):
            continue
        name.encode("utf-8")
        assert 0 < len(name.encode()) <= 255
        assert not _FORBIDDEN_IN_WINDOWS.search(name), ascii(name)
        assert name == name.rstrip(". "), ascii(name)
        assert name.split(".")[0].rstrip(" ").upper() not in DEVICES, ascii(name)
        assert not re.search(r"~\d", name), ascii(name)
        ignorable = "".join(char for char in name if unicodedata.category(char) != "Cf")  # HFS+ does not see these
        assert ignorable.casefold() not in {".git", ".reg", ".", "..", ""}, ascii(name)
        assert not any(
            unicodedata.bidirectional(char) in {"RLO", "LRO", "RLE", "LRE", "PDF", "LRI", "RLI", "FSI", "PDI"} for char in name
        )
        assert unicodedata.is_normalized("NFC", name)
    matrix.count(NAMES)


@pytest.mark.parametrize("check", [check_path, check_ref, check_model], ids=["path", "ref", "model"])
def test_paths_refs_and_models_are_made_of_components_and_climb_nowhere(matrix: Row, check: Callable[[str], object]) -> None:
    rng = random.Random(18)
    accepted = 0
    for _ in range(NAMES // 5):
        text = "/".join(_name(rng) for _ in range(rng.choice((1, 1, 2, 3, 70))))
        if not _is_accepted(check, text):
            continue
        accepted += 1
        parts = text.split("/")
        assert all(map(is_component, parts)), ascii(text)
        assert len(text.encode()) <= (4096 if check is check_path else 255)
        assert len(parts) <= (64 if check is check_path else 1 if check is check_model else 255)
        if check is not check_path:
            assert not any(part.startswith("-") for part in parts)
            assert not re.search(r"[@^{}~:]", text), ascii(text)
    assert accepted > NAMES // 100
    matrix.count(NAMES // 5)
