"""What a file does to whoever loads it, as far as its content was looked at when it was committed. See docs/format.md, "On loading"."""

from collections.abc import Iterable
from enum import IntEnum


class OnLoad(IntEnum):
    """What was found in a file's content: never that it is harmless, at best that nothing known to run was found."""

    NOT_LOOKED_AT = 0
    NO_PICKLE_FOUND = 1
    PICKLE = 2
    CODE = 3  # code of Python that a configuration of Keras carries or imports
    SEALED = 4  # encrypted, too large, broken, or compressed in a way that is not undone here: what is in it could be either

    @property
    def label(self) -> str:
        """The mark for programs: `no-pickle-found`."""
        return self.name.lower().replace("_", "-")

    @property
    def runs_code(self) -> bool:
        """Whether loading the file runs code, or may, for all that could be seen of it. False where nobody looked."""
        return self > OnLoad.NO_PICKLE_FOUND

    @property
    def is_cleared(self) -> bool:
        """Whether somebody looked, and found nothing that runs."""
        return self is OnLoad.NO_PICKLE_FOUND


def shared_mark(marks: Iterable[OnLoad]) -> OnLoad:
    """The mark that all these files have; NOT_LOOKED_AT where they differ, which means to look at each."""
    found = set(marks)
    return found.pop() if len(found) == 1 else OnLoad.NOT_LOOKED_AT
