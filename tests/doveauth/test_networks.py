"""Which network a client is in, and how many accounts it may make."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doveauth.networks import NetworkLimit, Prefixes, network_of

PREFIXES = Prefixes(ipv4=24, ipv6=64)


@pytest.mark.parametrize(
    ("remote", "network"),
    [
        ("192.0.2.7", "192.0.2.0/24"),
        ("192.0.2.255", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("127.0.0.1", None),
        ("127.8.0.1", None),
        ("::1", None),
        ("::ffff:127.0.0.1", None),
        ("", None),
        ("localhost", None),
        ("192.0.2.7:143", None),
        ("192.0.2", None),
    ],
)
def test_the_network_of_an_address(remote: str, network: str | None) -> None:
    assert network_of(remote, PREFIXES) == network


@given(st.text())
def test_no_text_is_a_fault(remote: str) -> None:
    assert network_of(remote, PREFIXES) is None or remote


def test_the_prefixes_are_configurable() -> None:
    assert network_of("192.0.2.7", Prefixes(32, 48)) == "192.0.2.7/32"
    assert network_of("2001:db8:1:2::3", Prefixes(32, 48)) == "2001:db8:1::/48"


def test_a_network_has_its_allowance_and_its_neighbour_another() -> None:
    limit = NetworkLimit(3, PREFIXES)
    assert [limit.allow(f"192.0.2.{host}", 1000.0) for host in range(4)] == [True] * 3 + [False]
    assert limit.allow("192.0.3.1", 1000.0)


def test_an_hour_later_it_has_it_again() -> None:
    limit = NetworkLimit(3, PREFIXES)
    assert [limit.allow("192.0.2.1", 0.0) for _ in range(4)][-1] is False
    assert limit.allow("192.0.2.1", 1199.0) is False
    assert limit.allow("192.0.2.1", 1201.0) is True
    assert [limit.allow("192.0.2.1", 8000.0) for _ in range(4)] == [True] * 3 + [False]


@pytest.mark.parametrize("remote", [None, "", "127.0.0.1", "::1"])
def test_who_has_no_network_is_not_limited(remote: str | None) -> None:
    limit = NetworkLimit(1, PREFIXES)
    assert all(limit.allow(remote, 0.0) for _ in range(10))
