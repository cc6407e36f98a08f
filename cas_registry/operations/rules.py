"""Rules of tags: which ones a tag falls under, and that nobody moves it against them. What they ask is judged in `judging`.

Rules stand in the catalogue and are checked by whoever moves a tag, in the operation that moves it. They are read after the log's head that the
entry is to follow, and anew for each head: whoever follows an entry obeys every rule that was set before that entry was written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cas_registry.errors import InvalidInputError, NotFoundError, RuleError
from cas_registry.model.commit import Commit
from cas_registry.model.entry import CommitStats, RefTable
from cas_registry.model.ids import MapName
from cas_registry.model.keep import EVERY_MODEL
from cas_registry.model.names import check_ref
from cas_registry.model.rules import TagRule, TagRules, check_rules
from cas_registry.store.log import Recorded
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores

if TYPE_CHECKING:
    from cas_registry.operations.trust import Trust

CHECKS = ("safe", "signed", "card")


@dataclass(frozen=True, slots=True)
class Applied:
    """A rule that a tag falls under: that of `pattern`, the tag's name or a pattern of names, in the rules of `model` (`"*"`: of all)."""

    model: str
    pattern: str
    rule: TagRule

    @property
    def names_it(self) -> bool:
        """Whether it is about certain names: a pattern that begins with `*` is about whatever there may be."""
        return not self.pattern.startswith("*")


@dataclass(frozen=True, slots=True)
class Mover:
    """Who moves a tag, when, whether the move is signed, and how to find out whom the machine trusts (None: it trusts nobody)."""

    who: str
    time_ms: int
    signs: bool = False
    trust: Callable[[], Trust] | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """One thing that a rule asks for: `asked`, what was `found`, whether that is enough, and the `remedy` where it is not."""

    rule: Applied
    asked: str
    passed: bool
    found: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Scene:
    """A model's log as its head leaves it (None: it has no entries yet), and who is to move its tags."""

    model: str
    head: Recorded | None
    table: RefTable
    mover: Mover


@dataclass(frozen=True, slots=True)
class Candidate:
    """The version that a tag is to stand at, the log's `number`-th. `version` is None for one whose entry is yet to be written, with what it
    cost in `stats`; for others that is looked up."""

    commit: Commit
    map: MapName
    number: int
    version: Version | None = None
    stats: CommitStats | None = None


def check_rule(pattern: str, rule: TagRule) -> TagRule:
    """The same rule. Raises InvalidInputError for one that could not be stored, or never be understood: a condition that is none, a check
    that there is not."""
    check_rules({pattern: rule})
    if unknown := [name for name in rule.checks if name not in CHECKS]:
        raise InvalidInputError(f"there is no check {unknown[0]!r}; there are {', '.join(CHECKS)}", check=unknown[0])
    for tag in rule.after:
        check_ref(tag)
        if tag == pattern:
            raise InvalidInputError(f"a version cannot have stood at {tag!r} before it stands there", tag=tag)
    if rule.when is not None:
        from cas_registry.query import parse_condition  # noqa: PLC0415 - where there is a condition

        parse_condition(rule.when)
    return rule


def set_rules(stores: Stores, rules: TagRules, *, model: str | None, time_ms: int, who: str, why: str = "") -> None:
    """Put tags of a model (None: of all) under rules, in place of those they had. They hold for every move that begins from now on."""
    for pattern, rule in rules.items():
        check_rule(pattern, rule)
    why = why or f"rules of {', '.join(rules)}"
    stores.catalogue.change_rules(
        model or EVERY_MODEL, lambda known: check_rules({**known, **rules}), time_ms=time_ms, who=who, why=why
    )


def drop_rule(stores: Stores, pattern: str, *, model: str | None, time_ms: int, who: str, why: str = "") -> None:
    """Take a rule away. NotFoundError if there is none."""

    def drop(known: TagRules) -> TagRules:
        if pattern not in known:
            of = f"model {model!r}" if model else "the models together"
            raise NotFoundError(f"there is no rule of tag {pattern!r} for {of}; reg policy lists them", tag=pattern)
        return {name: rule for name, rule in known.items() if name != pattern}

    why = why or f"no rule of {pattern} any more"
    stores.catalogue.change_rules(model or EVERY_MODEL, drop, time_ms=time_ms, who=who, why=why)


def rules_for(rules: Mapping[str, TagRules] | None, model: str, tag: str) -> tuple[Applied, ...]:
    """The rules that a tag falls under: each that matches its name, a model's own in place of the common one of the same pattern. One that asks
    for nothing is none: it names a stage, or exempts a model."""
    if not rules:
        return ()
    found = {
        pattern: Applied(owner, pattern, rule)
        for owner in (EVERY_MODEL, model)
        for pattern, rule in rules.get(owner, {}).items()
    }
    return tuple(found[pattern] for pattern in sorted(found) if matches(pattern, tag) and found[pattern].rule != TagRule())


