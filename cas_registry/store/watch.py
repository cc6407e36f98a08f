"""Rollback and forks: a log may only go on from what this machine saw of it last.

Costs no request. A head that follows the last one seen at once proves that by its `prev`; where more came between, the chain is
owed, and followed by whoever verifies.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cas_registry.errors import RollbackError
from cas_registry.model.ids import FileId
from cas_registry.store.layout import entry_key
from cas_registry.store.log import Recorded
from cas_registry.worktree.sightings import Seen, Sighting, forget_seen, read_seen, write_seen

_LONGEST_NAME_BYTES = 200  # a file's name may have 255, of which the temporary one beside it takes some


class Watch:
    """Remembers the logs of one registry in a folder of its own. Safe for several threads and processes: at worst less is remembered."""

    def __init__(self, folder: Path, *, clock_ns: Callable[[], int]) -> None:
        self._folder = folder
        self._clock_ns = clock_ns

    def recall(self, log: str) -> Callable[[Recorded | None], None]:
        """A check of the head that is read from now on, by what is known until now. RollbackError where the two disagree."""
        seen = read_seen(self.path(log))

        def check(head: Recorded | None) -> None:
            if seen is not None:
                self._compare(log, seen, head)
            if head is not None and (seen is None or head.n > seen.last.n):
                self.keep(head)

        return check

    def keep(self, recorded: Recorded) -> None:
        """Remember a head, unless one that is further on is remembered."""
        path = self.path(recorded.entry.log)
        seen = read_seen(path)
        if seen is None:
            now = self._sighting(recorded)
            write_seen(path, Seen(now, now))
        elif recorded.n > seen.last.n:
            now = self._sighting(recorded)
            is_next = recorded.entry.prev == seen.last.id and seen.followed == seen.last
            write_seen(path, Seen(now, now if is_next else seen.followed))

    def owed(self, log: str) -> Sighting | None:
        """The entry from which on the chain of hashes is to be followed, or None for a log never seen."""
        seen = read_seen(self.path(log))
        return seen.followed if seen else None

    def check_chain(self, log: str, owed: Sighting, found: Recorded) -> None:
        """RollbackError unless the entry at the number of a sighting is the one that was seen."""
        if found.id != owed.id:
            raise self._rollback(log, owed, f"entry {owed.n} is another one now")

    def followed(self, head: Recorded) -> None:
        """Remember that the chain was followed up to this head."""
        path, now = self.path(head.entry.log), self._sighting(head)
        seen = read_seen(path)
        write_seen(path, Seen(seen.last if seen and seen.last.n > now.n else now, now))

    def accept(self, log: str) -> None:
        """Forget what was seen of a log: whatever it is now is taken for good."""
        forget_seen(self.path(log))

    def path(self, log: str) -> Path:
        """The file of a log. Its name is a model's, which is a safe name on every system, the catalogue's or a release's, whose colon is none
        of those; a long one is hashed."""
        long = len(log.encode("utf-8")) > _LONGEST_NAME_BYTES
        return self._folder / f"{FileId.of(log.encode('utf-8')).hex if long else log.replace(':', '@')}.json"

    def _compare(self, log: str, seen: Seen, head: Recorded | None) -> None:
        last = seen.last
        if head is None:
            raise self._rollback(log, last, "it has no entries now")
        if head.n < last.n:
            raise self._rollback(log, last, f"it ends with entry {head.n} now")
        if head.n == last.n and head.id != last.id:
            raise self._rollback(log, last, f"entry {last.n} is another one now")
        if head.n == last.n + 1 and head.entry.prev != last.id:
            raise self._rollback(log, last, f"its entry {head.n} follows another one now")

    def _rollback(self, log: str, seen: Sighting, what: str) -> RollbackError:
        path = self.path(log)
        when = datetime.fromtimestamp(seen.time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return RollbackError(
            f"the log of {log!r} was at entry {seen.n} ({seen.id.short}) on {when}, and {what}: somebody put an older or another log in "
            f"its place. Ask who keeps the bucket; where this was meant (a backup restored), accept it with reg verify --accept, or remove {path}",
            key=entry_key(log, seen.n),
            log=log,
            seen=seen.n,
            seen_id=seen.id.hex,
            seen_ms=seen.time_ms,
            remembered=str(path),
        )

    def _sighting(self, recorded: Recorded) -> Sighting:
        return Sighting(recorded.n, recorded.id, self._clock_ns() // 1_000_000)
