import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadata.push.backoff import (
    DEADLINE,
    FIRST_DELAY,
    MAX_DELAY,
    SPREAD,
    delay,
    next_due,
    retry_after,
)
from metadata.push.table import FAR

CHANCE = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(1, 2), (2, 8), (3, 32), (4, 128), (5, 512), (6, 2048), (7, 3600), (50, 3600), (10**9, 3600)],
)
def test_delay_without_chance(failures: int, seconds: float) -> None:
    assert delay(failures, 0.5) == seconds


@given(st.integers(1, 10**9), CHANCE)
def test_delay_is_bounded_and_chance_spreads_it(failures: int, chance: float) -> None:
    wanted = delay(failures, 0.5)
    assert FIRST_DELAY * (1 - SPREAD) <= delay(failures, chance) <= MAX_DELAY
    assert abs(delay(failures, chance) - wanted) <= SPREAD * wanted


@given(st.floats(0, 4e9), st.floats(-1e4, 2 * DEADLINE), st.integers(1, 100), CHANCE)
def test_a_retry_is_later_and_not_past_the_deadline(
    queued: float, age: float, failures: int, chance: float
) -> None:
    now = queued + age
    due = next_due(now, queued, failures, chance)
    if now >= queued + DEADLINE:
        assert due is None
    else:
        assert due is not None
        assert now < due <= queued + DEADLINE


def test_an_outage_of_five_hours_costs_few_requests() -> None:
    now, tries = 0.0, 1
    while (due := next_due(now, 0.0, tries, 0.5)) is not None:
        now, tries = due, tries + 1
    assert now == DEADLINE
    assert tries <= 14


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("Thu, 01 Jan 1970 00:20:00 GMT", 200),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("9" * 400, MAX_DELAY),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_DELAY),
        ("", 0),
        ("-5", 0),
        ("soon", 0),
        ("\u0665", 0),
        ("Thu, 99 Jan 1970 99:20:00 GMT", 0),
    ],
)
def test_retry_after(header: str, seconds: float) -> None:
    assert retry_after(header, now=1000) == seconds


@given(
    st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,30} \d\d:\d\d:\d\d \S*")
)
def test_no_retry_after_raises_or_asks_for_too_much(header: str) -> None:
    assert 0 <= retry_after(header, now=1000) <= MAX_DELAY


def test_what_the_gateway_asks_for_is_waited_for_within_reason() -> None:
    assert next_due(1000, 1000, 1, 0.5, asked=600) == 1600
    assert next_due(1000, 1000, 1, 0.5, asked=1) == 1002
    assert next_due(1000, 1000, 1, 0.5, asked=1e9) == 1000 + MAX_DELAY
    # A row that is due later was written before the clock was set back, and is due at once.
    assert MAX_DELAY < FAR
