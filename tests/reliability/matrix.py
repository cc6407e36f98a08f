"""The rows of the reliability matrix, and what a run of the tests says of each.

A module declares its row (`ROW = "T5"`); its tests take the fixture `matrix` and count the cases that they tried. With `--matrix-dir` every
test leaves a small JSON file there, from which `python -m tests.reliability` makes the table of docs/reliability.md.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RowInfo:
    """A row of the table: what is done, the number to reach in the normal profile, and what must come of it."""

    what: str
    reach: str
    expected: str


ROWS = {
    "T1": RowInfo("kill -9 before, after and within every step of I/O of init, commits, tags, notes, approvals, promotions, rollbacks, forks, merges, releases, a card, a retirement, a collection, a repack, checkouts and deployments", "400 points, 800 kills", "nothing acknowledged is lost, refs are old or new, fsck is clean, the same command finishes"),
    "T1b": RowInfo("the run after a kill is killed too", "100 pairs", "the same"),
    "T2": RowInfo("power loss at every step of init, commits, tags, notes, approvals, promotions, rollbacks, forks, merges, releases, a card, a retirement, a collection, a repack and checkouts: what a disk may then hold", "5,000 states", "what was acknowledged is whole, the rest may be gone, nothing is taken for what it is not"),
    "T3": RowInfo("21 kinds of faults of a store at every call of commits, a checkout, a tag, a branch, a note, a promotion, a fork, a merge, a release, a card, a retirement and a refused one, a collection and a repack", "2,500 cases", "success, or an error of ours with the state unchanged; no false conflict, no false success; retries within their budget"),
    "T3b": RowInfo("9 kinds of faults of a connection at every request of a commit and a tag, over HTTP behind s3fs", "150 cases", "as T3: lost answers, refusals and cuts are got over"),
    "T4": RowInfo("16 processes on one branch of a folder, 100 commits each", "1,600 of 1,600", "every commit acknowledged and in history exactly once, the chain whole"),
    "T4b": RowInfo("16 writers on one branch, over HTTP, 5 % of the answers lost and 2 % of the requests refused with 503", "1,600 at night", "every commit acknowledged and in history exactly once, no conflict"),
    "T14": RowInfo("the order of syncs in every trace of T1; a sync that fails, each in turn", "all traces of T1", "file, name, folder, entry, acknowledgement; a failure is told and final"),
    "T15": RowInfo("the order of writes and deletions of commits, tags, notes, forks, merges, releases, retirements, repacks and collections", "all prefixes", "at every moment all that is named is there, and no version needs what goes"),
    "T5": RowInfo(
        "committers, collectors, a retirement and a reader under a deterministic scheduler: random, by priorities, one stalled for ever",
        "2,000 schedules", "every live version reads back; garbage goes; a seed replays",
    ),
    "T5b": RowInfo("exhaustive model of the collection protocol, with each of its rules left out", "all states, 7 weakenings", "safe; each weakening dangles"),
    "T6": RowInfo("a state machine of all verbs against dictionaries, with crashes and damage", "10,000 steps", "equal to the model, fsck clean"),
    "policy": RowInfo("the README's bucket policy on SeaweedFS: writers, a collector, each on every kind of object", "a policy for each", "each can do its work and no more"),
    "bugs": RowInfo("planted bugs, in copies of the code", "16", "each noticed by a test"),
    "T7": RowInfo(
        "every decoder and parser against mutations of valid seeds, sealed and hashed anew", "1,000,000 inputs",
        "a value or an error of one family, soon, in bounded memory",
    ),
    "T8": RowInfo(
        "registries in which an enemy forged one thing and made all ids right, through every verb", "50 cases",
        "the named refusal; the good version comes out; nothing outside the target changes",
    ),
    "T9": RowInfo(
        "a bit flipped in every byte of all metadata, and in 256 places of each pack", "each byte of metadata, 256 a pack",
        "noticed by whoever reads it or by fsck; no wrong byte",
    ),
    "T10": RowInfo(
        "any object cut, longer, empty, in another one's place, or gone", "2,000 cases", "noticed; versions that do not need it come out",
    ),
    "T13": RowInfo("clocks off by up to ten years, each actor its own", "500 schedules", "nothing lost"),
    "T11": RowInfo("a full disk at every write, fsync, link and mkdir of init, commit and checkout; a real file size limit", "every call", "a typed error, no partial file, the rerun succeeds"),
    "T12": RowInfo("read-only folders, no access to each sub-folder, no hard links", "30 cases", "reading works; writing is refused with advice and leaves nothing"),
    "T16": RowInfo("generated names against the one grammar and three file systems", "50,000 names", "what is accepted comes back; no two siblings collide"),
    "T17": RowInfo("signed entries: bytes flipped, replays, other branches, models and registries, dropped tails, forks, unknown, expired and revoked keys", "60 cases", "refused with the reason"),
    "T21": RowInfo("repair: maps, packs, trees, tables and formats damaged or gone, one by one and many at once, from packs, folders and other registries", "all versions", "everything that can be had is restored, the rest is named"),
    "T19": RowInfo("all commands with planted keys, against a store that fails and says everything back", "40 runs", "no key in output, logs, tracebacks or files"),
    "T22": RowInfo("a file of 2 GB committed and checked out; a log of 100,000 versions resolved and followed", "6 cases", "less than 300 MiB in memory; three requests, or one, whatever the length"),
    "T20": RowInfo("golden registries of every format; newer versions of every object", "all", "byte-exact; newer ones refused, nothing changed"),
}  # fmt: skip


@dataclass(slots=True)
class Row:
    """What one test tried: `count` once a case, or with a number."""

    name: str
    cases: int = 0
    said: dict[str, str] = field(default_factory=dict)

    def count(self, cases: int = 1) -> None:
        self.cases += cases

    def say(self, name: str, text: str) -> None:
        """A remark for the page."""
        self.said[name] = text

    def write(self, folder: Path, test: str, *, passed: bool, seconds: float) -> None:
        """Leave what was counted in a file of the test's own."""
        folder.mkdir(parents=True, exist_ok=True)
        name = "".join(char if char.isalnum() else "-" for char in test)[-150:]
        record = {
            "row": self.name,
            "test": test,
            "cases": self.cases,
            "passed": passed,
            "seconds": round(seconds, 2),
            "said": self.said,
        }
        (folder / f"{name}.json").write_text(json.dumps(record) + "\n")
