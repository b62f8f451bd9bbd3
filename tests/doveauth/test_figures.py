"""What doveauth counts, read where Prometheus reads it."""

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from doveauth.policy import Refusal
from relay.life.metrics import METRICS
from tests.doveauth.relays import Relay
from tests.support import DEADLINE

Figures = dict[tuple[str, ...], float]
"""Values by name and labels."""


async def scrape(relay: Relay) -> tuple[str, Figures]:
    text = (await relay.get(METRICS, "/metrics")).text
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    return text, {(s.name, *s.labels.values()): s.value for s in samples}


async def test_logins_creations_refusals_and_latencies_are_counted(socket_dir: Path) -> None:
    relay = Relay(socket_dir, "max_creations_per_hour_per_network = 1\n")
    async with relay.running():
        _, figures = await scrape(relay)
        # All are there from the start, so that a rate can be made of the first of each.
        assert {each[1] for each in figures if each[0] == "doveauth_refusals_total"} == {
            reason.name.lower() for reason in Refusal
        }
        assert figures["doveauth_accounts_created_total",] == 0
        for name, remote, status in (
            ("someone12@example.org", "192.0.2.1", 200),
            ("someone12@example.org", "192.0.2.1", 200),
            ("someone12@example.org", "192.0.2.1", 200),
            ("short@example.org", "", 404),
            ("../x@example.org", "", 404),
            ("another12@example.org", "192.0.2.2", 503),
        ):
            assert (await relay.login(name, remote=remote)).status == status
        assert (await relay.user("someone12@example.org")).status == 200
        assert (await relay.user("nobody123@example.com")).status == 404
        relay.mail.rename(relay.mail.with_name("elsewhere"))
        assert (await relay.login("someone12@example.org")).status == 503
        text, figures = await scrape(relay)
    assert figures["doveauth_accounts_created_total",] == 1
    assert {
        each[1:]: value for each, value in figures.items() if each[0] == "doveauth_lookups_total"
    } == {
        ("passdb", "found"): 3,
        ("passdb", "unknown"): 2,
        ("passdb", "failed"): 2,
        ("userdb", "found"): 1,
        ("userdb", "unknown"): 1,
        ("userdb", "failed"): 0,
    }
    refused = {e[1]: v for e, v in figures.items() if e[0] == "doveauth_refusals_total" and v}
    assert refused == {"username_too_short": 1, "no_mailbox_name": 1, "network": 1}
    assert figures["doveauth_lookup_seconds_count", "passdb"] == 7
    assert figures["doveauth_lookup_seconds_bucket", "passdb", "+Inf"] == 7
    assert 0 < figures["doveauth_lookup_seconds_sum", "passdb"] < DEADLINE
    # A first login hashes, which takes milliseconds: it is in no bucket below one.
    assert figures["doveauth_lookup_seconds_bucket", "passdb", "0.0005"] < 7
    assert "@" not in text
    assert "192.0.2" not in text
