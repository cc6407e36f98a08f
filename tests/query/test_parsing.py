"""The language: what parses to what, and how it says that something does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.errors import InvalidInputError, LimitError
from cas_registry.model.rules import MAX_CONDITION_BYTES
from cas_registry.query import Condition, parse_condition
from cas_registry.query.condition import (
    DAY_MS,
    And,
    Comparison,
    Duration,
    Exists,
    Membership,
    Moment,
    Not,
    Operator,
    Or,
    Reference,
)
from cas_registry.query.fields import Field
from cas_registry.query.parsing import MAX_DEPTH, MAX_PARTS
from tests.query import conditions as make

AUC, LR, TAG = Field("auc", "metrics"), Field("lr", "params"), Field("tag")
DAY = Moment(1_793_491_200_000, 1_793_491_200_000 + DAY_MS - 1)  # 2026-11-01
EXAMPLES = {
    "metrics.auc > 0.9": Comparison(AUC, Operator.GREATER, 0.9),
    "metrics.auc>0.9": Comparison(AUC, Operator.GREATER, 0.9),
    " metrics.auc  >\n.9 ": Comparison(AUC, Operator.GREATER, 0.9),
    "params.lr < 1e-3": Comparison(LR, Operator.LESS, 1e-3),
    "params.n = 3": Comparison(Field("n", "params"), Operator.EQUAL, 3),
    "params.n == -3": Comparison(Field("n", "params"), Operator.EQUAL, -3),
    "params.n = 99999999999999999999": Comparison(Field("n", "params"), Operator.EQUAL, 1e20),
    "params.n = inf": Comparison(Field("n", "params"), Operator.EQUAL, float("inf")),
    "params.opt != adam": Comparison(Field("opt", "params"), Operator.UNEQUAL, "adam"),
    "params.opt != 'ad\\'am'": Comparison(Field("opt", "params"), Operator.UNEQUAL, "ad'am"),
    'params.opt = "1"': Comparison(Field("opt", "params"), Operator.EQUAL, "1"),
    "params.warm = true": Comparison(Field("warm", "params"), Operator.EQUAL, True),
    'params."learning rate" <= 1': Comparison(Field("learning rate", "params"), Operator.AT_MOST, 1),
    "params.'a\"b' <= 1": Comparison(Field('a"b', "params"), Operator.AT_MOST, 1),
    "environment.gpu.0 ~ A100": Comparison(Field("gpu.0", "environment"), Operator.CONTAINS, "A100"),
    "packages.scikit-learn = 1.7.2": Comparison(Field("scikit-learn", "packages"), Operator.EQUAL, "1.7.2"),
    "labels.note !~ 50": Comparison(Field("note", "labels"), Operator.LACKS, "50"),
    "author ~ ana": Comparison(Field("author"), Operator.CONTAINS, "ana"),
    "tag = 1": Comparison(TAG, Operator.EQUAL, "1"),
    "tag = prod": Comparison(TAG, Operator.EQUAL, "prod"),
    "number >= 17": Comparison(Field("number"), Operator.AT_LEAST, 17),
    "commit = 8F3A": Comparison(Field("commit"), Operator.EQUAL, "8F3A"),
    "age < 30d": Comparison(Field("age"), Operator.LESS, Duration(30 * DAY_MS)),
    "age > 2w": Comparison(Field("age"), Operator.GREATER, Duration(14 * DAY_MS)),
    "time = 2026-11-01": Comparison(Field("time"), Operator.EQUAL, DAY),
    'time < "2026-11-01"': Comparison(Field("time"), Operator.LESS, DAY),
    "time > 2026-11-01T00:00+00:00": Comparison(Field("time"), Operator.GREATER, Moment(DAY.start_ms, DAY.start_ms)),
    "metrics.auc >= prod": Comparison(AUC, Operator.AT_LEAST, Reference("prod", AUC)),
    "metrics.auc >= env/prod": Comparison(AUC, Operator.AT_LEAST, Reference("env/prod", AUC)),
    "metrics.auc >= prod.metrics.auc": Comparison(AUC, Operator.AT_LEAST, Reference("prod", AUC)),
    "metrics.auc >= release-1.2.metrics.roc": Comparison(
        AUC, Operator.AT_LEAST, Reference("release-1.2", Field("roc", "metrics"))
    ),
    'metrics.auc = "prod"': Comparison(AUC, Operator.EQUAL, "prod"),
    "params.lr = prod.params.lr": Comparison(LR, Operator.EQUAL, Reference("prod", LR)),
    'params.lr = prod.params."the lr"': Comparison(LR, Operator.EQUAL, Reference("prod", Field("the lr", "params"))),
    "metrics.auc > v17": Comparison(AUC, Operator.GREATER, Reference("v17", AUC)),
    "params.lr = v17.params.lr": Comparison(LR, Operator.EQUAL, Reference("v17", LR)),
    "size <= prod": Comparison(Field("size"), Operator.AT_MOST, Reference("prod", Field("size"))),
    "size <= prod.stored": Comparison(Field("size"), Operator.AT_MOST, Reference("prod", Field("stored"))),
    "time > prod": Comparison(Field("time"), Operator.GREATER, Reference("prod", Field("time"))),
    "number in (1, 2)": Membership(Field("number"), (1, 2)),
    "model not in (fraud)": Not(Membership(Field("model"), ("fraud",))),
    "exists params.lr": Exists(LR),
    "exists(params.lr)": Exists(LR),
    "params.lr is not null": Exists(LR),
    "tag is null": Not(Exists(TAG)),
    "NOT exists tag": Not(Exists(TAG)),
    "exists tag or exists tag and not exists tag": Or((Exists(TAG), And((Exists(TAG), Not(Exists(TAG)))))),
    "(exists tag or exists tag) and exists tag": And((Or((Exists(TAG), Exists(TAG))), Exists(TAG))),
    "exists tag and (exists tag and exists tag)": And((Exists(TAG), And((Exists(TAG), Exists(TAG))))),
    "not not exists tag": Not(Not(Exists(TAG))),
}
REFUSED = {  # condition -> where the caret stands, and what is said
    "": (0, "empty"),
    "  ": (0, "empty"),
    "metrics.auc": (11, "expected =, !="),
    "metrics.auc >": (13, "expected a number, text in quotes"),
    "metrics.auc > > 1": (14, "not '>'"),
    "metric.auc > 1": (0, "did you mean metrics.auc?"),
    "auther = ana": (0, "did you mean author?"),
    "auc > 1": (0, "write metrics.auc or params.auc"),
    "foo.bar.baz > 1": (0, "names begin with params., metrics."),
    "params = 1": (0, "say which of the params"),
    "params. = 1": (0, "say which of the params"),
    'params."" = 1': (0, "quotes are empty"),
    'parms."x" = 1': (0, "there is no 'parms'"),
    "tag = prod tag = x": (11, "expected and, or, or the end, not 'tag'"),
    "tag = prod and": (14, "expected a field such as"),
    "and tag = prod": (0, "expected a field such as"),
    "(tag = prod": (11, "expected ')'"),
    "tag = prod)": (10, "expected and, or, or the end, not ')'"),
    "tag = 'prod": (6, "not closed"),
    "tag ! prod": (4, "'!' stands before"),
    "number = many!": (13, "'!' stands before"),
    "number > 'x'": (9, "expected a number, not \"'x'\""),
    "number ~ 1": (7, "no text"),
    "age < 30": (6, "expected a span such as 30d"),
    "age < 2026-11-01": (6, "expected a span"),
    "time > 30d": (7, "age < 30d"),
    "time > 2026-02-30": (7, "expected a date"),
    "commit = prod": (9, "hex digits"),
    "params.x = null": (11, "params.x is null"),
    "params.x = and": (11, "between quotes"),
    "params.x is 3": (12, "expected null"),
    "params.x in 3": (12, "expected '('"),
    "params.x in (1 2)": (15, "expected ')'"),
    "params.x in ()": (13, "expected a value"),
    "metrics.x in (prod)": (14, "a list holds no versions"),
    "time > prod.size": (7, "time does not compare with size"),
    "size > prod.tag": (7, "compared with text only"),
    "exists": (6, "expected a field"),
    'author = prod.params."x"': (9, "expected text"),
}


@pytest.mark.parametrize("text", EXAMPLES)
def test_what_is_written_means(text: str) -> None:
    assert parse_condition(text) == Condition(EXAMPLES[text])
    assert parse_condition(str(parse_condition(text))) == Condition(EXAMPLES[text])


@pytest.mark.parametrize("text", REFUSED)
def test_a_mistake_is_pointed_at(text: str) -> None:
    position, what = REFUSED[text]
    with pytest.raises(InvalidInputError) as caught:
        parse_condition(text)
    assert what in str(caught.value.fields["what"])
    assert caught.value.fields["position"] == position
    said, shown, caret = caught.value.message.split("\n")
    assert said == caught.value.fields["what"]
    assert caret.index("^") == 4 + position
    assert shown.strip() == text.strip()


def test_a_long_condition_is_shown_around_the_mistake() -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_condition("tag = prod and " * 50 + "auther = ana and " + "tag = prod and " * 50)
    _, shown, caret = caught.value.message.split("\n")
    assert shown[caret.index("^") :].startswith("auther")
    assert len(shown) < 150


def test_line_feeds_and_escapes_do_not_break_out_of_the_line_that_is_shown() -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_condition("tag =\n\x1b[31m")
    assert len(caught.value.message.split("\n")) == 3
    assert "\x1b" not in caught.value.message


@pytest.mark.parametrize("opening", ["(", "not "])
def test_depth_is_limited_before_the_stack_is(opening: str) -> None:
    parse_condition(opening * MAX_DEPTH + "exists tag" + ")" * (MAX_DEPTH if opening == "(" else 0))
    with pytest.raises(LimitError):
        parse_condition(opening * (MAX_DEPTH + 1) + "exists tag")


def test_length_and_comparisons_are_limited() -> None:
    with pytest.raises(LimitError, match="bytes"):
        parse_condition("tag = " + "x" * MAX_CONDITION_BYTES)
    with pytest.raises(LimitError, match="values"):
        parse_condition(f"number in ({','.join(['1'] * (MAX_PARTS + 1))})")


@given(make.conditions)
def test_what_is_printed_is_read_again_as_the_same(condition: Condition) -> None:
    again = parse_condition(str(condition))
    assert again == condition
    assert str(again) == str(condition)


_BITS = [
    "metrics.auc",
    "tag",
    "and",
    "or",
    "not",
    "in",
    "is",
    "null",
    "exists",
    "(",
    ")",
    ",",
    "=",
    "<",
    "~",
    "'a'",
    "1",
    "prod",
    "3d",
]


@given(st.text(max_size=60) | st.lists(st.sampled_from(_BITS), max_size=12).map(" ".join))
def test_any_text_is_a_condition_or_refused(text: str) -> None:
    try:
        condition = parse_condition(text)
    except InvalidInputError:
        return
    assert parse_condition(str(condition)) == condition


def test_a_condition_knows_its_fields_and_versions() -> None:
    condition = parse_condition("metrics.auc >= prod and not (params.lr > main.params.rate or tag = x) and metrics.auc > 0.9")
    assert list(map(str, condition.fields())) == ["metrics.auc", "params.lr", "params.rate", "tag"]
    assert condition.versions() == ("prod", "main")
