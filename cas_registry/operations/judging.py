"""Judging a move by the rules of its tag: who may, approvals, a condition, checks of the version, tags where it must have stood before.

What is decided by names goes by what people call themselves: a bucket cannot tell who somebody is. A rule with the check `signed` goes by
signatures instead, of keys that the mover's own `allowed_signers` names, and so does not depend on anybody's word but the mover's.
All is judged by the entries of the log and the objects that they name, never by what a cache remembers.
"""

from collections.abc import Iterator, Sequence, Set
from functools import cached_property

from cas_registry.errors import InvalidInputError, NotFoundError, RegistryError
from cas_registry.model.commit import Commit, encode_commit
from cas_registry.model.entry import CommitStats, RefKind, VersionRow
from cas_registry.model.ids import CommitId
from cas_registry.operations.card import CARD_NAMES
from cas_registry.operations.notes import NoteRecord, find_notes, is_same_person, note_record
from cas_registry.operations.rules import Applied, Candidate, Scene, Verdict, judge_who, matches
from cas_registry.operations.signing import Signer, signers_of
from cas_registry.operations.trust import Trust
from cas_registry.operations.version_files import list_files, marks_of
from cas_registry.query import Condition, Facts, parse_condition
from cas_registry.query.condition import And, Comparison, Exists, Node, Not, Or, Reference
from cas_registry.query.facts import version_facts
from cas_registry.store.log import Recorded
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores

_NAMED = 5  # files or people told in a verdict
_SHOWN = 200  # characters of what somebody said


def judge(
    stores: Stores, scene: Scene, tag: str, version: Version | Candidate, rules: Sequence[Applied], *, returning: bool = False
) -> tuple[Verdict, ...]:
    """What each of the rules of a tag asks for before it moves to a version, and whether it is met; with `returning`, who may move it alone."""
    if returning:
        return tuple(verdict for rule in rules for verdict in judge_who(rule, scene.mover.who))
    if isinstance(version, Version):
        version = Candidate(stores.objects.read_commit(version.commit), version.map, version.number, version)
    judgement = _Judgement(stores, scene, tag, version)
    return tuple(verdict for rule in rules for verdict in judgement.of(rule))


