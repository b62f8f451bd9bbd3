"""Which networks a client is in, and how many accounts each may make."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doveauth.networks import PROVIDER_SHARE, UNREADABLE, NetworkLimit, Prefixes, networks_of
from relay.ratelimit import LocalLimiter, RateLimiter

PREFIXES = Prefixes(ipv4=24, ipv6=64)


def limit(per_hour: int, now: list[float] | None = None) -> NetworkLimit:
    def limiter(count: int) -> LocalLimiter:
        return LocalLimiter(RateLimiter(count / 60, count), lambda: now[0] if now else 1000.0)

    return NetworkLimit(PREFIXES, limiter(per_hour), limiter(PROVIDER_SHARE * per_hour))


@pytest.mark.parametrize(
    ("remote", "own", "provider"),
    [
        ("192.0.2.7", ["192.0.2.0/24"], None),
        ("192.0.2.255", ["192.0.2.0/24"], None),
        ("::ffff:192.0.2.7", ["192.0.2.0/24"], None),
        # 6to4 (RFC 3056) and Teredo (RFC 4380), whose client address is inverted.
        ("2002:c000:0207:1::5", ["192.0.2.0/24"], None),
        ("2001:0:4136:e378:8000:63bf:3fff:fdf8", ["192.0.2.0/24"], None),
        ("2001:db8:1:2:3:4:5:6", ["2001:db8:1::/48", "2001:db8:1:2::/64"], "2001:db8::/32"),
        ("2001:DB8:1:2::", ["2001:db8:1::/48", "2001:db8:1:2::/64"], "2001:db8::/32"),
        ("fe80::1%eth0", ["fe80::/48", "fe80::/64"], "fe80::/32"),
        ("127.0.0.1", [], None),
        ("127.8.0.1", [], None),
        ("::1", [], None),
        ("::ffff:127.0.0.1", [], None),
        ("", [UNREADABLE], None),
        ("localhost", [UNREADABLE], None),
        ("192.0.2.7:143", [UNREADABLE], None),
        ("192.0.2.7, 198.51.100.1", [UNREADABLE], None),
        ("192.0.2", [UNREADABLE], None),
    ],
)
def test_the_networks_of_an_address(remote: str, own: list[str], provider: str | None) -> None:
    assert networks_of(remote, PREFIXES) == (tuple(own), provider)


@given(st.text())
def test_no_text_is_a_fault(remote: str) -> None:
    networks_of(remote, PREFIXES)


@pytest.mark.parametrize(
    ("bits", "own", "provider"),
    [
        (56, ["2001:db8:1::/48", "2001:db8:1::/56"], "2001:db8::/32"),
        (48, ["2001:db8:1::/48"], "2001:db8::/32"),
        (40, ["2001:db8::/40"], "2001:db8::/32"),
        (32, ["2001:db8::/32"], None),
        (20, ["2001::/20"], None),
    ],
)
def test_the_prefixes_are_configurable(bits: int, own: list[str], provider: str | None) -> None:
    assert networks_of("192.0.2.7", Prefixes(32, 48)).own == ("192.0.2.7/32",)
    found = networks_of("2001:db8:1:2::3", Prefixes(24, bits))
    assert (list(found.own), found.provider) == (own, provider)


async def test_a_network_has_its_allowance_and_its_neighbour_another() -> None:
    of = limit(3)
    assert [await of.allow(f"192.0.2.{host}") for host in range(4)] == [True] * 3 + [False]
    assert await of.allow("192.0.3.1")


async def test_a_site_of_many_networks_has_the_allowance_of_one() -> None:
    of = limit(20)
    assert [await of.allow(f"2001:db8:1:{n:x}::1") for n in range(30)].count(True) == 20
    assert await of.allow("2001:db8:2::1")
    of = limit(20)
    assert [await of.allow(f"2002:c000:0207:{n:x}::1") for n in range(30)].count(True) == 20
    assert not await of.allow("192.0.2.200")


async def test_a_provider_has_a_wider_one_and_what_is_refused_counts_nowhere() -> None:
    of = limit(2)
    sites = PROVIDER_SHARE + 5
    allowed = [await of.allow(f"2001:db8:{n:x}::1") for n in range(sites) for _ in range(3)]
    assert allowed.count(True) == 2 * PROVIDER_SHARE
    # The third of each site was refused by the site, and so the provider's was given back.
    assert allowed[: 3 * PROVIDER_SHARE] == [True, True, False] * PROVIDER_SHARE


async def test_clients_without_a_readable_address_share_one_allowance() -> None:
    of = limit(3)
    assert [await of.allow(remote) for remote in ("", "x", "1, 2", "y")] == [True] * 3 + [False]


async def test_an_hour_later_it_has_it_again() -> None:
    now = [0.0]
    of = limit(3, now)
    assert [await of.allow("192.0.2.1") for _ in range(4)][-1] is False
    now[0] = 1199.0
    assert await of.allow("192.0.2.1") is False
    now[0] = 1201.0
    assert await of.allow("192.0.2.1") is True
    now[0] = 8000.0
    assert [await of.allow("192.0.2.1") for _ in range(4)] == [True] * 3 + [False]


async def test_what_came_to_nothing_is_given_back() -> None:
    of = limit(1)
    for _ in range(3):
        assert await of.allow("2001:db8::1")
        await of.refund("2001:db8::1")
    assert await of.allow("2001:db8::1")
    assert not await of.allow("2001:db8::1")


@pytest.mark.parametrize("remote", [None, "127.0.0.1", "::1"])
async def test_the_relays_own_programs_are_not_limited(remote: str | None) -> None:
    of = limit(1)
    assert all([await of.allow(remote) for _ in range(10)])
