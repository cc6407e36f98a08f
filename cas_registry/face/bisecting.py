"""What a folder remembers of a search for the first bad version, between one command and the next."""

from cas_registry.worktree.bisection import BisectionState, forget_bisection, read_bisection, write_bisection

__all__ = ["BisectionState", "forget_bisection", "read_bisection", "write_bisection"]
