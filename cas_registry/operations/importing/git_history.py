"""A git repository's commits, trees and blobs, as the `git` program tells them.

Git is run without hooks, filters, pagers, lazy fetching or network, and only to read objects: nothing of what a repository's configuration names
is run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cas_registry.errors import InvalidInputError, LimitError, NotFoundError
from cas_registry.operations.importing.foreign import reading

MAX_COMMITS = 1_000_000
_TIMEOUT_S = 600.0  # of one question: a history of a million commits takes a minute
_QUIET = (
    "--no-pager",
    "--no-optional-locks",
    "--no-replace-objects",  # what the ids say, not what was put in their place
    "-c", "core.fsmonitor=false",
    "-c", f"core.hooksPath={os.devnull}",
    "-c", "protocol.allow=never",
    "-c", "log.showSignature=false",  # it would run gpg
)  # fmt: skip
_FORMAT = "%H%x00%P%x00%an <%ae>%x00%at%x00%B"
_COMMIT_FIELDS = 5
_EXECUTABLE = "100755"


@dataclass(frozen=True, slots=True)
class GitCommit:
    """A commit: its parents, who made it and when, and what was said."""

    id: str
    parents: tuple[str, ...]
    author: str
    time_ms: int | None
    message: str


@dataclass(frozen=True, slots=True)
class GitFile:
    """A file of a commit's tree. `mode` is git's: 100644, 100755, 120000 of a link."""

    path: str
    mode: str
    blob: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class GitTag:
    """A tag, the commit at which it stands, and what was said of it, where it is an annotated one."""

    name: str
    commit: str
    message: str


class GitRepository:
    """A repository on this machine. NotFoundError where there is none, or no git."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("git")
        if program is None:
            raise NotFoundError("reading a git repository needs the program git; install it")
        self._program = os.path.abspath(program)  # noqa: PTH100 - PATH may hold relative folders
        self.folder = folder
        self._trees: dict[str, tuple[GitFile, ...]] = {}
        common = self._ask("rev-parse", "--git-common-dir").strip()
        self.git_folder = (folder / common).resolve()

    @property
    def name(self) -> str:
        """What it is called: the name of its folder."""
        top = self.git_folder.parent if self.git_folder.name == ".git" else self.git_folder
        return top.name.removesuffix(".git")

    def commits(self) -> list[GitCommit]:
        """All that a branch or tag leads to, parents before their children."""
        told = self._ask("log", "-z", "--topo-order", "--reverse", f"--format={_FORMAT}", "--branches", "--tags", *self._head())
        parts = told.split("\0")[:-1] if told.endswith("\0") else told.split("\0")
        found = []
        for start in range(0, len(parts) - _COMMIT_FIELDS + 1, _COMMIT_FIELDS):
            identity, parents, author, seconds, message = parts[start : start + _COMMIT_FIELDS]
            time_ms = int(seconds) * 1000 if seconds.isdecimal() else None
            found.append(GitCommit(identity, tuple(parents.split()), author, time_ms, message.strip()))
        if len(found) > MAX_COMMITS:
            raise LimitError(f"{self.folder} has more than {MAX_COMMITS:,} commits")
        return found

    def _head(self) -> list[str]:
        """What is checked out, which may be on no branch; nothing where that is a branch without commits, as in an empty repository, or in a bare one
        whose first branch has another name."""
        try:
            return [self._ask("rev-parse", "--verify", "--quiet", "HEAD^{commit}").strip()]
        except NotFoundError:
            return []

    def tags(self) -> list[GitTag]:
        """The tags of commits, by name."""
        form = "%(refname:short)%00%(objecttype)%00%(objectname)%00%(*objecttype)%00%(*objectname)%00%(contents:subject)"
        found = []
        for line in self._ask("for-each-ref", f"--format={form}", "refs/tags").splitlines():
            name, kind, identity, target_kind, target, subject = line.split("\0", 5)
            if kind == "commit":
                found.append(GitTag(name, identity, ""))
            elif target_kind == "commit":
                found.append(GitTag(name, target, subject))
        return found

    def tree(self, commit: str) -> tuple[GitFile, ...]:
        """The files of a commit, sorted by path; submodules are left out."""
        if commit not in self._trees:
            found = []
            for line in self._ask("ls-tree", "-r", "-z", "--long", "--full-tree", commit).split("\0"):
                about, _, path = line.partition("\t")
                if path:
                    mode, kind, blob, size = about.split()
                    if kind == "blob":
                        found.append(GitFile(path, mode, blob, int(size)))
            self._trees = {commit: tuple(found)}  # the last one alone: those who ask twice ask at once
        return self._trees[commit]

    def blob(self, file: GitFile, *, limit: int) -> bytes:
        """The bytes of a file. LimitError for one that is longer."""
        if file.size_bytes > limit:
            raise LimitError(f"{file.path} is longer than {limit:,} bytes")
        return self._run("cat-file", "blob", file.blob)

    def small_blobs(self, files: Iterable[GitFile]) -> dict[str, bytes]:
        """The bytes of several small files by the ids of their blobs, asked for at once."""
        wanted = list(dict.fromkeys(file.blob for file in files))
        if not wanted:
            return {}
        data = self._run("cat-file", "--batch", said="".join(f"{blob}\n" for blob in wanted).encode())
        found: dict[str, bytes] = {}
        position = 0
        for blob in wanted:
            end = data.index(b"\n", position)
            size_bytes = int(data[position:end].rpartition(b" ")[2])
            found[blob] = data[end + 1 : end + 1 + size_bytes]
            position = end + size_bytes + 2
        return found

    def write_blob(self, file: GitFile, target: Path) -> None:
        """Write a file of whatever size, executable if it is."""
        with reading(file.path), target.open("xb") as opened:
            done = subprocess.run(  # noqa: S603 - no shell; an id that git gave
                self._words("cat-file", "blob", file.blob), cwd=self.folder, env=_environment(), stdin=subprocess.DEVNULL,
                stdout=opened, stderr=subprocess.PIPE, timeout=_TIMEOUT_S, check=False,
            )  # fmt: skip
        if file.mode == _EXECUTABLE:
            target.chmod(0o755)
        if done.returncode:
            raise NotFoundError(f"{self.folder} does not have {file.path} ({file.blob}): {_last_line(done.stderr)}")

    def remote_folder(self) -> Path | None:
        """Where `origin` is, if that is a folder of this machine."""
        try:
            url = self._ask("config", "--get", "remote.origin.url").strip()
        except NotFoundError:
            return None
        path = Path(url.removeprefix("file://"))
        folder = path if path.is_absolute() else self.folder / path
        return folder if "://" not in url.removeprefix("file://") and folder.is_dir() else None

    def _ask(self, *words: str) -> str:
        return self._run(*words).decode("utf-8", "replace")

    def _run(self, *words: str, said: bytes = b"") -> bytes:
        try:
            done = subprocess.run(  # noqa: S603 - no shell; constants and ids that git gave
                self._words(*words), cwd=self.folder, env=_environment(), input=said, capture_output=True, timeout=_TIMEOUT_S, check=False,
            )  # fmt: skip
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFoundError(f"there is no folder {self.folder}", path=str(self.folder)) from error
        except subprocess.TimeoutExpired as error:
            raise InvalidInputError(f"git {words[0]} in {self.folder} took longer than {_TIMEOUT_S:.0f} s") from error
        if done.returncode:
            raise NotFoundError(f"git {words[0]} in {self.folder}: {_last_line(done.stderr)}", path=str(self.folder))
        return done.stdout

    def _words(self, *words: str) -> list[str]:
        return [self._program, *_QUIET, *words]


def representatives(
    commits: Sequence[GitCommit], fingerprints: Mapping[str, object], *, apart: Collection[str] = ()
) -> dict[str, str]:
    """For each commit the one that first had what it has: itself, or along its first parents the earliest with the same fingerprint. Those that
    stand `apart` are themselves."""
    found: dict[str, str] = {}
    for commit in commits:
        first = commit.parents[0] if commit.parents else None
        same = first is not None and first in found and fingerprints.get(first) == fingerprints[commit.id]
        found[commit.id] = found[first] if same and first is not None and commit.id not in apart else commit.id
    return found


def tags_by_commit(tags: Sequence[GitTag], first: Mapping[str, str]) -> Iterator[tuple[str, GitTag]]:
    """Each tag with the commit whose version it stands at."""
    for tag in tags:
        if tag.commit in first:
            yield first[tag.commit], tag


def _environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {**inherited, "LC_ALL": "C", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"}


def _last_line(stderr: bytes) -> str:
    lines = stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:300] if lines else "it failed"
