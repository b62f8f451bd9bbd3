"""What is due, from tables."""

import pytest

from postern.expiry.rules import (
    DAY,
    LARGE,
    Message,
    Rules,
    counted,
    is_seen,
    over_quota,
    to_trim,
)
from relay.config import parse_config

NOW = 1795305600
CONFIG, _ = parse_config("[params]\nmail_domain = example.org\nmax_mailbox_size = 1000\n", "x")
RULES = Rules.of(CONFIG, NOW)


@pytest.mark.parametrize(
    ("days", "octets", "seen", "due"),
    [
        (19.99, 10, True, False),
        (20.01, 10, False, True),
        (6.99, LARGE + 1, True, False),
        (7.01, LARGE + 1, True, True),
        (7.01, LARGE + 1, False, False),
        (7.01, LARGE, True, False),
        (20.01, LARGE + 1, False, True),
        (-400, 10, True, False),
    ],
)
def test_a_message(days: float, octets: int, seen: bool, due: bool) -> None:
    message = Message("cur", "1", int(NOW - days * DAY), octets)
    assert RULES.message_is_due(message, seen=seen) is due


@pytest.mark.parametrize(("days", "due"), [(0, False), (90, False), (91, True), (-3, False)])
def test_a_mailbox(days: int, due: bool) -> None:
    assert RULES.mailbox_is_due(NOW - days * DAY) is due


@pytest.mark.parametrize(
    ("name", "seen"),
    [("1.M2.host:2,S", True), ("1:2,FRST", True), ("1:2,", False), ("1:2,Rs", False), ("S", False)],
)
def test_the_flag_of_a_read_message(name: str, seen: bool) -> None:
    assert is_seen(name) is seen


@pytest.mark.parametrize(
    ("name", "octets"),
    [
        ("1.M2.host,S=1234,W=1250:2,S", 1250),
        ("1.M2.host,W=1250,S=7", 1250),
        ("1.M2.host,S=7:2,S", 7),
        ("1.M2.host,W=1250:2,S", 1250),
        ("1.M2.host,S=x:2,", 99),
        ("1.M2.host,S=" + "9" * 40, 99),
    ],
)
def test_what_quota_counts(name: str, octets: int) -> None:
    assert counted(name, 99) == octets


def test_the_whole_last_day_counts_as_used() -> None:
    """Whoever logged in at 23:59 has not been away for a day at half past midnight."""
    config, _ = parse_config(
        "[params]\nmail_domain = example.org\ndelete_inactive_users_after = 1\n", "x"
    )
    login = NOW - DAY  # recorded as midnight, whenever in the day it was
    assert not Rules.of(config, NOW + 1800).mailbox_is_due(login)
    assert not Rules.of(config, NOW + DAY - 1).mailbox_is_due(login)
    assert Rules.of(config, NOW + DAY).mailbox_is_due(login)


def test_trimming_takes_the_oldest_until_seventy_percent_and_none_of_the_last_day() -> None:
    messages = [Message("cur", f"{n},S=100", NOW - n * DAY, 1) for n in (3, 9, 0, 5, 7, 1, 2, 8)]
    assert over_quota(800, 1000)
    gone = [each.name for each in to_trim(messages, 800, 1000, NOW)]
    assert gone == ["9,S=100"]
    gone = [each.name for each in to_trim(messages, 800, 100, NOW)]
    assert gone == [f"{n},S=100" for n in (9, 8, 7, 5, 3, 2, 1)]


@pytest.mark.parametrize(
    ("total", "quota", "over"), [(750, 1000, False), (751, 1000, True), (10**12, 0, False)]
)
def test_over_quota(total: int, quota: int, over: bool) -> None:
    assert over_quota(total, quota) is over
