"""How a long operation says where it is."""

from typing import Protocol


class Progress(Protocol):
    """Told about an operation's advance; called from one thread, a few times a second at most."""

    def update(self, stage: str, done_bytes: int, total_bytes: int) -> None:
        """`stage` (such as "hash", "store", "write") has done so many bytes of so many."""


class NoProgress:
    """Listens to nothing."""

    def update(self, stage: str, done_bytes: int, total_bytes: int) -> None:
        pass
