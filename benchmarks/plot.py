"""The plot of the peers: one SVG, bars of medians with whiskers from minimum to maximum."""

from collections.abc import Sequence
from html import escape

from benchmarks.measure import Sample
from benchmarks.tables import Figure, distinct, spread

LABEL_WIDTH, PANEL_WIDTH, VALUE_WIDTH = 120, 190, 60
BAR_HEIGHT, ROW_HEIGHT, TITLE_HEIGHT = 11, 16, 44
OURS_COLOUR, OTHERS_COLOUR, INK = "#1f6feb", "#a8b3bf", "#24292f"


def plot(samples: Sequence[Sample], figures: Sequence[Figure], *, ours: str) -> str:
    """A row of panels a series, one panel a figure, one bar a store; the bars of a panel share one scale."""
    width = LABEL_WIDTH + len(figures) * (PANEL_WIDTH + VALUE_WIDTH)
    parts: list[str] = []
    top = 0.0
    for case in distinct([sample.case for sample in samples]):
        of_case = [sample for sample in samples if sample.case == case]
        stores = distinct([sample.store for sample in of_case])
        parts.append(_text(8, top + 20, case, weight="bold"))
        for number, store in enumerate(stores):
            parts.append(_text(LABEL_WIDTH - 8, top + TITLE_HEIGHT + number * ROW_HEIGHT + 9, store, anchor="end"))
        for column, figure in enumerate(figures):
            left = LABEL_WIDTH + column * (PANEL_WIDTH + VALUE_WIDTH)
            better = "more" if figure.more_is_better else "less"
            parts.append(_text(left, top + TITLE_HEIGHT - 10, f"{figure.title} ({better} is better)"))
            parts += _panel(of_case, stores, figure, left, top + TITLE_HEIGHT, ours)
        top += TITLE_HEIGHT + len(stores) * ROW_HEIGHT + 12
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top:.0f}" viewBox="0 0 {width} {top:.0f}" '
        'font-family="sans-serif" font-size="11">'
    )
    return "\n".join([head, f'<rect width="{width}" height="{top:.0f}" fill="white"/>', *parts, "</svg>\n"])


def _panel(samples: Sequence[Sample], stores: Sequence[str], figure: Figure, left: float, top: float, ours: str) -> list[str]:
    found = {store: spread([sample for sample in samples if sample.store == store], figure) for store in stores}
    scale = PANEL_WIDTH / max((of.maximum for of in found.values() if of), default=1)
    parts = []
    for number, store in enumerate(stores):
        of = found[store]
        if of is None:
            continue
        y = top + number * ROW_HEIGHT
        middle = y + BAR_HEIGHT / 2
        low, long, high = (value * scale for value in (of.minimum, of.median, of.maximum))
        colour = OURS_COLOUR if store == ours else OTHERS_COLOUR
        parts += [
            f'<rect x="{left}" y="{y:.1f}" width="{long:.1f}" height="{BAR_HEIGHT}" fill="{colour}"/>',
            f'<path d="M{left + low:.1f} {middle:.1f}H{left + high:.1f}" stroke="{INK}" stroke-width="1.5"/>',
            _text(left + high + 5, y + 9, f"{of.median:,.{figure.digits}f}"),
        ]
    return parts


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" fill="{INK}">{escape(text)}</text>'
