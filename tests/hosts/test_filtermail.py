"""filtermail under its units, in both directions, between a real Postfix and Dovecot."""

import json

from postern.host.install.plan import CURRENT as VENV
from sandbox import letters
from tests.hosts.letters import (
    STRANGER,
    account,
    bring_in,
    bring_in_encrypted,
    submit,
    submit_encrypted,
    wait_for_ids,
)
from tests.hosts.relay import CONFIG, Relay

ENFORCE = "enforceE2EEincoming"


def test_an_encrypted_message_goes_out(relay: Relay) -> None:
    alice, bob = account(relay), account(relay)
    submit_encrypted(relay, alice, bob, "from-alice")
    wait_for_ids(relay, bob, ["from-alice"])


def test_an_encrypted_message_comes_in(relay: Relay) -> None:
    bob = account(relay)
    bring_in_encrypted(relay, bob, "from-outside")
    wait_for_ids(relay, bob, ["from-outside"])


def test_cleartext_is_refused_on_its_way_out(relay: Relay) -> None:
    alice, bob = account(relay), account(relay)
    assert submit(relay, alice, bob, letters.cleartext(alice.address))[0] == 523


def test_cleartext_is_refused_on_its_way_in_until_its_receiver_takes_it(relay: Relay) -> None:
    """The filter reads the mailbox's directory, which its unit has to let it see."""
    bob = account(relay)
    letter = letters.cleartext(STRANGER, "in-clear")
    assert bring_in(relay, bob, letter)[0] == 523
    (relay.mailbox(bob) / ENFORCE).unlink()
    assert bring_in(relay, bob, letter)[0] == 250
    wait_for_ids(relay, bob, ["in-clear"])


def test_mail_for_an_address_that_nobody_has_is_refused(relay: Relay) -> None:
    assert bring_in(relay, relay.login(), letters.encrypted(STRANGER))[0] == 550


def test_mail_brings_back_a_mailbox_that_is_set_aside_to_be_deleted(relay: Relay) -> None:
    """The filter only reads it: `postern expire` says that a delivery keeps such an account."""
    bob = account(relay)
    there = relay.mailbox(bob)
    there.rename(there.with_name(f".expired.{there.name}~"))
    bring_in_encrypted(relay, bob, "in-time")
    wait_for_ids(relay, bob, ["in-time"])


def test_mail_is_stored_where_existing_relays_have_it(relay: Relay) -> None:
    """In the mailbox itself and not in a folder: what is there already has to be found."""
    bob = account(relay)
    bring_in_encrypted(relay, bob, "stored")
    wait_for_ids(relay, bob, ["stored"])
    assert len(list((relay.mailbox(bob) / "cur").iterdir())) == 1


def test_status_has_the_figures_of_both_directions(relay: Relay) -> None:
    alice, bob = account(relay), account(relay)
    submit_encrypted(relay, alice, bob, "counted-out")
    bring_in_encrypted(relay, bob, "counted-in")
    command = [f"{VENV}/bin/python", "-m", "postern", "status", "--json", "--config", CONFIG]
    parts = json.loads(relay.host.run(*command, check=False))["parts"]
    for name in ("filtermail@outgoing", "filtermail@incoming"):
        counts = {each["labels"]["outcome"]: each["value"] for each in parts[name]["figures"]}
        assert counts["passed"] >= 1
