"""Rules of tags: what they ask, that every verb which moves a tag asks, and what is said where they are not met."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.wrappers import CountingBackend
from cas_registry.errors import HostileNameError, InvalidInputError, NotFoundError, RuleError
from cas_registry.model.entry import RefKind, decode_entry, encode_entry
from cas_registry.model.rules import TagRule
from cas_registry.model.signature import decode_signature, encode_signature
from cas_registry.operations.rules import Applied, matches, rules_for
from cas_registry.registry import Model, Registry, registry_over
from cas_registry.store.layout import entry_key, signature_key, signatures_prefix
from tests.support.folders import File, write_folder
from tests.support.simulated import Clock, HookedBackend, make_registry, make_world
from tests.support.ssh_keys import Key, make_key, needs_ssh_keygen


@dataclass
class Bench:
    work: Path
    store: MemoryBackend

    def as_(self, who: str, **more: object) -> Model:
        return self.registry(who, **more).model("m")

    def registry(self, who: str = "ana@lab", **more: object) -> Registry:
        return registry_over(self.store, replace(make_world(author=who), **more))

    def commit(self, seed: str, *, who: str = "ana@lab", **more: object) -> str:
        write_folder(self.work, {"c.json": File(seed.encode())})
        return self.as_(who).commit(self.work, **more).commit.hex

    def protect(self, tag: str, **asked: object) -> None:
        self.registry("owner@lab").protect(tag, TagRule(**asked))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """v1 (auc 0.90), v2 (auc 0.93), both by ana@lab; prod stands at v1."""
    found = Bench(tmp_path / "work", MemoryBackend("rules"))
    make_registry(found.store)
    found.commit("one", metrics={"auc": 0.90}, tags=["prod"])
    found.commit("two", metrics={"auc": 0.93})
    return found


def refusal(action: Callable[[], object], match: str) -> RuleError:
    with pytest.raises(RuleError, match=match) as caught:
        action()
    return caught.value


# Which rules apply


def test_a_models_own_rule_takes_the_place_of_the_common_one_and_patterns_add_up() -> None:
    strict, loose, env = TagRule(approvals=2), TagRule(approvals=1), TagRule(who=("ops@*",))
    rules = {"*": {"prod": strict, "env/*": env, "*": TagRule()}, "m": {"prod": loose}, "n": {"prod": TagRule()}}
    assert rules_for(rules, "m", "prod") == (Applied("m", "prod", loose),)
    assert rules_for(rules, "other", "prod") == (Applied("*", "prod", strict),)
    assert rules_for(rules, "n", "prod") == ()
    assert rules_for(rules, "m", "env/prod") == (Applied("*", "env/*", env),)
    assert rules_for(None, "m", "prod") == rules_for(rules, "m", "dev") == ()
    assert [applied.pattern for applied in rules_for({"*": {"p*": strict, "prod": loose}}, "m", "prod")] == ["p*", "prod"]


@given(st.text("ab*/", max_size=8), st.text("ab/", max_size=10))
def test_a_star_is_any_text(pattern: str, text: str) -> None:
    assert matches(pattern, text) == (re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None)


def test_nothing_but_a_star_is_special_and_many_stars_cost_little() -> None:
    assert not matches("[ab]?.", "a.")
    assert not matches("*a" * 500 + "b", "a" * 1000)


# Setting them


def test_rules_are_kept_changed_and_taken_away(bench: Bench) -> None:
    registry = bench.registry("owner@lab")
    registry.protect("prod", TagRule(approvals=1))
    registry.protect("env/*", TagRule(who=("*@ops",)), model="m", reason="since the outage")
    assert registry.rules() == {"*": {"prod": TagRule(approvals=1)}, "m": {"env/*": TagRule(who=("*@ops",))}}
    head = registry._stores.catalogue.head().entry
    assert (head.who, head.why) == ("owner@lab", "since the outage")
    registry.protect("env/*", TagRule(who=("*@ops",)), model="m")  # nothing new
    assert registry._stores.catalogue.head().entry.n == head.n
    registry.unprotect("prod")
    registry.unprotect("env/*", model="m")
    assert registry.rules() == {}
    with pytest.raises(NotFoundError, match="no rule of tag 'prod'"):
        registry.unprotect("prod")
    bench.commit("three")
    registry.set_policy(None)
    assert registry.fsck().exit_code == 0


def test_rules_outlive_what_else_the_catalogue_tells(bench: Bench) -> None:
    bench.protect("prod", approvals=1)
    bench.registry().model("other").commit(bench.work)
    bench.registry().retire("other")
    assert bench.registry().rules() == {"*": {"prod": TagRule(approvals=1)}}


@pytest.mark.parametrize(
    ("tag", "asked", "kind"),
    [
        ("prod", {"when": "metrics.auc >"}, InvalidInputError),
        ("prod", {"checks": ("sage",)}, InvalidInputError),
        ("prod", {"after": ("a~1",)}, InvalidInputError),
        ("prod", {"after": ("prod",)}, InvalidInputError),
        ("prod", {"approvals": -1}, InvalidInputError),
        ("-x", {"approvals": 1}, InvalidInputError),
        ("v17", {"approvals": 1}, InvalidInputError),
    ],
)
def test_a_rule_that_makes_no_sense_is_not_set(bench: Bench, tag: str, asked: dict[str, object], kind: type) -> None:
    with pytest.raises(kind):
        bench.protect(tag, **asked)
    with pytest.raises(HostileNameError):
        bench.registry().protect("prod", TagRule(), model="a/b")
    assert bench.registry().rules() == {}


# Every way of moving a tag


MOVES: dict[str, Callable[[Bench, Model], object]] = {
    "tag": lambda _, model: model.tag("prod", "main"),
    "promote": lambda _, model: model.promote("main", "prod", reason="better"),
    "commit": lambda bench, model: model.commit(write_folder(bench.work, {"c.json": File(b"3")}), tags=["prod"]),
    "commit of nothing new": lambda bench, model: model.commit(bench.work, tags=["prod"]),
    "rollback": lambda _, model: model.rollback("prod", reason="broken"),
    "delete": lambda _, model: model.delete_tag("prod"),
    "retire": lambda _, model: model.retire("prod", force=True),
}


@pytest.mark.parametrize("move", MOVES)
def test_every_verb_that_moves_a_tag_asks_its_rules(bench: Bench, move: str) -> None:
    if move == "rollback":
        bench.as_("ana@lab").tag("prod", "main")
    standing = bench.as_("ana@lab").resolve("prod")
    bench.protect("prod", who=("*@ops",))
    error = refusal(lambda: MOVES[move](bench, bench.as_("ana@lab")), "by the rule of prod")
    assert error.exit_code == 8
    assert "ana@lab" in error.message
    assert bench.as_("ana@lab").resolve("prod") == standing
    before = bench.as_("ana@lab").history(kind=RefKind.TAG, name="prod")
    MOVES[move](bench, bench.as_("eve@ops"))
    assert len(bench.as_("ana@lab").history(kind=RefKind.TAG, name="prod")) == len(before) + 1


def test_a_whole_model_is_not_retired_over_a_protected_tag(bench: Bench) -> None:
    bench.protect("prod", who=("*@ops",))
    refusal(lambda: bench.registry("ana@lab").retire("m", force=True), "may not be deleted")
    assert bench.registry().model_names() == ["m"]
    bench.registry("eve@ops").retire("m", force=True)
    assert bench.registry().model_names() == []


def test_a_tag_whose_rule_names_nobody_is_deleted_by_nobody(bench: Bench) -> None:
    bench.protect("prod", approvals=1)
    error = refusal(lambda: bench.as_("ana@lab").delete_tag("prod"), "reg policy unprotect prod")
    assert error.fields["rules"] == ["prod"]
    bench.registry().unprotect("prod")
    assert bench.as_("ana@lab").delete_tag("prod").moved


def test_a_branch_does_not_take_the_place_of_a_protected_tag(bench: Bench) -> None:
    bench.protect("env/*", who=("*@ops",))
    bench.protect("*", who=("*@ops",))
    ana = bench.as_("ana@lab")
    refusal(lambda: ana.branch("env/prod", "main"), "name of a protected tag")
    refusal(lambda: bench.commit("three", branch="env/prod"), "name of a protected tag")
    assert ana.branch("experiment", "main").moved  # a rule of all tags names none
    assert bench.commit("four", branch="free")
    assert bench.registry().model("new").commit(bench.work).created


def test_a_tag_that_stands_there_already_is_not_moved_and_asks_nothing(bench: Bench) -> None:
    bench.protect("prod", approvals=3)
    assert not bench.as_("ana@lab").tag("prod", "main~1").moved


def test_a_commit_learns_before_it_uploads_that_its_tag_cannot_move(bench: Bench) -> None:
    bench.protect("prod", approvals=1, after=("staging",))
    keys: list[str] = []
    watched = registry_over(
        HookedBackend(bench.store, lambda method, key: keys.append(key) if method == "create" else None), make_world()
    )
    write_folder(bench.work, {"c.json": File(b"3")})
    refusal(lambda: watched.model("m").commit(bench.work, tags=["prod"]), "in the step that makes it")
    assert keys == []


def test_a_commit_is_judged_by_its_own_metrics(bench: Bench) -> None:
    bench.protect("prod", when="metrics.auc >= prod and files < 2 and number > 2")
    refusal(lambda: bench.commit("three", metrics={"auc": 0.5}, tags=["prod"]), r"auc is 0\.5, prod\.metrics\.auc is 0\.9")
    assert bench.as_("ana@lab").resolve("main").number == 2
    made = bench.commit("four", metrics={"auc": 0.95}, tags=["prod"])
    assert bench.as_("ana@lab").resolve("prod").commit.hex == made


def test_branches_are_free_and_other_tags_too(bench: Bench) -> None:
    bench.protect("prod", who=("nobody",), approvals=9)
    assert bench.as_("ana@lab").tag("dev", "main").moved
    assert bench.commit("three")
    assert bench.as_("ana@lab").branch("side", "main~1").moved


# What rules ask


def test_approvals_of_others_are_counted_by_the_last_word_of_each(bench: Bench) -> None:
    bench.protect("prod", approvals=2, approvers=("*@lab",))
    ana = bench.as_("ana@lab")
    error = refusal(lambda: ana.tag("prod", "main"), r"2 approvals of \*@lab: none")
    assert error.fields["remedies"] == [f"2 more: reg approve m@{ana.resolve('main').commit.short} prod"]
    ana.approve("main", "prod")  # her own
    refusal(lambda: ana.tag("prod", "main"), "ana@lab made the version")
    bench.as_("bob@lab").approve("main", "prod")
    bench.as_("eve@elsewhere").approve("main", "prod")  # not asked
    bench.as_("cy@lab").approve("main~1", "prod")  # of another version
    bench.as_("cy@lab").approve("main", "staging")  # for another tag
    refusal(lambda: ana.tag("prod", "main"), "1 more")
    bench.as_("bob@lab").approve("main", "prod")  # twice is once
    bench.as_("BOB@lab").approve("main", "prod")
    refusal(lambda: ana.tag("prod", "main"), "1 more")
    bench.as_("cy@lab").approve("main", "prod", "looks good")
    assert ana.tag("prod", "main").moved


def test_a_refusal_blocks_until_whoever_said_it_says_otherwise(bench: Bench) -> None:
    bench.protect("prod", approvals=1)
    bench.as_("bob@lab").approve("main", "prod")
    bench.as_("cy@lab").approve("main", "prod", "slow on CPU", refuse=True)
    error = refusal(lambda: bench.as_("ana@lab").tag("prod", "main"), r"no refusal: cy@lab: slow on CPU")
    assert len(error.fields["unmet"]) == 1
    bench.as_("cy@lab").approve("main", "prod", "fixed by batching")
    assert bench.as_("ana@lab").tag("prod", "main").moved


def test_an_approval_taken_back_counts_no_more(bench: Bench) -> None:
    bench.protect("prod", approvals=1)
    bench.as_("bob@lab").approve("main", "prod")
    bench.as_("bob@lab").approve("main", "prod", refuse=True)
    refusal(lambda: bench.as_("ana@lab").tag("prod", "main"), "no refusal")


def test_refusals_count_from_approvers_and_from_the_author(bench: Bench) -> None:
    bench.protect("prod", approvers=("*@risk",), who=("*@lab",))
    bench.as_("eve@elsewhere").approve("main", "prod", refuse=True)
    assert bench.as_("ana@lab").tag("prod", "main").moved
    bench.as_("ana@lab").tag("prod", "main~1")
    bench.as_("ana@lab").approve("main", "prod", "I leaked the labels", refuse=True)
    refusal(lambda: bench.as_("bob@lab").tag("prod", "main"), "I leaked the labels")


def test_a_condition_is_judged_by_commit_and_notes(bench: Bench) -> None:
    bench.protect("prod", when='metrics.latency < 20 and labels.owner = "risk"')
    ana = bench.as_("ana@lab")
    refusal(lambda: ana.tag("prod", "main"), "metrics.latency is missing")
    ana.note("main", metrics={"latency": 12}, labels={"owner": "risk"})
    assert ana.tag("prod", "main").moved
    ana.tag("dev", "main~1")
    ana.note("main", labels={"owner": None})
    ana.tag("other", "main~1")
    bench.protect("dev", when="exists labels.owner")
    refusal(lambda: ana.tag("dev", "main"), "labels.owner is missing")


def test_better_than_what_stands_there(bench: Bench) -> None:
    bench.protect("prod", when="metrics.auc > prod")
    ana = bench.as_("ana@lab")
    assert ana.tag("prod", "main").moved
    refusal(lambda: ana.tag("prod", "main~1"), r"metrics\.auc is 0\.9, prod\.metrics\.auc is 0\.93")
    ana.note("prod", metrics={"auc": 0.7})  # measured again
    assert ana.tag("prod", "main~1").moved


@pytest.mark.parametrize(
    ("when", "passes"),
    [
        ("metrics.auc > champion", True),
        ("not metrics.auc <= champion", True),
        ("metrics.auc > champion and metrics.auc > 0.95", False),
        ("metrics.auc > champion or metrics.auc > 0.95", True),
        ("metrics.missing > champion", False),
        ("not metrics.missing > champion", False),
        ("not (metrics.auc < champion or metrics.auc < 0.5)", True),
    ],
)
def test_where_nothing_stands_there_is_nothing_to_beat_but_it_must_have_been_measured(
    bench: Bench, when: str, passes: bool
) -> None:
    bench.protect("champion", when=when)
    if passes:
        assert bench.as_("ana@lab").tag("champion", "main").moved
    else:
        refusal(lambda: bench.as_("ana@lab").tag("champion", "main"), "may not move")


def test_a_stage_that_was_left_out(bench: Bench) -> None:
    bench.protect("prod", after=("staging", "dev"))
    ana = bench.as_("ana@lab")
    error = refusal(lambda: ana.tag("prod", "main"), "stood at 'staging' before")
    assert error.fields["remedies"][0].startswith("promote it there first: reg promote m@")
    ana.tag("staging", "main")
    ana.tag("staging", "main~1")  # it need not stand there still
    ana.tag("dev", "main")
    ana.delete_tag("dev")
    assert ana.tag("prod", "main").moved


def test_a_branch_in_the_name_of_a_stage_is_no_stage(bench: Bench) -> None:
    bench.protect("prod", after=("staging",))
    bench.as_("ana@lab").branch("staging", "main")
    refusal(lambda: bench.as_("ana@lab").tag("prod", "main"), "stood at 'staging' before")


def test_two_who_set_rules_at_once_lose_none(bench: Bench) -> None:
    left = [lambda: bench.protect("prod", approvals=1)]

    def hook(method: str, key: str) -> None:
        if method == "create" and key == entry_key("catalogue", 3) and left:
            left.pop()()

    registry_over(HookedBackend(bench.store, hook), make_world()).protect("dev", TagRule(approvals=2))
    assert bench.registry().rules() == {"*": {"prod": TagRule(approvals=1), "dev": TagRule(approvals=2)}}


def test_checks_of_the_files(bench: Bench) -> None:
    bench.protect("prod", checks=("safe", "card"))
    ana = bench.as_("ana@lab")
    write_folder(bench.work, {"model.pkl": File(b"\x80\x04K\x01."), "docs/README.md": File(b"not at the root")})
    ana.commit(bench.work)
    error = refusal(lambda: ana.tag("prod", "main"), r"model\.pkl \(pickle\)")
    assert [unmet.partition(":")[0] for unmet in error.fields["unmet"]] == ["no file that runs code on loading", "a model card"]
    write_folder(bench.work, {"model.bin": File(b"weights"), "README.md": File(b"# m")})
    ana.commit(bench.work)
    assert ana.tag("prod", "main").moved


def test_a_check_of_a_newer_reg_lets_nothing_through(bench: Bench) -> None:
    stores = bench.registry()._stores
    stores.catalogue.change_rules("*", lambda _: {"prod": TagRule(checks=("bias",))}, time_ms=1, who="w", why="")
    refusal(lambda: bench.as_("ana@lab").tag("prod", "main"), "the check 'bias'")


def test_a_condition_that_nobody_understands_lets_nothing_through(bench: Bench) -> None:
    stores = bench.registry()._stores
    stores.catalogue.change_rules("*", lambda _: {"prod": TagRule(when="metrics.auc >")}, time_ms=1, who="w", why="")
    refusal(lambda: bench.as_("ana@lab").tag("prod", "main"), "mend the rule")


def test_a_long_refusal_is_told_in_a_line(bench: Bench) -> None:
    bench.protect("prod", approvals=1)
    bench.as_("bob@lab").approve("main", "prod", "too slow\n" + "because " * 5000, refuse=True)
    assert len(refusal(lambda: bench.as_("ana@lab").tag("prod", "main"), "too slow").message) < 1000


def test_age_is_judged_by_the_clock_of_whoever_moves(bench: Bench) -> None:
    bench.protect("prod", when="age < 7d")
    assert bench.as_("ana@lab").tag("prod", "main").moved
    later = bench.as_("ana@lab", clock_ns=Clock(ahead_ns=8 * 86_400 * 10**9))
    refusal(lambda: later.tag("prod", "main~1"), "age is")


# Signatures


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Key]:
    folder = tmp_path_factory.mktemp("keys")
    return {name: make_key(folder, f"{name}@example.org") for name in ("ana", "bob", "eve")}


@pytest.fixture
def trusted(tmp_path: Path, keys: dict[str, Key]) -> Path:
    path = tmp_path / "trust" / "allowed_signers"
    path.parent.mkdir()
    path.write_text(keys["ana"].allowed() + keys["bob"].allowed())
    return path


@needs_ssh_keygen
def test_with_signed_only_signatures_count(bench: Bench, keys: dict[str, Key], trusted: Path) -> None:
    bench.protect("prod", approvals=1, checks=("signed",))

    def person(name: str, who: str = "") -> Model:
        return bench.as_(who or f"{name}@lab", allowed_signers=trusted, signing_key=keys[name].path)

    ana, bob, eve = person("ana"), person("bob"), person("eve")
    bob.approve("main", "prod", sign=True)
    error = refusal(lambda: ana.tag("prod", "main"), "a signed move: not signed")
    assert any("version signed by somebody" in unmet for unmet in error.fields["unmet"])
    write_folder(bench.work, {"c.json": File(b"signed")})
    ana.commit(bench.work, sign=True)
    bob.approve("main", "prod")  # not signed
    eve.approve("main", "prod", sign=True)  # by a key that nobody trusts
    refusal(lambda: ana.tag("prod", "main", sign=True), "2 that nobody signed whom this machine trusts")
    person("ana", "another@lab").approve("main", "prod", sign=True)  # another name, and still the key of who made it
    refusal(lambda: ana.tag("prod", "main", sign=True), "1 approval: none")
    bob.approve("main", "prod", sign=True)
    assert ana.tag("prod", "main", sign=True).moved
    assert [signer.principal for signer in ana.verify("prod").signers] == ["ana@example.org"]


@needs_ssh_keygen
def test_a_forged_note_under_a_true_signature_does_not_count(bench: Bench, keys: dict[str, Key], trusted: Path) -> None:
    """Who may write to the bucket turns bob's signed refusal into an approval: the signature is of other bytes then."""
    bench.protect("prod", approvals=1, checks=("signed",))
    ana = bench.as_("ana@lab", allowed_signers=trusted, signing_key=keys["ana"].path)
    bob = bench.as_("bob@lab", allowed_signers=trusted, signing_key=keys["bob"].path)
    write_folder(bench.work, {"c.json": File(b"signed")})
    ana.commit(bench.work, sign=True)
    note = bob.approve("main", "prod", refuse=True, sign=True).note
    refusal(lambda: ana.tag("prod", "main", sign=True), "no refusal: bob@example.org")
    key = entry_key("m", note.n)
    _, entry = decode_entry(bench.store.get(key, length=2**20))
    assert entry.note is not None
    data = encode_entry(replace(entry, note=replace(entry.note, approved=True)))
    bench.store.put(key, data)
    forged, _ = decode_entry(data)
    for info in list(bench.store.list(signatures_prefix(note.id))):
        found = decode_signature(bench.store.get(info.key, length=2**16))
        bench.store.put(signature_key(forged, found.key), encode_signature(replace(found, entry=forged)))
    refusal(lambda: ana.tag("prod", "main", sign=True), "1 approval: none")


