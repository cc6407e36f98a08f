"""Conditions over versions: `metrics.auc >= 0.91 and metrics.auc >= prod`, parsed, judged, and turned into SQL.

Pure: no files, clock, threads or database here. What a version is known by comes in as plain facts; what time it is, as a number.
The language is told in docs/searching.md.
"""

from cas_registry.query.condition import Condition, Facts
from cas_registry.query.fields import Field
from cas_registry.query.order import Order, parse_order
from cas_registry.query.parsing import parse_condition

__all__ = ["Condition", "Facts", "Field", "Order", "parse_condition", "parse_order"]
