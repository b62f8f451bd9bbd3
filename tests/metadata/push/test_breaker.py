from hypothesis import given
from hypothesis import strategies as st

from metadata.push.backoff import MAX_DELAY, SPREAD
from metadata.push.breaker import (
    FEW,
    FIRST_PAUSE,
    KNOWN_GOOD,
    MAX_PAUSE,
    OUTAGE_SECONDS,
    REMEMBERED,
    SHUT_AFTER,
    WELL_SECONDS,
    Breaker,
)

MOST = 100
HALF = 0.5
"""The chance that leaves a pause as it is."""
GOOD, TOKEN = "good@example.org", "good"


def shut(now: float = 0.0, asked: float = 0.0) -> Breaker:
    """A breaker that has just shut at `now`."""
    breaker = Breaker(MOST)
    for push in range(SHUT_AFTER):
        assert not breaker.is_shut
        breaker.failed(f"{push}", now, HALF, asked)
    assert breaker.is_shut
    return breaker


def probe_fails(breaker: Breaker, now: float) -> None:
    assert breaker.room(now, 0) == 1
    breaker.began("probe", now)
    breaker.failed("probe", now, HALF)


def test_room_is_what_is_not_under_way() -> None:
    breaker = Breaker(MOST)
    assert [breaker.room(0, under_way) for under_way in (0, 60, MOST, MOST + 1)] == [100, 40, 0, 0]


def test_failures_between_successes_are_the_pushes_own() -> None:
    breaker = Breaker(MOST)
    for push in range(1000):
        if push % SHUT_AFTER:
            breaker.failed(f"{push}", push, HALF)
        else:
            breaker.succeeded(f"{push}", TOKEN, push)
    assert not breaker.is_shut
    assert breaker.room(1000, 0) == MOST


def test_one_address_that_fails_again_and_again_is_not_the_gateways_fault() -> None:
    breaker = Breaker(MOST)
    for now in range(100):
        breaker.failed("the same", now, HALF)
    assert not breaker.is_shut
    assert not breaker.succeeded(GOOD, TOKEN, 100)


def test_a_gateway_that_is_down_is_left_alone_and_probed() -> None:
    breaker = shut()
    assert breaker.room(0, 0) == 0
    assert breaker.next_probe(0) == FIRST_PAUSE
    assert breaker.room(FIRST_PAUSE, 0) == 1
    breaker.began("probe", FIRST_PAUSE)
    assert breaker.room(FIRST_PAUSE, 1) == 0
    assert breaker.next_probe(0) is None
    breaker.failed("probe", FIRST_PAUSE, HALF)
    assert breaker.next_probe(0) == FIRST_PAUSE + 2 * FIRST_PAUSE


def test_pauses_grow_and_end_growing() -> None:
    breaker, now, pauses = shut(), 0.0, []
    for _ in range(2000):
        probe = breaker.next_probe(0)
        assert probe is not None
        pauses.append(probe - now)
        now = probe
        probe_fails(breaker, now)
    assert pauses[:6] == [2, 4, 8, 16, 32, MAX_PAUSE]
    assert set(pauses[6:]) == {MAX_PAUSE}


def test_no_probe_above_the_requests_that_may_be_under_way() -> None:
    assert shut().room(FIRST_PAUSE, MOST) == 0
    # Time makes no room then: who waits for it would not wait at all.
    assert shut().next_probe(MOST) is None


def test_those_who_began_before_it_shut_prolong_nothing() -> None:
    breaker = shut()
    for push in range(SHUT_AFTER, MOST):
        breaker.failed(f"{push}", 1, HALF)
    assert breaker.next_probe(0) == FIRST_PAUSE


def test_one_that_had_its_room_before_it_shut_is_no_probe() -> None:
    breaker = shut()
    breaker.began("late", 1)
    breaker.failed("late", 1, HALF)
    assert breaker.next_probe(0) == FIRST_PAUSE
    assert breaker.room(FIRST_PAUSE, 0) == 1


def test_one_push_taken_opens_it_with_little_room_that_grows() -> None:
    breaker = shut()
    breaker.began("probe", 3)
    assert breaker.succeeded(GOOD, TOKEN, 3)
    room = [breaker.room(3, 0)]
    for _ in range(MOST):
        assert not breaker.succeeded(GOOD, TOKEN, 3)
        room.append(breaker.room(3, 0))
    assert room[0] == FEW + 1
    assert room == [min(FEW + 1 + grown, MOST) for grown in range(MOST + 1)]


def test_after_an_outage_pauses_begin_anew() -> None:
    breaker = shut()
    for now in (10, 100, 1000):
        probe_fails(breaker, now)
    breaker.began("probe", 2000)
    breaker.succeeded(GOOD, TOKEN, 2000)
    for push in range(SHUT_AFTER):
        breaker.failed(f"other{push}", 3000, HALF)
    assert breaker.next_probe(0) == 3000 + FIRST_PAUSE


