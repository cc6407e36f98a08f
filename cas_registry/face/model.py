"""A model of a registry."""

from __future__ import annotations

from cas_registry.face.comparing import Comparing
from cas_registry.face.exporting import Exporting
from cas_registry.face.finding import ModelFinding
from cas_registry.face.history import History
from cas_registry.face.keeping import Keeping
from cas_registry.face.objects import Objects
from cas_registry.face.promotion import Promotion
from cas_registry.face.serving import Serving
from cas_registry.face.teams import Teams


class Model(Serving, Objects, Exporting, History, ModelFinding, Promotion, Teams, Comparing, Keeping):
    """One model of a registry: branches, tags and versions. Revisions are `prod`, `main~2`, `main@{3}`, `v17`, 8 or more hex digits, and
    may name another model in front (`other@prod`)."""