def test_without_allowed_signers_nobody_is_trusted(bench: Bench, tmp_path: Path) -> None:
    bench.protect("prod", checks=("signed",))
    refusal(lambda: bench.as_("ana@lab", allowed_signers=tmp_path / "nowhere").tag("prod", "main"), "there is no .*nowhere")


# Races


def test_a_rule_set_before_the_head_that_a_move_follows_is_obeyed(bench: Bench) -> None:
    """The move has read the log's head; a rule is set, and then somebody else's entry lands: the move that follows it obeys the rule."""
    left = [lambda: (bench.protect("prod", approvals=1), bench.as_("bob@lab").tag("dev", "main"))]

    def hook(method: str, key: str) -> None:
        if method == "create" and key == entry_key("m", 3) and left:
            left.pop()()

    slow = registry_over(HookedBackend(bench.store, hook), make_world()).model("m")
    refusal(lambda: slow.tag("prod", "main"), "1 approval")
    assert bench.as_("ana@lab").resolve("prod").number == 1


def test_a_refusal_that_arrives_while_a_tag_moves_stops_it(bench: Bench) -> None:
    bench.protect("prod", approvals=1)
    bench.as_("bob@lab").approve("main", "prod")
    left = [lambda: bench.as_("cy@lab").approve("main", "prod", "wait", refuse=True)]

    def hook(method: str, key: str) -> None:
        if method == "create" and key == entry_key("m", 4) and left:
            left.pop()()

    slow = registry_over(HookedBackend(bench.store, hook), make_world()).model("m")
    refusal(lambda: slow.tag("prod", "main"), "no refusal: cy@lab: wait")