def test_what_the_gateway_asks_for_is_waited_for_within_reason() -> None:
    assert shut(asked=120).next_probe(0) == 120
    assert shut(asked=1).next_probe(0) == FIRST_PAUSE
    assert shut(asked=1e12).next_probe(0) == MAX_DELAY


def test_few_pushes_that_failed_for_long_were_an_outage() -> None:
    breaker = Breaker(MOST)
    for now in (0, OUTAGE_SECONDS / 2):
        breaker.failed(f"{now}", now, HALF)
    assert not breaker.is_shut
    assert breaker.succeeded(GOOD, TOKEN, OUTAGE_SECONDS)
    assert not breaker.succeeded(GOOD, TOKEN, 2 * OUTAGE_SECONDS)


def test_few_pushes_that_failed_for_a_moment_were_none() -> None:
    breaker = Breaker(MOST)
    for now in (0, 1):
        breaker.failed(f"{now}", now, HALF)
    assert not breaker.succeeded(GOOD, TOKEN, OUTAGE_SECONDS - 1)


def test_a_few_addresses_shut_it_once_and_not_again() -> None:
    """They failed while another was taken: what they say of the gateway counts no more."""
    breaker = shut()
    breaker.succeeded(GOOD, TOKEN, 3)
    for now in range(4, 100):
        breaker.failed(f"{now % SHUT_AFTER}", now, HALF)
        assert not breaker.is_shut
    # Until one of their own is taken.
    for address in range(SHUT_AFTER):
        breaker.succeeded(f"{address}", TOKEN, 100)
    for address in range(SHUT_AFTER):
        breaker.failed(f"{address}", 101, HALF)
    assert breaker.is_shut


def test_an_answer_that_refuses_a_token_is_no_failure_and_ends_an_outage_as_a_probe() -> None:
    breaker = shut()
    assert not breaker.refused("began before it was shut")
    assert breaker.is_shut
    breaker.began("probe", FIRST_PAUSE)
    assert breaker.refused("probe")
    assert not breaker.is_shut
    assert not breaker.is_well(FIRST_PAUSE)


def test_what_a_probe_is_chosen_by() -> None:
    breaker = Breaker(MOST)
    for number in range(KNOWN_GOOD + 5):
        breaker.succeeded(GOOD, f"{number}", number)
    breaker.succeeded(GOOD, "7", 1000)
    assert len(breaker.taken) == KNOWN_GOOD
    assert breaker.taken[-2:] == [f"{KNOWN_GOOD + 4}", "7"]
    for address in range(SHUT_AFTER):
        breaker.failed(f"{address}", 1000, HALF)
    assert breaker.failing == [f"{address}" for address in range(SHUT_AFTER)]
    breaker.began("0", 2000)
    breaker.failed("0", 2000, HALF)
    assert (breaker.failing[0], breaker.failing[-1]) == ("1", "0")


def test_it_is_well_while_it_takes_something() -> None:
    breaker = Breaker(MOST)
    assert not breaker.is_well(0)
    breaker.succeeded(GOOD, TOKEN, 10)
    assert breaker.is_well(10 + WELL_SECONDS - 1)
    assert not breaker.is_well(10 + WELL_SECONDS)
    breaker.succeeded(GOOD, TOKEN, 100)
    for address in range(SHUT_AFTER):
        breaker.failed(f"{address}", 101, HALF)
    assert not breaker.is_well(101)


def test_what_it_remembers_is_bounded() -> None:
    breaker = Breaker(MOST)
    for number in range(3 * REMEMBERED):
        breaker.failed(f"{number}", number, HALF)
        breaker.succeeded(GOOD, f"{number}", number)
    assert len(breaker._suspects) == REMEMBERED
    breaker = shut()
    for number in range(3 * REMEMBERED):
        breaker.began(f"probe{number}", 100 * number + 100)
        breaker.failed(f"probe{number}", 100 * number + 100, HALF)
    assert len(breaker.failing) == REMEMBERED


@given(
    st.lists(st.sampled_from(["begin", "fail", "succeed", "time"])),
    st.floats(0, 1),
    st.integers(1, 20),
)
def test_it_never_lets_more_through_and_never_stays_shut(
    steps: list[str], chance: float, most: int
) -> None:
    breaker, now, begun = Breaker(most), 0.0, 0
    under_way: list[int] = []
    for step in steps:
        if step == "begin" and breaker.room(now, len(under_way)):
            begun += 1
            breaker.began(f"{begun}", now)
            under_way.append(begun)
        elif step == "fail" and under_way:
            breaker.failed(f"{under_way.pop(0)}", now, chance)
        elif step == "succeed" and under_way:
            under_way.pop(0)
            breaker.succeeded(GOOD, TOKEN, now)
        now += 1
        assert len(under_way) <= most
    for push in under_way:
        breaker.failed(f"{push}", now, chance)
    assert breaker.room(now + MAX_PAUSE * (1 + SPREAD), 0) >= 1
