import pytest

from cas_registry.cli import text

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@pytest.mark.parametrize(
    ("size_bytes", "shown"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (90_900_000, "90.9 MB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"),
        (999_999_999, "1.0 GB"), (2**63, "9.2 EB"), (10**22, "10000.0 EB"),
    ],
)  # fmt: skip
def test_sizes_are_decimal_with_one_digit(size_bytes, shown):
    assert text.size(size_bytes) == shown


@pytest.mark.parametrize(
    ("past_ms", "shown"),
    [
        (0, "just now"), (1_999, "just now"), (2_000, "2 seconds ago"), (60_000, "1 minute ago"), (3 * HOUR_MS, "3 hours ago"),
        (DAY_MS, "1 day ago"), (8 * DAY_MS, "1 week ago"), (400 * DAY_MS, "1 year ago"), (-30_000, "just now"),
        (-61_000, "in the future"),
    ],
)  # fmt: skip
def test_ages_name_the_largest_unit(past_ms, shown):
    now_ms = 1_790_000_000_000
    assert text.age(now_ms - past_ms, now_ms) == shown


def test_times_are_utc_with_milliseconds():
    assert text.iso(1_764_590_400_123) == "2025-12-01T12:00:00.123Z"
    assert text.iso(1_764_590_400_000) == "2025-12-01T12:00:00.000Z"
    assert text.moment(1_764_590_400_123) == "2025-12-01 12:00:00 UTC"


def test_times_that_no_calendar_holds_have_no_iso_form():
    assert text.iso(2**63 - 1) is None
    assert text.moment(2**63 - 1) == "after the year 9999"


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"), ("bell\a", "bell\\x07"), ("a\nb\r", "a\\nb\\r"), ("a\tb", "a b"), ("\x9b31m", "\\x9b31m"),
        ("\u202egnp.exe", "\\u202egnp.exe"), ("zero\u200bwidth", "zero\\u200bwidth"), ("\u2028", "\\u2028"),
        ("\U000e0041", "\\U000e0041"), ("\udce9", "\\udce9"), ("\x7f", "\\x7f"),
    ],
)  # fmt: skip
def test_what_a_terminal_would_act_upon_is_spelt_out(hostile, shown):
    assert text.plain(hostile) == shown


@pytest.mark.parametrize("harmless", ["model.bin", "naïve – 가나다", "می\u200cخواهم", "👩\u200d🔬", "[bold]x[/bold]"])
def test_text_of_any_language_stays_as_it_is(harmless):
    assert text.plain(harmless) == harmless


@pytest.mark.parametrize(("part", "whole", "shown"), [(1, 3, "33.3%"), (0, 5, "0.0%"), (23, 1, "23.0x"), (5, 0, "-")])
def test_ratios_are_percent_until_that_is_hard_to_read(part, whole, shown):
    assert text.ratio(part, whole) == shown


@pytest.mark.parametrize(
    ("scalar", "shown"),
    [(0.30000000000000004, "0.3"), (True, "true"), (None, "null"), (7, "7"), ("adam", "adam"), (float("nan"), "nan")],
)
def test_params_and_metrics_read_as_they_were_written(scalar, shown):
    assert text.value(scalar) == shown


def test_counts_have_a_plural():
    assert [text.count(number, "file") for number in (0, 1, 2000)] == ["0 files", "1 file", "2,000 files"]
