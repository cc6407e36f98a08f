"""Retention policies: which versions of a model stay. A version stays if any rule keeps it; a policy without rules keeps all."""

from collections.abc import Mapping
from dataclasses import dataclass

from cas_registry.errors import FormatError, InvalidInputError
from cas_registry.model import canonical

EVERY_MODEL = "*"  # the policy of every model that has none of its own
MAX_COUNT = 10**9
MAX_BEST = 16
_MAX_METRIC_BYTES = 256
_FIELDS = ("last", "days", "tagged", "best")
_BEST_COLUMNS = 3


@dataclass(frozen=True, slots=True)
class Best:
    """Keep the `count` versions with the largest (or smallest) value of a metric."""

    metric: str
    count: int
    smallest: bool = False


@dataclass(frozen=True, slots=True)
class Keep:
    """What stays: the `last` versions, those of the last `days`, and the best by metrics. What a branch or tag stands at always stays;
    `tagged` says that nothing else needs to."""

    last: int | None = None
    days: int | None = None
    tagged: bool = False
    best: tuple[Best, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is no rule at all."""
        return self == Keep()


def check_keep(rule: Keep) -> Keep:
    """The same policy. Raises InvalidInputError for one that cannot be stored, or that has no rule."""
    if rule.is_empty:
        raise InvalidInputError("a retention policy needs at least one rule: --last, --days, --tagged or --best")
    try:
        decode_keep(keep_value(rule))
    except FormatError as error:
        raise InvalidInputError(f"not a retention policy: {error}") from error
    return rule


def keep_value(rule: Keep) -> canonical.Json:
    """The policy as a log entry holds it."""
    return {
        "last": rule.last,
        "days": rule.days,
        "tagged": rule.tagged,
        "best": [[best.metric, "min" if best.smallest else "max", best.count] for best in rule.best],
    }


def decode_keep(value: canonical.Json) -> Keep:
    """The policy in a log entry. Raises FormatError."""
    row = canonical.mapping(value, what="keep")
    if row.keys() != set(_FIELDS):
        raise FormatError("a retention policy with missing or unknown fields")
    if not isinstance(row["tagged"], bool):
        raise FormatError("a retention policy whose `tagged` is neither true nor false")
    best = canonical.array(row["best"], what="best", max_items=MAX_BEST)
    return Keep(
        last=_count(row, "last"),
        days=_count(row, "days"),
        tagged=row["tagged"],
        best=tuple(_decode_best(item) for item in best),
    )


def _count(row: Mapping[str, canonical.Json], name: str) -> int | None:
    return None if row[name] is None else canonical.integer(row[name], what=name, maximum=MAX_COUNT)


def _decode_best(value: canonical.Json) -> Best:
    if not isinstance(value, list) or len(value) != _BEST_COLUMNS or value[1] not in ("max", "min"):
        raise FormatError("a rule for the best that is not [metric, max or min, count]")
    metric = canonical.text(value[0], what="metric", max_bytes=_MAX_METRIC_BYTES)
    return Best(metric, canonical.integer(value[2], what="count", maximum=MAX_COUNT), smallest=value[1] == "min")
