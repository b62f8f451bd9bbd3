"""TURN credentials: the pure half."""

import pytest

from metadata.entries import turn
from metadata.entries.turn import Credentials, TurnUnavailable, entry, from_secret, host, parse

NOW = 1_800_000_000


def test_parse() -> None:
    read = parse(b"1758650868:8Dqkyyu11MVESBqjbIylmB06rv8=")
    assert read == Credentials(1758650868, "8Dqkyyu11MVESBqjbIylmB06rv8=")
    assert "8Dqk" not in repr(read)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"nonsense",
        b":x",
        b"123:",
        b"12:a b",
        b"-1:x",
        b"012:x",
        b"1" * 13 + b":x",
        b"1:\xff",
        b"1:a\0b",
        b"1:" + b"x" * 257,
        b"HTTP/1.1 400 Bad Request",
    ],
)
def test_nonsense(line: bytes) -> None:
    with pytest.raises(TurnUnavailable) as caught:
        parse(line)
    assert "x" * 10 not in str(caught.value)


def test_the_rest_scheme_against_openssl() -> None:
    """`printf 1800259200 | openssl dgst -sha1 -hmac north -binary | base64`."""
    made = from_secret(b"north", NOW)
    assert made == Credentials(1800259200, "Adh5ZxSs6QJduBcz7jjs7wxm/xs=")


@pytest.mark.parametrize("seconds", [0, 1, 1799, 3599, 3600, 86399])
def test_life_of_those_from_the_secret(seconds: int) -> None:
    made = from_secret(b"north", NOW + seconds + 0.9)
    assert 48 * 3600 < made.expiry - (NOW + seconds) <= turn.ISSUED_LIFE
    assert made.lasts(NOW + seconds)


def test_all_who_ask_within_an_hour_are_told_the_same() -> None:
    begun = NOW // 3600 * 3600
    assert len({from_secret(b"north", begun + second) for second in range(0, 3600, 60)}) == 1
    assert from_secret(b"north", begun + 3600) != from_secret(b"north", begun)
    assert from_secret(b"south", begun) != from_secret(b"north", begun)


def test_what_lasts() -> None:
    made = Credentials(NOW + turn.MIN_LIFE, "x")
    assert made.lasts(NOW)
    assert not made.lasts(NOW + 1)


@pytest.mark.parametrize(
    ("domain", "port", "expected"),
    [("example.org", 3478, "example.org:3478:1:x"), ("[192.0.2.1]", 5349, "192.0.2.1:5349:1:x")],
)
def test_what_clients_are_told(domain: str, port: int, expected: str) -> None:
    assert entry(host(domain), port, Credentials(1, "x")) == expected


def test_an_ipv6_literal_cannot_be_told() -> None:
    with pytest.raises(TurnUnavailable):
        host("[ipv6:2001:db8::1]")