def current_rules(
    stores: Stores, model: str, tags: Iterable[str], catalogue: Recorded | None = None
) -> dict[str, tuple[Applied, ...]]:
    """The rules that these tags fall under, tags without rules left out: by the catalogue's head as it was just read, else as it is now."""
    rules = (catalogue or stores.catalogue.head()).entry.rules
    found = {tag: rules_for(rules, model, tag) for tag in tags}
    return {tag: applied for tag, applied in found.items() if applied}


def matches(pattern: str, text: str) -> bool:
    """Whether `*` for any number of characters, slashes too, makes the pattern the text. In linear time: patterns come from strangers."""
    first, *others = pattern.split("*")
    if not others:
        return pattern == text
    *inner, last = others
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    start, end = len(first), len(text) - len(last)
    for part in inner:
        start = text.find(part, start, end)
        if start < 0:
            return False
        start += len(part)
    return True


def check_move(
    stores: Stores, scene: Scene, tags: Sequence[str], version: Version | Candidate, *, catalogue: Recorded | None = None,
    returning: bool = False,
) -> None:  # fmt: skip
    """Whether the rules let tags move to a version; with `returning`, back to one where they stood before: who may is then all that is asked.
    RuleError says what is wanting."""
    rules = current_rules(stores, scene.model, tags, catalogue)
    if not rules:
        return
    from cas_registry.operations.judging import judge  # noqa: PLC0415 - conditions and signatures load where there are rules

    for tag, applied in rules.items():
        verdicts = judge(stores, scene, tag, version, applied, returning=returning)
        where = f"v{version.number}" + (f" ({version.commit.short})" if isinstance(version, Version) else "")
        refuse_unmet(f"tag {tag!r} of model {scene.model!r} may not move to {where}", verdicts)


def check_prospect(stores: Stores, model: str, tags: Sequence[str], who: str) -> None:
    """Whether a version that is yet to be made could have these tags from the first: RuleError before anything is uploaded for it, where a
    rule asks for what comes later."""
    for tag, applied in current_rules(stores, model, tags).items():
        verdicts = [verdict for one in applied for verdict in _judge_prospect(one, tag, who)]
        refuse_unmet(f"tag {tag!r} of model {model!r} may not move to a version in the step that makes it", verdicts)


def judge_who(applied: Applied, who: str) -> Iterator[Verdict]:
    """Whether somebody is one of those whom the rule lets move the tag."""
    if applied.rule.who:
        passed = any(matches(pattern, who) for pattern in applied.rule.who)
        yield Verdict(
            applied, f"a move by {' or '.join(applied.rule.who)}", passed, who, "" if passed else "let one of them do it"
        )


def check_removal(stores: Stores, model: str, tags: Sequence[str], who: str) -> None:
    """Whether somebody may take these tags away: as each of their rules says by name. RuleError."""
    for tag, applied in current_rules(stores, model, tags).items():
        found = [
            Verdict(
                one, f"taken away by {' or '.join(one.rule.who) or 'nobody'}", any(matches(name, who) for name in one.rule.who), who,
                "let one of them do it" if one.rule.who else f"take its rule away first: reg policy unprotect {one.pattern}",
            )
            for one in applied
        ]  # fmt: skip
        refuse_unmet(f"tag {tag!r} of model {model!r} is protected and may not be deleted", found)


def check_branch(stores: Stores, model: str, branch: str, *, catalogue: Recorded | None = None) -> None:
    """Whether a new branch may have a name: not that of a protected tag, in whose place it would be found. RuleError."""
    for applied in current_rules(stores, model, [branch], catalogue).get(branch, ()):
        if applied.names_it:
            verdict = Verdict(applied, "a tag", passed=False, found="a branch", remedy="choose another name for the branch")
            refuse_unmet(f"{branch!r} of model {model!r} is the name of a protected tag", [verdict])


def refuse_unmet(what: str, verdicts: Sequence[Verdict]) -> None:
    """RuleError where not all of them are met: which rule, what was found, and what would be enough."""
    unmet = [verdict for verdict in verdicts if not verdict.passed]
    if unmet:
        told = "; ".join(f"{one.asked}: {one.found}" + (f" ({one.remedy})" if one.remedy else "") for one in unmet)
        names = ", ".join(dict.fromkeys(_name(one.rule) for one in unmet))
        raise RuleError(
            f"{what}, by the rule of {names}. It asks for {told}",
            rules=[_name(one.rule) for one in unmet],
            unmet=[f"{one.asked}: {one.found}" for one in unmet],
            remedies=[one.remedy for one in unmet],
        )


def _judge_prospect(applied: Applied, tag: str, who: str) -> Iterator[Verdict]:
    yield from judge_who(applied, who)
    rule = applied.rule
    later = [f"{rule.approvals} approval{'s' if rule.approvals > 1 else ''}"] if rule.approvals else []
    later += [f"a version that stood at {stage!r} before" for stage in rule.after]
    for asked in later:
        yield Verdict(
            applied, asked, passed=False, found="not made yet", remedy=f"commit it without the tag, then reg promote REV {tag}"
        )


def _name(applied: Applied) -> str:
    return applied.pattern if applied.model == EVERY_MODEL else f"{applied.model}@{applied.pattern}"