class _Judgement:
    """One move under judgement; what several rules ask for is read once."""

    def __init__(self, stores: Stores, scene: Scene, tag: str, version: Candidate) -> None:
        self._stores = stores
        self._scene = scene
        self._tag = tag
        self._candidate = version
        self._version = version.version
        self._noted: dict[CommitId, list[Recorded]] = {}

    def of(self, rule: Applied) -> Iterator[Verdict]:
        """All that a rule asks for."""
        yield from judge_who(rule, self._scene.mover.who)
        yield from self._approvals(rule)
        yield from self._condition(rule)
        for check in rule.rule.checks:
            yield from self._check(rule, check)
        for tag in rule.rule.after:
            yield self._after(rule, tag)

    def _approvals(self, rule: Applied) -> Iterator[Verdict]:
        """Approvals of others than the author, by the last word of each; whatever the rule asks for, a refusal that stands is in the way."""
        wanted = rule.rule.approvals
        words, unsigned = self._words(rule)
        refused = [(name, note.text) for name, note in words.items() if not note.approved]
        if refused:
            shown = ", ".join(name + (f": {_first_words(text)}" if text else "") for name, text in refused[:_NAMED])
            yield _unmet(
                rule, "no refusal", shown, f"whoever refused it may approve it ({self._advice()}); or promote another version"
            )
        if not wanted:
            return
        of_whom = f" of {' or '.join(rule.rule.approvers)}" if rule.rule.approvers else ""
        asked = f"{wanted} approval{'s' if wanted > 1 else ''}{of_whom}"
        author = self._candidate.commit.author
        counted = [name for name, note in words.items() if note.approved and not self._is_author(rule, name)]
        found = ", ".join(counted[:_NAMED]) or "none"
        if any(note.approved and self._is_author(rule, name) for name, note in words.items()):
            found += f"; {author} made the version, which is no approval"
        if unsigned:
            found += f"; {unsigned} that nobody signed whom this machine trusts"
        missing = wanted - len(counted)
        remedy = (
            f"{missing} more: {self._advice()}"
            if self._version
            else "commit it without the tag, have it approved, and promote it"
        )
        yield Verdict(rule, asked, missing <= 0, found, remedy if missing > 0 else "")

    def _condition(self, rule: Applied) -> Iterator[Verdict]:
        if rule.rule.when is None:
            return
        try:
            condition = parse_condition(rule.rule.when)
        except InvalidInputError as error:  # of a newer reg, or set by no reg at all
            yield _unmet(rule, rule.rule.when, error.message, f"mend the rule: reg policy protect {rule.pattern}")
            return
        nowhere = {name for name in condition.versions() if self._standing(name) is None}
        if nowhere:
            condition = Condition(_without(condition.root, nowhere))
        objections = condition.objections(self._facts, now_ms=self._scene.mover.time_ms, version=self._facts_at)
        found = "; ".join(objections) or "met" + (f", nothing stands at {', '.join(sorted(nowhere))}" if nowhere else "")
        remedy = "promote another version, or note what was measured since (reg note --metric)"
        yield Verdict(rule, rule.rule.when, not objections, found, remedy if objections else "")

    def _check(self, rule: Applied, name: str) -> Iterator[Verdict]:
        match name:
            case "safe":
                yield self._safe(rule)
            case "card":
                yield self._card(rule)
            case "signed":
                yield from self._signed(rule)
            case _:
                yield _unmet(rule, f"the check {name!r}", "this version of reg does not know it", "use a newer one")

    def _safe(self, rule: Applied) -> Verdict:
        files, _ = list_files(self._stores.objects, self._candidate.commit.tree)
        marks = marks_of(self._stores.objects, self._candidate.map, ((file.entry, file.folder) for file in files))
        found = [f"{file.path} ({mark.label})" for file, mark in zip(files, marks, strict=True) if not mark.is_cleared]
        shown = ", ".join(found[:_NAMED]) + (", …" if len(found) > _NAMED else "")
        return Verdict(
            rule, "no file that runs code on loading", not found, shown or f"none of {len(files)}",
            "commit the weights in a form that runs nothing, such as safetensors" if found else "",
        )  # fmt: skip

    def _card(self, rule: Applied) -> Verdict:
        tree = self._stores.objects.read_tree(self._candidate.commit.tree)
        card = next((name for name in CARD_NAMES if (found := tree.get(name)) and not found.is_folder), None)
        remedy = "" if card else f"commit a version with one, {' or '.join(CARD_NAMES)}"
        return Verdict(rule, "a model card", card is not None, card or "none", remedy)

    def _signed(self, rule: Applied) -> Iterator[Verdict]:
        """The version's own entry, and the move; approvals are counted by their signatures already."""
        trusted = self._trust
        if isinstance(trusted, str):
            yield _unmet(rule, "signatures of people whom this machine trusts", trusted, "name them in allowed_signers")
            return
        asked = "a version signed by somebody whom this machine trusts"
        if self._version is not None:
            signers = ", ".join(signer.principal for signer in self._makers)
            yield Verdict(
                rule, asked, bool(signers), signers or "nobody", "" if signers else "sign the next one: reg commit --sign"
            )
        yield Verdict(
            rule, "a signed move", self._scene.mover.signs, "signed" if self._scene.mover.signs else "not signed",
            "" if self._scene.mover.signs else "sign it: --sign",
        )  # fmt: skip

    def _after(self, rule: Applied, tag: str) -> Verdict:
        passed = self._version is not None and self._has_stood(tag, self._version.commit)
        remedy = "" if passed else f"promote it there first: reg promote {self._revision} {tag}"
        return Verdict(rule, f"a version that stood at {tag!r} before", passed, "it did" if passed else "it did not", remedy)

    @property
    def _revision(self) -> str:
        """How to name the version in a command."""
        return f"{self._scene.model}@{self._version.commit.short}" if self._version else "REV"

    def _advice(self) -> str:
        return f"reg approve {self._revision} {self._tag}"

    def _words(self, rule: Applied) -> tuple[dict[str, NoteRecord], int]:
        """The last word on the version and the tag of each person whose word counts, and how many notes nobody signed who is trusted.

        By their names in the log; or, where the rule asks for signatures, by the names that allowed_signers gives to the keys.
        """
        words: dict[str, NoteRecord] = {}
        unsigned = 0
        version = self._version
        for recorded in self._notes_on(version, self._candidate.commit) if version else ():
            note = note_record(recorded)
            if note.tag != self._tag:
                continue
            people = [note.who]
            if "signed" in rule.rule.checks:
                people = [signer.principal for signer in self._signers(recorded)]
                unsigned += not people
            for person in people:
                known = next((name for name in words if is_same_person(name, person)), person)
                if self._counts(rule, person, refuses=not note.approved):
                    words[known] = note
        return words, unsigned

    def _counts(self, rule: Applied, person: str, *, refuses: bool) -> bool:
        """Whether the rule asks for a person's word; that of the author counts against the version."""
        approvers = rule.rule.approvers
        asked = not approvers or any(matches(pattern, person) for pattern in approvers)
        return asked or (refuses and self._is_author(rule, person))

    def _is_author(self, rule: Applied, person: str) -> bool:
        made = "signed" in rule.rule.checks and any(is_same_person(signer.principal, person) for signer in self._makers)
        return made or is_same_person(person, self._candidate.commit.author)

    def _signers(self, recorded: Recorded) -> list[Signer]:
        if isinstance(self._trust, str):
            return []
        table = self._stores.refs(recorded.entry.log).table(recorded)
        return signers_of(self._stores, recorded, table, self._trust)[0]

    @cached_property
    def _trust(self) -> Trust | str:
        """Whom this machine trusts, or why it trusts nobody."""
        if self._scene.mover.trust is None:
            return "there are no allowed signers"
        try:
            return self._scene.mover.trust()
        except RegistryError as error:
            return error.message

    @cached_property
    def _makers(self) -> list[Signer]:
        """Who signed the entry that made the version known."""
        if self._version is None:
            return []
        return self._signers(self._stores.refs(self._scene.model).introduction(self._version.commit))

    @cached_property
    def _facts(self) -> Facts:
        """What is known of the version that is to move there."""
        found = self._candidate
        return self._known(found.commit, found.version, found.number, found.stats)

    def _facts_at(self, name: str) -> Facts | None:
        """What is known of the version at a tag or branch."""
        row = self._standing(name)
        if row is None:
            return None
        version = self._stores.refs(self._scene.model).version(row)
        return self._known(self._stores.objects.read_commit(row.commit), version, row.number, None)

    def _known(self, commit: Commit, version: Version | None, number: int, stats: CommitStats | None) -> Facts:
        notes = [note for recorded in self._notes_on(version, commit) if (note := recorded.entry.note)] if version else []
        if stats is None and version is not None:
            stats = self._stores.log(version.log).read(version.at).entry.stats
        identity = version.commit if version else CommitId.of(encode_commit(commit))
        tags, branches = (
            [name for name, ref in self._scene.table.of(kind).items() if ref.commit == identity]
            for kind in (RefKind.TAG, RefKind.BRANCH)
        )
        return version_facts(
            identity, commit, model=self._scene.model, number=number, stats=stats, tags=tags, branches=branches, notes=notes
        )  # fmt: skip

    def _standing(self, name: str) -> VersionRow | None:
        live = self._scene.table.find(name)
        return live[1].version if live else None

    def _notes_on(self, version: Version, commit: Commit) -> list[Recorded]:
        """The notes about a version in the model's log: of its own versions none comes before the entry that made them known."""
        head = self._scene.head
        if version.commit not in self._noted:
            after = version.at if commit.log == version.log == self._scene.model else 0
            notes = find_notes(self._stores.log(self._scene.model), head, after=after) if head else []
            about = [recorded for recorded in notes if recorded.entry.note and recorded.entry.note.commit == version.commit]
            self._noted[version.commit] = about
        return self._noted[version.commit]

    def _has_stood(self, tag: str, commit: CommitId) -> bool:
        """Whether the tag stands, or once stood, at a version. A branch of that name counts for nothing: anybody may move it."""
        row = self._scene.table.tags.get(tag)
        if row is not None and row.commit == commit:
            return True
        try:
            moves = self._stores.refs(self._scene.model).moves(RefKind.TAG, tag)
            return any(move.commit == commit for move in moves)
        except NotFoundError:
            return False


def _unmet(rule: Applied, asked: str, found: str, remedy: str) -> Verdict:
    return Verdict(rule, asked, passed=False, found=found, remedy=remedy)


def _first_words(text: str) -> str:
    line = text.strip().partition("\n")[0]
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"


def _without(node: Node, nowhere: Set[str], *, denied: bool = False) -> Node:
    """A condition without comparisons to what stands nowhere: there is nothing to beat, but it must have been measured."""
    match node:
        case Comparison(value=Reference(version=version)) if version in nowhere:
            return Not(Exists(node.field)) if denied else Exists(node.field)
        case Not():
            return Not(_without(node.part, nowhere, denied=not denied))
        case And():
            return And(tuple(_without(part, nowhere, denied=denied) for part in node.parts))
        case Or():
            return Or(tuple(_without(part, nowhere, denied=denied) for part in node.parts))
        case _:
            return node
