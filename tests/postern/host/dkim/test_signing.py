"""What leaves a host is signed, bounces included, by Postfix and OpenDKIM as we configure them."""

import email
import os
import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest

from postern.host.dns.compare import tags_of
from sandbox import letters
from tests.postern.host.dkim.signer import DOMAIN, Relay, running, selectors_that_verify

pytestmark = pytest.mark.slow
OUTSIDE = "somebody@outside.example"
SENDER = f"abcdefghi@{DOMAIN}"


@pytest.fixture(scope="module")
def started() -> Iterator[Relay]:
    if os.geteuid() != 0 or shutil.which("postfix") is None:
        pytest.fail("this test needs root and Postfix (package postfix)")
    if shutil.which("opendkim") is None:
        pytest.skip("OpenDKIM is not installed (package opendkim)")
    with running() as made:
        yield made


@pytest.fixture
def relay(started: Relay) -> Relay:
    started.sink.messages.clear()
    return started


def test_mail_that_leaves_is_signed(relay: Relay) -> None:
    relay.send("reinject-outgoing", SENDER, OUTSIDE, letters.encrypted(SENDER))
    message = relay.arrived(1)
    assert selectors_that_verify(message, relay.keys) == [relay.keys.read().signing]
    signature = email.message_from_bytes(message)["DKIM-Signature"]
    assert f"d={DOMAIN};" in signature
    tags = tags_of("".join(signature.split()))
    signed = set(tags["h"].lower().split(":"))
    assert {"from", "to", "date", "subject", "autocrypt", "content-type"} <= signed


def test_a_header_that_is_added_later_breaks_the_signature(relay: Relay) -> None:
    relay.send("reinject-outgoing", SENDER, OUTSIDE, letters.encrypted(SENDER))
    message = relay.arrived(1)
    for header in (b"From: <x@y.z>", b"Autocrypt: addr=x@y.z", b"Content-Type: text/plain"):
        assert selectors_that_verify(header + b"\r\n" + message, relay.keys) == [], header
    assert selectors_that_verify(message + b"x", relay.keys) == []


def test_a_bounce_is_signed(relay: Relay) -> None:
    relay.send("reinject-incoming", OUTSIDE, SENDER, letters.encrypted(OUTSIDE))
    bounce = relay.arrived(1)
    assert f"<MAILER-DAEMON@{DOMAIN}>" in email.message_from_bytes(bounce)["From"]
    assert selectors_that_verify(bounce, relay.keys) == [relay.keys.read().signing]


def test_mail_that_only_passes_is_not_signed(relay: Relay) -> None:
    """Nobody's domain but ours is in SigningTable."""
    relay.send("reinject-outgoing", OUTSIDE, OUTSIDE, letters.encrypted(OUTSIDE))
    assert b"DKIM-Signature" not in relay.arrived(1)


def test_while_the_signer_is_down_nothing_leaves_unsigned(relay: Relay) -> None:
    relay.stop_signer()
    with pytest.raises(AssertionError, match=r"\(4[25]1"):
        relay.send("reinject-outgoing", SENDER, OUTSIDE, letters.encrypted(SENDER))
    relay.send("reinject-incoming", OUTSIDE, SENDER, letters.encrypted(OUTSIDE))
    time.sleep(1)
    assert relay.sink.messages == []
    relay.start_signer()
    subprocess.run(["postqueue", "-c", relay.root / "postfix", "-f"], check=True)
    assert selectors_that_verify(relay.arrived(1), relay.keys) == [relay.keys.read().signing]


def test_the_next_key_signs_after_a_reload_and_no_message_waits_for_it(relay: Relay) -> None:
    before = relay.keys.read().signing
    following = relay.keys.make(int(time.time()))
    relay.reload_signer()
    relay.send("reinject-outgoing", SENDER, OUTSIDE, letters.encrypted(SENDER))
    assert selectors_that_verify(relay.arrived(1), relay.keys) == [before]
    relay.keys.sign_with(following, int(time.time()), (before,))
    relay.reload_signer()
    relay.send("reinject-outgoing", SENDER, OUTSIDE, letters.encrypted(SENDER))
    assert selectors_that_verify(relay.arrived(2), relay.keys) == [following]
