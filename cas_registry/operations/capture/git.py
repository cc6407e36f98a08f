"""The state of the code, as the `git` program tells it: commit, branch, changes, where it comes from, and which script runs.

Git is run without hooks, locks, filters of its output or network, and is given two seconds. Without git, or outside of a repository,
there is nothing to tell but the script's name.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from types import ModuleType
from urllib.parse import urlsplit

from cas_registry.model.canonical import Scalar, encode
from cas_registry.redaction import redact

TIMEOUT_S = 2.0  # for all that is asked together; a repository that takes longer is told of without its changes
MAX_DIFF_BYTES = 256 * 1024  # as the commit holds it, a quarter of what a commit may take; the rest is cut off
_QUIET = (
    "--no-optional-locks",
    "-c", "core.fsmonitor=false",  # a hook by another name
    "-c", f"core.hooksPath={os.devnull}",
    "-c", "protocol.allow=never",  # nothing of a partial clone is fetched
    "-c", "diff.autoRefreshIndex=false",  # it would write
)  # fmt: skip
_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_SCP = re.compile(r"(?:[^@/\s]*@)?(?P<host>[A-Za-z0-9][A-Za-z0-9.-]+):(?P<path>(?!//)[^\s?#]+)")
_HOME = re.compile(r"/(?:home|Users)/[^/]+")
_SUBMODULES = "--ignore-submodules=dirty"  # asking each of them would take a process each


def find_root(path: Path) -> Path | None:
    """The top of the git work tree that a path lies in, by its `.git`; no program is run."""
    path = Path(os.path.abspath(path))  # noqa: PTH100 - a folder that is a link belongs where the link is
    return next((folder for folder in (path, *path.parents) if (folder / ".git").exists()), None)


def find_code(folders: Iterable[Path], main: ModuleType | None, *, diff: bool = False) -> dict[str, Scalar]:
    """What git tells of the first of these folders that lies in a work tree, before them that of the running script, and the script.

    `dirty` is true where tracked files differ from the commit, or the script is neither tracked nor ignored. Other files that git does
    not track, such as a training's output, do not count.
    """
    script = _script(main)
    roots = (find_root(folder) for folder in ([script.parent, *folders] if script else folders))
    root = next((found for found in roots if found), None)
    code = _ask_git(root, script, diff=diff) if root else {}
    entry_point = _entry_point(main, script, root)
    return {**code, "entry_point": entry_point} if entry_point else code


def clean_url(url: str) -> str | None:
    """Where a repository comes from, without user, password, query and fragment; None for a folder of somebody's machine."""
    if "://" not in url:
        found = _SCP.fullmatch(url)
        return f"{found['host']}:{_HOME.sub('~', found['path'])}" if found else None
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return None
    if parts.scheme in {"", "file"} or not parts.hostname:
        return None
    return f"{parts.scheme}://{parts.hostname}{port}{_HOME.sub('/~', parts.path)}"


def _ask_git(root: Path, script: Path | None, *, diff: bool) -> dict[str, Scalar]:
    """The answers of one work tree; the questions are asked at once."""
    program = shutil.which("git")
    if program is None:
        return {}
    deadline = monotonic() + TIMEOUT_S
    questions: dict[str, Sequence[str]] = {
        "head": ("rev-parse", "HEAD"),
        "status": ("status", "--porcelain=v2", "--branch", "--untracked-files=no", "-z", _SUBMODULES),
        "remotes": ("config", "-z", "--get-regexp", r"^remote\..*\.url$"),
    }
    if script and script.is_relative_to(root):
        questions["untracked"] = ("ls-files", "--others", "--exclude-standard", "--", str(script))
    running = {name: _start(program, root, words) for name, words in questions.items()}
    answers = {name: _answer(process, deadline) for name, process in running.items()}
    code: dict[str, Scalar] = {}
    if _ID.fullmatch(commit := (answers["head"] or "").strip()):
        code["commit"] = commit
    if (status := answers["status"]) is not None:
        branch, is_changed = _parse_status(status)
        if branch:
            code["branch"] = branch
        code["dirty"] = is_changed or bool(answers.get("untracked"))
    if repository := _repository(answers["remotes"] or ""):
        code["repository"] = repository
    if diff and code.get("dirty"):
        code |= _diff(program, root)
    return code


def _start(program: str, root: Path, words: Sequence[str]) -> subprocess.Popen[bytes]:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("GIT_")
    }  # a hook that commits sets GIT_DIR
    return subprocess.Popen(  # noqa: S603 - no shell; the words are constants and a path after `--`
        [os.path.abspath(program), *_QUIET, *words],  # noqa: PTH100 - PATH may hold relative folders
        cwd=root,
        env={**inherited, "LC_ALL": "C", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _answer(process: subprocess.Popen[bytes], deadline: float) -> str | None:
    """What it printed, None where it failed or took too long."""
    try:
        output, _ = process.communicate(timeout=max(0.0, deadline - monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None
    return output.decode("utf-8", "replace") if process.returncode == 0 else None


def _parse_status(status: str) -> tuple[str | None, bool]:
    """The branch, None where none is checked out, and whether anything differs (git-status(1), porcelain v2)."""
    branch = None
    for line in status.split("\0"):
        if line.startswith("# branch.head "):
            branch = line.removeprefix("# branch.head ")
        elif line and not line.startswith("# "):
            return branch, True
    return (None if branch == "(detached)" else branch), False


def _repository(remotes: str) -> str | None:
    """`origin`, else the first one."""
    urls = dict(pair.split("\n", 1) for pair in remotes.split("\0") if "\n" in pair)
    chosen = urls.get("remote.origin.url") or next(iter(urls.values()), None)
    return clean_url(chosen) if chosen else None


def _diff(program: str, root: Path) -> dict[str, Scalar]:
    """What was changed since the commit, free of what looks like a secret, and cut to its limit at the end of a line."""
    words = ("diff", "HEAD", "--no-ext-diff", "--no-textconv", "--no-color", _SUBMODULES)
    process = _start(program, root, words)
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    try:
        data = process.stdout.read(MAX_DIFF_BYTES + 1)
    finally:
        with suppress(OSError):
            process.kill()
        process.communicate()
    text = redact(data.decode("utf-8", "replace"))
    is_whole = len(data) <= MAX_DIFF_BYTES
    while len(encode({"diff": text})) > MAX_DIFF_BYTES:  # control characters take six bytes each
        is_whole, text = False, text[: len(text) * 3 // 4]
    if not is_whole:
        text = text[: text.rfind("\n") + 1]
    return {"diff": text} if is_whole else {"diff": text, "diff_cut": True}


def _script(main: ModuleType | None) -> Path | None:
    file = getattr(main, "__file__", None)
    return Path(os.path.abspath(file)) if isinstance(file, str) and os.path.isfile(file) else None  # noqa: PTH100, PTH113 - as git sees it


def _entry_point(main: ModuleType | None, script: Path | None, root: Path | None) -> str | None:
    """The module that `python -m` runs, else the script: its path in the repository, or its name alone."""
    spec = getattr(main, "__spec__", None)
    name = getattr(spec, "name", None)
    if isinstance(name, str) and name:
        return f"-m {name.removesuffix('.__main__')}"
    if script is None:
        return None
    return script.relative_to(root).as_posix() if root and script.is_relative_to(root) else script.name
