"""How an order is written."""

import pytest

from cas_registry.errors import InvalidInputError
from cas_registry.query import Field, Order, parse_order

AUC = Field("auc", "metrics")


@pytest.mark.parametrize(
    ("text", "order"),
    {
        "metrics.auc": Order(AUC, highest_first=True),
        "-metrics.auc": Order(AUC, highest_first=False),
        "metrics.auc:min": Order(AUC, highest_first=False),
        "metrics.auc:max": Order(AUC, highest_first=True),
        "metrics.auc:mean": Order(Field("auc:mean", "metrics"), highest_first=True),
        "number": Order(Field("number"), highest_first=True),
        "author": Order(Field("author"), highest_first=False),
        "-author": Order(Field("author"), highest_first=True),
    }.items(),
)
def test_an_order_is(text: str, order: Order) -> None:
    assert parse_order(text) == order


@pytest.mark.parametrize("text", ["", "tag", "input", "auc", "-metrics.auc:min", "metrics."])
def test_what_is_no_order(text: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_order(text)
