"""The rate limit of a sender."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.ratelimit import RateLimiter


def test_a_burst_then_the_rate() -> None:
    limiter = RateLimiter(per_minute=60, burst=10)
    assert [limiter.allow("a", 100.0) for _ in range(12)] == [True] * 10 + [False] * 2
    assert not limiter.allow("a", 100.9)
    assert limiter.allow("a", 101.1)
    assert not limiter.allow("a", 101.2)


def test_senders_do_not_touch_each_other() -> None:
    limiter = RateLimiter(per_minute=1, burst=1)
    assert limiter.allow("a", 0.0)
    assert limiter.allow("b", 0.0)
    assert not limiter.allow("a", 1.0)


@given(
    times=st.lists(st.floats(0, 600), min_size=1, max_size=200).map(sorted),
    per_minute=st.integers(1, 600),
    burst=st.integers(1, 20),
)
def test_never_more_than_burst_and_rate(times: list[float], per_minute: int, burst: int) -> None:
    limiter = RateLimiter(per_minute, burst)
    allowed = [time for time in times if limiter.allow("a", time)]
    for first, start in enumerate(allowed):
        for last in range(first, len(allowed)):
            most = burst + (allowed[last] - start) * per_minute / 60 + 1e-6
            assert last - first + 1 <= most


@pytest.mark.parametrize("now", [0.0, 10_000.0])
def test_memory_is_bounded(now: float) -> None:
    limiter = RateLimiter(per_minute=1, burst=2, max_keys=1000)
    for number in range(5000):
        assert limiter.allow(f"user{number}", now + number * 0.001)
        assert len(limiter) <= 1000


def test_making_room_forgets_the_idle_first() -> None:
    limiter = RateLimiter(per_minute=1, burst=3, max_keys=4)
    for _ in range(3):
        assert limiter.allow("busy", 0.0)
    for number in range(3):
        assert limiter.allow(f"idle{number}", 0.0)
    assert limiter.allow("new", 1.0)
    assert not limiter.allow("busy", 1.0)