def test_of_two_who_promote_at_once_the_later_one_is_judged_by_what_the_first_left(bench: Bench) -> None:
    bench.protect("prod", when="metrics.auc > prod")
    bench.commit("three", metrics={"auc": 0.92})
    left = [lambda: bench.as_("bob@lab").tag("prod", "main~1")]  # 0.93

    def hook(method: str, key: str) -> None:
        if method == "create" and key == entry_key("m", 4) and left:
            left.pop()()

    slow = registry_over(HookedBackend(bench.store, hook), make_world()).model("m")
    refusal(lambda: slow.tag("prod", "main"), r"prod\.metrics\.auc is 0\.93")
    assert bench.as_("ana@lab").resolve("prod").number == 2


# What it costs


def test_without_rules_a_tag_costs_one_reading_of_the_catalogue_and_a_commit_nothing(bench: Bench) -> None:
    counting = CountingBackend(bench.store)
    model = registry_over(counting, make_world()).model("m")
    model.tag("dev", "main")
    assert [key for _, key in counting.keys if key.startswith("catalogue")] == [
        "catalogue/HEAD", "catalogue/0000000002", "catalogue/0000000003"
    ]  # fmt: skip
    counting.keys.clear()
    model.commit(write_folder(bench.work, {"c.json": File(b"3")}))
    assert [key for _, key in counting.keys if key.startswith("catalogue")] == []


def test_a_note_elsewhere_in_the_log_is_not_read_for_a_rule_without_approvals_of_newer_versions(bench: Bench) -> None:
    """Notes are looked for behind the entry that made the version known."""
    for _ in range(40):
        bench.as_("bob@lab").note("main", "talk")
    bench.commit("three")
    bench.protect("prod", approvals=1)
    bench.as_("bob@lab").approve("main", "prod")
    counting = CountingBackend(bench.store)
    registry_over(counting, make_world(author="ana@lab")).model("m").tag("prod", "main")
    assert len([key for _, key in counting.keys if key.startswith("refs/m/")]) < 15
