"""Conditions, facts, and a database of the shape that the SQL expects, for hypothesis and by hand."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from cas_registry.model.canonical import MAX_INTEGER
from cas_registry.query.condition import (
    DAY_MS,
    And,
    Comparison,
    Condition,
    Duration,
    Exists,
    Fact,
    Facts,
    Membership,
    Moment,
    Node,
    Not,
    Operator,
    Or,
    Reference,
    contains,
)
from cas_registry.query.fields import FIELDS, GROUPS, Field, Kind
from cas_registry.query.sql import Sql, stored

NOW_MS = 1_800_000_000_000
COLUMNS = ("number", "commit", "author", "message", "time", "size", "stored", "files")

# few names and few values, so that they meet
_words = st.sampled_from(
    ["", "a", "A", "ana", "Ana K", "ß", "SS", "adam", "1", "true", 'say "x"', "back\\slash", "prod", "ä\U0001f600"]
)
_texts = _words | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
_numbers = (
    st.sampled_from(
        [0, 1, -1, 2, 0.5, 1.0, -0.0, 1e-300, float("inf"), float("-inf"), MAX_INTEGER, -MAX_INTEGER, 2.0**63, 2**53 + 1]
    )
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.floats(allow_nan=False)
)
_plain = st.booleans() | _numbers | _texts
_scalar_fields = st.builds(
    Field, st.sampled_from(["x", "y", "learning rate", "a.b-c", 'odd"name', "and"]), st.sampled_from(GROUPS)
)
_refs = st.sampled_from(["prod", "main", "env/prod", "release-1.2", "v1", "v2"])
_commits = st.sampled_from(["8f3a", "8F3A91C2", "0", "ffff", "f" * 64])
_days = st.integers(0, 40_000).map(lambda day: Moment(day * DAY_MS, (day + 1) * DAY_MS - 1))
_moments = (
    _days
    | st.integers(0, 4 * 10**12).map(lambda ms: Moment(ms, ms))
    | st.sampled_from([Moment(NOW_MS, NOW_MS), Moment(1_799_971_200_000, 1_800_057_599_999)])
)
_durations = st.integers(0, 10**6).map(lambda seconds: Duration(seconds * 1000)) | st.sampled_from(
    [Duration(DAY_MS), Duration(0)]
)
_LITERALS: Mapping[Kind, st.SearchStrategy[Any]] = {
    Kind.SCALAR: _plain,
    Kind.NUMBER: _numbers,
    Kind.TEXT: _texts,
    Kind.COMMIT: _commits,
    Kind.TIME: _moments,
    Kind.AGE: _durations,
    Kind.MANY: _texts,
}
fields = _scalar_fields | st.sampled_from([Field(name) for name in FIELDS])


@st.composite
def _comparisons(draw: st.DrawFn) -> Comparison:
    field = draw(fields)
    measured = field.kind in {Kind.NUMBER, Kind.TIME, Kind.AGE}
    operator = draw(st.sampled_from([operator for operator in Operator if not (measured and operator.looks_inside)]))
    if operator.looks_inside:
        return Comparison(field, operator, draw(_texts))
    if draw(st.booleans()) and (field.kind is Kind.SCALAR or measured):
        other = field if measured else draw(_scalar_fields)
        return Comparison(field, operator, Reference(draw(_refs), other))
    return Comparison(field, operator, draw(_LITERALS[field.kind]))


@st.composite
def _memberships(draw: st.DrawFn) -> Membership:
    field = draw(fields)
    return Membership(field, tuple(draw(st.lists(_LITERALS[field.kind], min_size=1, max_size=3))))


_leaves: st.SearchStrategy[Node] = _comparisons() | _memberships() | fields.map(Exists)


def _grown(nodes: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    several = st.lists(nodes, min_size=2, max_size=3).map(tuple)
    return nodes.map(Not) | several.map(And) | several.map(Or)


conditions = st.recursive(_leaves, _grown, max_leaves=6).map(Condition)

_names_of_scalars = _scalar_fields.map(lambda field: field.key)
_scalars = st.none() | st.just(float("nan")) | _plain
_COLUMN_VALUES: Mapping[str, st.SearchStrategy[Fact]] = {
    "number": st.integers(0, 3),
    "commit": st.sampled_from(["8f3a91c2" + "0" * 56, "f" * 64, "0" * 64]),
    "author": _texts,
    "message": _texts,
    "time": st.integers(0, 4 * 10**12) | st.just(NOW_MS),
    "size": st.integers(0, 3),
    "stored": st.integers(0, 3),
    "files": st.integers(0, 3),
}


@st.composite
def versions(draw: st.DrawFn) -> list[dict[str, Fact]]:
    """The facts of a few versions of two models, whose tags and branches stand at one version of a model each."""
    found: list[dict[str, Fact]] = []
    taken: set[tuple[str, str, str]] = set()
    for _ in range(draw(st.integers(1, 4))):
        facts: dict[str, Fact] = {"model": draw(st.sampled_from(["fraud", "ranker"]))}
        facts |= draw(st.dictionaries(_names_of_scalars, _scalars, max_size=6))
        facts |= draw(st.fixed_dictionaries({}, optional=_COLUMN_VALUES))
        facts["input"] = draw(st.lists(_texts, max_size=2).map(tuple))
        for kind in ("tag", "branch"):
            wanted = draw(st.lists(st.sampled_from(["prod", "main", "a", "env/prod"]), max_size=2, unique=True))
            free = [name for name in wanted if (str(facts["model"]), kind, name) not in taken]
            taken.update((str(facts["model"]), kind, name) for name in free)
            facts[kind] = tuple(free)
        found.append(facts)
    return found


def at(versions: Sequence[Facts], model: Fact, name: str) -> Facts | None:
    """The facts of the version of a model of that number, at a tag, else at a branch."""
    if name in {"v1", "v2"}:
        return next((facts for facts in versions if facts["model"] == model and facts.get("number") == int(name[1:])), None)
    for kind in ("tag", "branch"):
        for facts in versions:
            several = facts[kind]
            if facts["model"] == model and isinstance(several, tuple) and name in several:
                return facts
    return None


_SCHEMA = f"""
CREATE TABLE model (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE version (
    id INTEGER PRIMARY KEY, model INTEGER, number INTEGER, commit_id TEXT, author TEXT, message TEXT, time INTEGER, size INTEGER,
    stored INTEGER, files INTEGER, input INTEGER, {", ".join(f"{group} INTEGER" for group in GROUPS)}
);
CREATE TABLE ref (model INTEGER, kind TEXT, name TEXT, version INTEGER);
CREATE TABLE name (id INTEGER PRIMARY KEY, text TEXT UNIQUE);
CREATE TABLE fact (holder INTEGER, name INTEGER, value, PRIMARY KEY (holder, name)) WITHOUT ROWID;
CREATE TABLE input (holder INTEGER, text TEXT);
"""


class Database:
    """The tables of `query.sql`, filled with facts."""

    def __init__(self, versions: Sequence[Facts]) -> None:
        self.connection = sqlite3.connect(":memory:")
        self.connection.create_function("contains", 2, contains, deterministic=True)
        self.connection.executescript(_SCHEMA)
        self._holders = 0
        for identity, facts in enumerate(versions, 1):
            self._insert(identity, facts)

    def matching(self, expression: Sql) -> set[int]:
        """The positions (from 0) of the versions of which the expression is true."""
        rows = self.connection.execute(f"SELECT v.id FROM version v WHERE {expression.text}", expression.parameters)
        return {row[0] - 1 for row in rows}

    def sorted_by(self, expression: Sql) -> list[int]:
        rows = self.connection.execute(f"SELECT v.id FROM version v ORDER BY {expression.text}, v.id", expression.parameters)
        return [row[0] - 1 for row in rows]

    def _insert(self, identity: int, facts: Facts) -> None:
        run = self.connection.execute
        model = {"fraud": 1, "ranker": 2}[str(facts["model"])]
        run("INSERT OR IGNORE INTO model VALUES (?, ?)", (model, facts["model"]))
        row: dict[str, object] = {"id": identity, "model": model}
        row |= {"commit_id" if name == "commit" else name: facts[name] for name in COLUMNS if name in facts}
        for group in GROUPS:
            own = {name.partition(".")[2]: value for name, value in facts.items() if name.startswith(f"{group}.")}
            row[group] = self._hold(own) if own else None
        inputs = facts["input"]
        if inputs:
            assert isinstance(inputs, tuple)
            self._holders += 1
            row["input"] = self._holders
            self.connection.executemany("INSERT INTO input VALUES (?, ?)", [(self._holders, text) for text in inputs])
        run(f"INSERT INTO version ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))
        for kind in ("tag", "branch"):
            several = facts[kind]
            assert isinstance(several, tuple)
            self.connection.executemany(
                "INSERT INTO ref VALUES (?, ?, ?, ?)", [(model, kind, name, identity) for name in several]
            )

    def _hold(self, own: Mapping[str, Any]) -> int:
        self._holders += 1
        for name, value in own.items():
            self.connection.execute("INSERT OR IGNORE INTO name (text) VALUES (?)", (name,))
            if stored(value) is not None:
                self.connection.execute(
                    "INSERT INTO fact SELECT ?, id, ? FROM name WHERE text = ?", (self._holders, stored(value), name)
                )
        return self._holders
