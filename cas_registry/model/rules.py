"""Rules of tags: what must hold before a tag moves. Kept in the catalogue, checked by whoever moves it."""

from collections.abc import Mapping
from dataclasses import dataclass

from cas_registry.errors import FormatError, InvalidInputError
from cas_registry.model import canonical
from cas_registry.model.names import check_ref, read_name

MAX_RULES = 1000  # of one model
MAX_APPROVALS = 100
MAX_PATTERNS = 100
MAX_CONDITION_BYTES = 4096
_MAX_PATTERN_BYTES = 1024
_FIELDS = ("who", "approvals", "approvers", "when", "checks", "after")


@dataclass(frozen=True, slots=True)
class TagRule:
    """What it takes to move a tag.

    `who` are patterns of people who may (`*@example.org`; none: everybody), `approvals` how many others must have approved, `approvers`
    patterns of those whose approval counts (none: everybody's), `when` a condition that the version must meet, in the language of searches,
    `checks` what else is looked at (`safe`, `signed`, `card`), `after` tags of which each must stand, or have stood, at the version.
    """

    who: tuple[str, ...] = ()
    approvals: int = 0
    approvers: tuple[str, ...] = ()
    when: str | None = None
    checks: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


TagRules = Mapping[str, TagRule]  # by the tag's name, or a pattern of names: `env/*`


def check_rules(rules: TagRules) -> TagRules:
    """The same rules. Raises InvalidInputError for what could not be stored."""
    try:
        decode_rules(rules_value(rules))
    except FormatError as error:
        raise InvalidInputError(f"not a rule of a tag: {error}") from error
    return rules


def rules_value(rules: TagRules) -> canonical.Json:
    """A model's rules as a log entry holds them."""
    return {
        tag: {
            "who": list(rule.who),
            "approvals": rule.approvals,
            "approvers": list(rule.approvers),
            "when": rule.when,
            "checks": list(rule.checks),
            "after": list(rule.after),
        }
        for tag, rule in rules.items()
    }


def decode_rules(value: canonical.Json) -> dict[str, TagRule]:
    """A model's rules in a log entry. Raises FormatError."""
    rows = canonical.mapping(value, what="rules")
    if not 1 <= len(rows) <= MAX_RULES:
        raise FormatError(f"a model has 1 to {MAX_RULES} rules, or is not named")
    return {_tag_pattern(tag): _decode_rule(row) for tag, row in rows.items()}


def _decode_rule(value: canonical.Json) -> TagRule:
    row = canonical.mapping(value, what="a rule")
    if row.keys() != set(_FIELDS):
        raise FormatError("a rule with missing or unknown fields")
    when = row["when"]
    return TagRule(
        who=_texts(row, "who"),
        approvals=canonical.integer(row["approvals"], what="approvals", maximum=MAX_APPROVALS),
        approvers=_texts(row, "approvers"),
        when=None if when is None else canonical.text(when, what="when", max_bytes=MAX_CONDITION_BYTES),
        checks=_texts(row, "checks"),
        after=tuple(read_name(tag, check_ref, of="a rule of a tag") for tag in _texts(row, "after")),
    )


def _texts(row: Mapping[str, canonical.Json], name: str) -> tuple[str, ...]:
    items = canonical.array(row[name], what=name, max_items=MAX_PATTERNS)
    return tuple(canonical.text(item, what=name, max_bytes=_MAX_PATTERN_BYTES) for item in items)


def _tag_pattern(pattern: str) -> str:
    read_name(pattern.replace("*", "x"), check_ref, of="a rule of a tag")
    return pattern
