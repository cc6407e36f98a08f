"""One grammar for names, on every operating system: path components, refs and models.

What no file system can hold safely is refused everywhere, so that a registry written on Linux checks out on Windows and
macOS, and no name can climb out of a folder, hide, or stand for a device.
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable

from cas_registry.errors import FormatError, HostileNameError, LimitError

MAX_NAME_BYTES = 255  # what ext4, APFS and NTFS hold
MAX_PATH_BYTES = 4096  # PATH_MAX
MAX_PATH_DEPTH = 64

_PLAIN = re.compile(  # no device of Windows, and nothing that needs a closer look
    r"(?!(?i:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|\Z))[A-Za-z0-9_][A-Za-z0-9_\-]*(?:\.[A-Za-z0-9_\-]+)*"
)
_FORBIDDEN = frozenset('/\\:*?"<>|')
_FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # control, format and bidi, surrogates, separators
_SHORT_NAME = re.compile(r"~[0-9]")  # NTFS 8.3 aliases such as GIT~1
_DEVICES = frozenset(
    {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {stem + digit for stem in ("COM", "LPT") for digit in "0123456789¹²³"}
)
_RESERVED = frozenset({".git", ".reg"})  # a checkout must not plant a repository's or a binding's configuration
_RESERVED_MODELS = frozenset({"head", "catalogue"})
_HEX_ID = re.compile(r"[0-9a-fA-F]{64}")
VERSION_NUMBER = re.compile(r"v([0-9]{1,10})")  # `v17`: a version by its number, so no ref's name
RELEASE = "release:"  # before a release's name: what its log is called; no model's name has a colon
_REF_FORBIDDEN = ("@", "~", "^", "{", "}")  # they separate the parts of a revision


def check_component(name: str) -> None:
    """Accept `name` as one component of a path, or raise HostileNameError saying what is wrong."""
    if len(name) <= MAX_NAME_BYTES and _PLAIN.fullmatch(name):
        return
    reason = _objection(name)
    if reason:
        raise HostileNameError(f"the name {_printable(name)} cannot be stored: {reason}", name=name)


def are_plain(names: Collection[str]) -> bool:
    """Whether all of these are ASCII names that `check_component` accepts at once; False where one needs its closer look."""
    return max(map(len, names), default=0) <= MAX_NAME_BYTES and all(map(_PLAIN.fullmatch, names))


def is_component(name: str) -> bool:
    """Whether `name` may be one component of a path."""
    try:
        check_component(name)
    except HostileNameError:
        return False
    return True


def check_path(path: str) -> tuple[str, ...]:
    """The components of a slash-separated relative path. Raises HostileNameError or LimitError."""
    if len(path.encode("utf-8", "surrogatepass")) > MAX_PATH_BYTES:
        raise LimitError(f"a path of more than {MAX_PATH_BYTES} bytes: {_printable(path)}")
    parts = tuple(path.split("/"))
    if len(parts) > MAX_PATH_DEPTH:
        raise LimitError(f"a path of more than {MAX_PATH_DEPTH} folders: {_printable(path)}")
    for part in parts:
        check_component(part)
    return parts


def check_ref(name: str) -> str:
    """Accept `name` as a branch or tag (components joined by `/`), or raise HostileNameError."""
    if VERSION_NUMBER.fullmatch(name):
        raise HostileNameError(f"{name!r} is the version of that number; choose another name for a branch or tag", name=name)
    return _check_label(name)


def _check_label(name: str) -> str:
    if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        raise HostileNameError(f"a ref of more than {MAX_NAME_BYTES} bytes: {_printable(name)}")
    if _HEX_ID.fullmatch(name):
        raise HostileNameError(f"the ref {_printable(name)} looks like an id; choose a name", name=name)
    for part in name.split("/"):
        check_component(part)
        if part.startswith("-"):
            raise HostileNameError(f"the ref {_printable(name)} starts with '-', which a command would take for an option")
    for mark in _REF_FORBIDDEN:
        if mark in name:
            raise HostileNameError(f"the ref {_printable(name)} contains {mark!r}, which separates the parts of a revision")
    return name


def check_model(name: str) -> str:
    """Accept `name` as a model's name (one component), or raise HostileNameError."""
    if "/" in name:
        raise HostileNameError(f"the model name {_printable(name)} contains '/'; use '-' or '.' instead", name=name)
    _check_label(name)
    if name.casefold() in _RESERVED_MODELS:
        raise HostileNameError(f"a model cannot be called {name!r}: the registry keeps that name for itself", name=name)
    return name


def check_log(name: str) -> str:
    """Accept `name` as that of a model's log, or of a release's (`release:` and one component), or raise HostileNameError."""
    check_model(name.removeprefix(RELEASE))
    return name


def read_name(value: object, check: Callable[[str], str], *, of: str) -> str:
    """A name as decoded metadata holds it, by one of the checks above. FormatError says `of` what it is no name."""
    if not isinstance(value, str):
        raise FormatError(f"{of} whose name is not text")
    try:
        return check(value)
    except HostileNameError as error:
        raise FormatError(f"{of} with a hostile name: {error}") from error


def fold(name: str) -> str:
    """The key under which siblings must be unique: what a case-insensitive, normalising file system compares.

    Unicode's canonical caseless matching (D145); NFC in its place misses marks that fold into letters (U+0345). The dotless i goes
    with the others: file systems that compare capitals take it for one, and it is the only letter that folding leaves out.
    """
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold().replace("\u0131", "i"))


def find_collision(names: Iterable[str]) -> tuple[str, str] | None:
    """Two names that one folder cannot hold on every file system, or None."""
    seen: dict[str, str] = {}
    for name in names:
        key = name.lower() if name.isascii() else fold(name)
        if key in seen:
            return seen[key], name
        seen[key] = name
    return None


def _objection(name: str) -> str | None:
    try:
        size_bytes = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    checks = (
        (not name, "it is empty"),
        (size_bytes > MAX_NAME_BYTES, f"it is longer than {MAX_NAME_BYTES} bytes"),
        (name in {".", ".."}, "it stands for a folder"),
        (any(char in _FORBIDDEN for char in name), 'it contains one of / \\ : * ? " < > |'),
        (
            any(unicodedata.category(char) in _FORBIDDEN_CATEGORIES for char in name),
            "it contains a control or invisible formatting character",
        ),
        (name[-1:] in {".", " "}, "it ends with a dot or a space"),
        (not unicodedata.is_normalized("NFC", name), "it is not in Unicode's NFC form"),
        (name.partition(".")[0].rstrip(" ").upper() in _DEVICES, "Windows takes it for a device"),
        (_SHORT_NAME.search(name) is not None, "'~' before a digit is a short name on Windows"),
        (fold(name) in _RESERVED, "that folder belongs to a tool"),
    )
    return next((reason for wrong, reason in checks if wrong), None)


def _printable(name: str) -> str:
    return ascii(name[:80])
