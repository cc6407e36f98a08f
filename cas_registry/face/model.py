"""A model of a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cas_registry.face.contents import Contents
from cas_registry.face.finding import ModelFinding
from cas_registry.face.history import History

if TYPE_CHECKING:
    pass


class Model(Contents, History, ModelFinding):
    """One model of a registry: branches, tags and versions. Revisions are `prod`, `main~2`, `main@{3}`, 8 or more hex digits, and
    may name another model in front (`other@prod`)."""
