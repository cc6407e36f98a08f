"""Values as people read them, and text from elsewhere made harmless."""

import unicodedata
from datetime import UTC, datetime, timedelta

_JOINERS = frozenset("\u200c\u200d")  # Persian and emoji need them; they move nothing on a terminal
_HARMFUL = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = ("kB", "MB", "GB", "TB", "PB", "EB")
_SPANS = (("year", 365 * 86400), ("month", 30 * 86400), ("week", 7 * 86400), ("day", 86400), ("hour", 3600), ("minute", 60))


def plain(text: str) -> str:
    """One line that no terminal acts upon: control, escape, bidirectional and invisible characters are spelt out."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_spell(char) if _is_harmful(char) else char for char in text)


def size(size_bytes: int) -> str:
    """`512 B`, `90.9 MB`: decimal units."""
    if abs(size_bytes) < 1000:  # noqa: PLR2004 - where kB begin
        return f"{size_bytes} B"
    value = float(size_bytes)
    for unit in _UNITS:
        value /= 1000
        if abs(value) < 999.95 or unit == _UNITS[-1]:  # noqa: PLR2004 - 999.95 would print as 1000.0
            return f"{value:.1f} {unit}"
    raise AssertionError


def ratio(part: float, whole: float) -> str:
    """`31.4%`; from ten times on `23.0x`; `-` of nothing."""
    if not whole:
        return "-"
    return f"{part / whole:.1%}" if part < 10 * whole else f"{part / whole:.1f}x"  # noqa: PLR2004 - 1000.0% is hard to read


def count(number: int, noun: str) -> str:
    """`1 file`, `2,000 files`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def age(then_ms: int, now_ms: int) -> str:
    """`3 hours ago`. What lies ahead (another machine's clock) by more than a minute says so."""
    seconds = (now_ms - then_ms) // 1000
    if seconds < -60:  # noqa: PLR2004 - a minute
        return "in the future"
    for unit, length in _SPANS:
        if seconds >= length:
            return f"{count(seconds // length, unit)} ago"
    return f"{count(seconds, 'second')} ago" if seconds > 1 else "just now"


def moment(time_ms: int) -> str:
    """`2026-11-01 14:30:05 UTC`."""
    found = _datetime(time_ms)
    return f"{found:%Y-%m-%d %H:%M:%S} UTC" if found else "after the year 9999"


def iso(time_ms: int) -> str | None:
    """`2026-11-01T14:30:05.123Z`, or None beyond the year 9999."""
    found = _datetime(time_ms)
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z") if found else None


def value(scalar: object) -> str:
    """A param or metric: floats with up to six digits, text as it is."""
    if isinstance(scalar, float):
        return f"{scalar:.6g}"
    return {True: "true", False: "false", None: "null"}[scalar] if scalar is None or isinstance(scalar, bool) else str(scalar)


def _datetime(time_ms: int) -> datetime | None:
    try:
        return _EPOCH + timedelta(milliseconds=time_ms)
    except OverflowError:
        return None


def _is_harmful(char: str) -> bool:
    return unicodedata.category(char) in _HARMFUL and char not in _JOINERS


def _spell(char: str) -> str:
    short = {"\n": "\\n", "\r": "\\r", "\t": " "}.get(char)
    if short:
        return short
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004 - widths
