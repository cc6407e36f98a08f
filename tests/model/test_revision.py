"""Revisions: what people may write for a version, and the times in `@{…}`."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.errors import HostileNameError, InvalidInputError, LimitError
from cas_registry.model.revision import MAX_REVISION_BYTES, MAX_STEPS, Revision, parse_revision, parse_time
from tests.support import strategies as make

EXAMPLES = {
    "prod": Revision("prod"),
    "main~2": Revision("main", steps=2),
    "main^": Revision("main", steps=1),
    "main~": Revision("main", steps=1),
    "main~0": Revision("main"),
    "main^^": Revision("main", steps=2),
    "main~2^~3": Revision("main", steps=6),
    "main@{3}": Revision("main", back=3),
    "main@{0}": Revision("main"),
    "main@{007}": Revision("main", back=7),
    "main@{3}~2": Revision("main", back=3, steps=2),
    "main@{2026-11-01}": Revision("main", as_of="2026-11-01"),
    "main@{20261101}": Revision("main", back=20_261_101),
    "main@{2026-11-01T14:30}": Revision("main", as_of="2026-11-01T14:30"),
    "main@{2026-11-01 14:30:05+02:00}~1": Revision("main", as_of="2026-11-01 14:30:05+02:00", steps=1),
    "main@{yesterday}": Revision("main", as_of="yesterday"),
    "8f3a91c2": Revision("8f3a91c2"),
    "0" * 64: Revision("0" * 64),
    "8f3a91c2~3:a.bin": Revision("8f3a91c2", steps=3, path="a.bin"),
    "fraud@prod": Revision("prod", model="fraud"),
    "fraud@prod:model.bin": Revision("prod", model="fraud", path="model.bin"),
    "fraud@main@{3}~2:a/b.bin": Revision("main", model="fraud", back=3, steps=2, path="a/b.bin"),
    "fraud@8f3a91c2": Revision("8f3a91c2", model="fraud"),
    "prod:": Revision("prod"),
    "prod:/": Revision("prod"),
    "prod:folder/": Revision("prod", path="folder"),
    "prod:/folder/": Revision("prod", path="folder"),
    "prod:a@b~c^{d}.bin": Revision("prod", path="a@b~c^{d}.bin"),
    "prod:a b/ü.bin": Revision("prod", path="a b/ü.bin"),
    "env/prod": Revision("env/prod"),
    "bert base@release candidate": Revision("release candidate", model="bert base"),
    "v1.4": Revision("v1.4"),
    "HEAD": Revision("HEAD"),
    "名@前": Revision("前", model="名"),
}
REFUSED = [
    "",
    " ",
    ":",
    ":path",
    "@",
    "@{1}",
    "@main",
    "fraud@",
    "a@b@c",
    "~1",
    "^",
    "main~x",
    "main~-1",
    "main~1.5",
    "main~1234567890",
    "main@{3",
    "main@{",
    "main@{}",
    "main@{-1}",
    "main@{1.5}",
    "main@{1234567890}",
    "main@{²}",
    "main@{٣}",
    "main@{tomorrow}",
    "main@{2026-13-01}",
    "main@{2026-11-31}",
    "main@{now}",
    "main@{3}@{4}",
    "main~2@{3}",
    "main{3}",
    "main}",
    "-rf",
    "fraud@-rf",
    "../x",
    "a//b",
    "/main",
    "main/",
    "CON",
    "con@main",
    "a/b@main",
    "catalogue@main",
    "HEAD@main",
    "main\n",
    "main ",
    "main\x00",
    "\ud800",
    "main@{\ud800}",
    "e\u0301",
    "A" * 64,
    "a" * 65 + "@x@",
    "prod:../x",
    "prod:a//b",
    "prod:a/../b",
    "prod:.git/config",
    "prod:a\\b",
    "prod:a:b",
    "prod:C:/x",
    "prod:a\x00",
    "prod:\ud800",
    "0" * 65 + "~",
]
REFUSED.remove("0" * 65 + "~")


@pytest.mark.parametrize(("text", "expected"), EXAMPLES.items(), ids=list(EXAMPLES))
def test_revisions_that_people_write(text: str, expected: Revision) -> None:
    parsed = parse_revision(text)
    assert parsed.text == text
    assert (parsed.name, parsed.model, parsed.back, parsed.as_of, parsed.steps, parsed.path) == (
        expected.name, expected.model, expected.back, expected.as_of, expected.steps, expected.path,
    )  # fmt: skip


@pytest.mark.parametrize("text", REFUSED, ids=ascii)
def test_what_is_no_revision_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_revision(text)


def test_a_refused_name_is_told_from_a_refused_shape() -> None:
    for hostile in ("CON", "-rf", "prod:../x", "catalogue@main"):
        with pytest.raises(HostileNameError):
            parse_revision(hostile)
    with pytest.raises(LimitError):
        parse_revision("prod:" + "/".join(["a"] * 65))
    with pytest.raises(InvalidInputError, match="not a revision") as caught:
        parse_revision("main~x")
    assert caught.value.fields["revision"] == "main~x"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("8f3a91c2", True),
        ("0" * 64, True),
        ("8f3a91c", False),
        ("0" * 63 + "g", False),
        ("8F3A91C2", False),
        ("deadbeef", True),
    ],
)
def test_eight_or_more_hex_digits_may_be_an_id(name: str, expected: bool) -> None:
    assert parse_revision(name).may_be_id is expected


def test_very_long_revisions_are_refused_soon() -> None:
    for text in ("a" * 10**6, "a@" * 10**6, "main" + "~1" * 10**6, "main" + "^" * 10**6, "main@{" * 10**6, "m:" + "/a" * 10**6):
        with pytest.raises(InvalidInputError):
            parse_revision(text)


def test_steps_are_bounded() -> None:
    many = "main" + "~999999999" * ((MAX_REVISION_BYTES - 4) // 10)
    assert parse_revision(many).steps == MAX_STEPS


@given(text=st.text(alphabet=st.sampled_from("ab0@{}~^:/.-é \n\ud800²1"), max_size=30))
def test_any_text_is_a_revision_or_refused_as_input(text: str) -> None:
    try:
        parsed = parse_revision(text)
    except InvalidInputError:
        return
    assert parsed.text == text
    assert parsed.name
    assert not set(parsed.name) & set("@~^:{}\n\ud800")


@given(
    model=st.none() | make.model_names(),
    name=make.ref_names(),
    steps=st.integers(0, 10**9 - 1),
    back=st.integers(0, 10**9 - 1),
    path=st.none() | st.lists(make.names(), min_size=1, max_size=3).map("/".join),
)
def test_the_parts_come_back(model: str | None, name: str, steps: int, back: int, path: str | None) -> None:
    text = f"{model}@" if model else ""
    text += f"{name}@{{{back}}}~{steps}"
    text += f":{path}" if path else ""
    parsed = parse_revision(text)
    assert (parsed.model, parsed.name, parsed.back, parsed.steps, parsed.path) == (model, name, back, steps, path)


# Releases


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("release:prod/fraud", Revision("release:prod", "fraud", release="prod")),
        ("release:prod/fraud@{1}", Revision("release:prod", "fraud", back=1, release="prod")),
        ("release:prod/fraud@{2026-11-01}~2", Revision("release:prod", "fraud", as_of="2026-11-01", steps=2, release="prod")),
        ("release:prod/fraud:a/b.bin", Revision("release:prod", "fraud", path="a/b.bin", release="prod")),
        ("release:v1/v2", Revision("release:v1", "v2", release="v1")),
        ("release:model.bin", Revision("release", path="model.bin")),
        ("fraud@release:data/a.bin", Revision("release", "fraud", path="data/a.bin")),
        ("release@{0}:data/a.bin", Revision("release", path="data/a.bin")),
    ],
)
def test_a_release_names_a_model_and_a_branch_of_that_name_is_another_thing(text: str, expected: Revision) -> None:
    assert parse_revision(text) == replace(expected, text=text)


@pytest.mark.parametrize(
    "text",
    [
        "release:/fraud", "release:prod/", "release:a/b/c", "release:prod/fraud/model.bin", "release:CON/x", "release:prod/HEAD",
        "release:prod/../x", "release:prod/fraud:../x", "release:prod/fraud@{x}", "release:prod/fraud@main", "release:a@b/c",
        "release:-x/y", "release:prod/a:b:c", "release:" + "a/" * MAX_REVISION_BYTES,
    ],
)  # fmt: skip
def test_what_is_no_version_of_a_release_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_revision(text)


@given(release=make.model_names(), model=make.model_names(), back=st.integers(0, 10**9 - 1), steps=st.integers(0, 10**9 - 1))
def test_the_parts_of_a_released_version_come_back(release: str, model: str, back: int, steps: int) -> None:
    parsed = parse_revision(f"release:{release}/{model}@{{{back}}}~{steps}:x")
    assert (parsed.release, parsed.model, parsed.back, parsed.steps, parsed.path) == (release, model, back, steps, "x")
    assert parsed.asked == f"release:{release}/{model}@{{{back}}}~{steps}"


@pytest.mark.parametrize(
    ("text", "asked"), [("fraud@prod:a", "prod"), ("main~2", "main~2"), ("fraud@main@{1}:x/y", "main@{1}"), ("v17", "v17")]
)
def test_what_was_asked_for_leaves_out_model_and_path(text: str, asked: str) -> None:
    assert parse_revision(text).asked == asked


# Times

DAY_MS = 24 * 3600 * 1000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01", "1970-01-01T23:59:59.999+00:00"),
        ("2026-11-01", "2026-11-01T23:59:59.999+00:00"),
        ("2024-02-29", "2024-02-29T23:59:59.999+00:00"),
        ("20261101", "2026-11-01T23:59:59.999+00:00"),
        ("9999-12-31", "9999-12-31T23:59:59.999+00:00"),
        ("0001-01-01", "0001-01-01T23:59:59.999+00:00"),
        ("2026-11-01T14:30", "2026-11-01T14:30:00+00:00"),
        ("2026-11-01 14:30:05", "2026-11-01T14:30:05+00:00"),
        ("2026-11-01T00:00", "2026-11-01T00:00:00+00:00"),
        ("2026-11-01T14:30Z", "2026-11-01T14:30:00+00:00"),
        ("2026-11-01T14:30+02:00", "2026-11-01T12:30:00+00:00"),
        ("2026-11-01T14:30:05.123-05:00", "2026-11-01T19:30:05.123+00:00"),
        ("2516-04-01T15:46:30.148", "2516-04-01T15:46:30.148+00:00"),  # a float of seconds would lose a millisecond
    ],
)
def test_dates_mean_their_last_millisecond_and_times_themselves_in_utc(text: str, expected: str) -> None:
    moment = datetime.fromisoformat(expected)
    assert parse_time(text, now_ms=0) == (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def test_yesterday_is_24_hours_ago() -> None:
    assert parse_time("yesterday", now_ms=10 * DAY_MS + 5) == 9 * DAY_MS + 5


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "now",
        "Yesterday",
        "3",
        "2026",
        "2026-11",
        "2026-1-1",
        "2026-11-31",
        "2026-02-29",
        "2026-11-01T25:00",
        "01.11.2026",
        "2026-11-01\n",
        " 2026-11-01",
        "2026-11-01T14:30+25:00",
        "10000-01-01",
        "-1-01-01",
        "２０２６-11-01",
        "\ud800",
        "x" * 10**6,
    ],
    ids=lambda text: ascii(text[:24]),
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="not a time") as caught:
        parse_time(text, now_ms=0)
    assert len(str(caught.value)) < 300


@given(
    moment=st.datetimes(timezones=st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))),
)
def test_every_moment_comes_back_to_the_millisecond(moment: datetime) -> None:
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    assert parse_time(moment.isoformat(timespec="milliseconds"), now_ms=0) == since // timedelta(milliseconds=1)
