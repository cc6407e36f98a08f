"""Releases: logs whose entries each name one version of several models, so that all of them move at once."""

import secrets
from collections.abc import Iterator, Mapping

from cas_registry.errors import NotFoundError
from cas_registry.model.entry import Entry, Operation, ReleaseRow
from cas_registry.model.names import RELEASE, check_model
from cas_registry.model.revision import Revision, parse_time
from cas_registry.store.log import BATCH, Log, LogSource, Recorded


class ReleaseLog:
    """The log of one release. Nothing is cached: every question reads it anew."""

    def __init__(self, logs: LogSource, name: str) -> None:
        self.name = check_model(name)
        self.log: Log = logs.log(f"{RELEASE}{name}")

    def head(self) -> Recorded | None:
        """The last entry, or None for a release that does not exist."""
        return self.log.head()

    def existing_head(self) -> Recorded:
        """The last entry. NotFoundError for a release that does not exist."""
        head = self.head()
        if head is None:
            raise NotFoundError(f"there is no release {self.name!r}; reg releases lists them", release=self.name)
        return head

    def back_from(self, head: Recorded) -> Iterator[Recorded]:
        """The entries from `head` back to the first, read in batches."""
        yield head
        for start in range(head.n - 1, 0, -BATCH):
            yield from self.log.read_many(range(start, max(0, start - BATCH), -1))

    def find(self, revision: Revision, *, now_ms: int) -> Mapping[str, ReleaseRow]:
        """The versions of the release as a revision means it: now, so many moves back, or at a time."""
        head = self.existing_head()
        if revision.as_of is not None:
            until_ms = parse_time(revision.as_of, now_ms=now_ms)
            found = next((recorded for recorded in self.back_from(head) if recorded.entry.time_ms <= until_ms), None)
            if found is None:
                raise NotFoundError(f"{revision.text}: release {self.name!r} did not exist then", revision=revision.text)
        elif revision.back >= head.n:
            raise NotFoundError(
                f"{revision.text}: release {self.name!r} has moved {head.n - 1} times only", revision=revision.text
            )
        else:
            found = self.log.read(head.n - revision.back) if revision.back else head
        return rows_of(found)

    def next_entry(
        self, head: Recorded | None, rows: Mapping[str, ReleaseRow], *, registry: str, time_ms: int, who: str, why: str
    ) -> Entry:
        """The entry that follows `head` and names these versions."""
        return Entry(
            registry=registry,
            log=self.log.name,
            n=head.n + 1 if head else 1,
            prev=head.id if head else None,
            nonce=secrets.token_hex(16),
            op=Operation.SET,
            time_ms=time_ms,
            who=who,
            why=why,
            release=dict(rows),
        )


def rows_of(recorded: Recorded | None) -> Mapping[str, ReleaseRow]:
    """The versions that an entry of a release's log names, by model."""
    return (recorded.entry.release or {}) if recorded else {}
