"""Movement per layer as an SVG bar chart: no library needed, opens in any browser."""

from collections.abc import Sequence
from html import escape

from cas_registry.cli import text
from cas_registry.registry import LayerDelta

_ROW, _BAR, _LABEL, _NUMBER = 22, 520, 280, 110


def movement_svg(title: str, layers: Sequence[LayerDelta]) -> str:
    """One bar a layer, in the order of their names; the length is the L2 norm of the change, or the bytes moved without values."""
    rows = sorted(layers, key=_by_number)
    amounts = [layer.l2 if layer.l2 is not None else float(layer.moved_bytes) for layer in rows]
    widest = max(amounts, default=0.0) or 1.0
    unit = "L2 norm of the change" if any(layer.l2 is not None for layer in rows) else "bytes in changed chunks"
    width, height = _LABEL + _BAR + _NUMBER, (len(rows) + 3) * _ROW
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="10" y="20" font-size="14">{escape(title)}</text><text x="10" y="38" fill="#666">{unit}, by layer</text>',
    ]
    for number, (layer, amount) in enumerate(zip(rows, amounts, strict=True)):
        y = (number + 2.5) * _ROW
        shown = f"{layer.l2:.4g}" if layer.l2 is not None else text.size(layer.moved_bytes)
        parts += [
            f'<text x="{_LABEL - 8}" y="{y + 14}" text-anchor="end">{escape(layer.layer[-44:])}</text>',
            f'<rect x="{_LABEL}" y="{y + 3}" width="{amount / widest * _BAR:.1f}" height="{_ROW - 7}" fill="#4477aa"/>',
            f'<text x="{_LABEL + amount / widest * _BAR + 5:.1f}" y="{y + 14}" fill="#444">{shown}</text>',
        ]
    return "\n".join((*parts, "</svg>\n"))


def _by_number(layer: LayerDelta) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in layer.layer.split(".")]
