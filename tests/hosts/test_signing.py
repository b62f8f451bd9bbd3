"""The signer on a real host: what Postfix hands it is signed, and a reload changes the key."""

import json

import dkim
import pytest

from postern.host.install.plan import CURRENT
from sandbox import letters
from sandbox.clients import Imap
from tests.hosts.relay import CONFIG, DOMAIN, Relay

pytestmark = pytest.mark.hosts
POSTERN = (f"{CURRENT}/bin/python", "-m", "postern", "dkim")
RELOAD = "from postern.host.dkim.signer import reload_signer; reload_signer()"


def _received(relay: Relay) -> bytes:
    """A message as it arrives at another account of this relay: it was signed on its way."""
    sender, receiver = relay.login(), relay.login()
    with relay.imap(receiver):
        pass
    with relay.smtp(sender) as smtp:
        letter = letters.encrypted(sender.address)
        assert smtp.transact(sender.address, [receiver.address], letter)[0] == 250
    with relay.imap(receiver) as imap:
        assert isinstance(imap, Imap)
        imap.wait_for_messages(1)
        return imap.fetch_message(1)


def _keys(relay: Relay) -> dict[str, str]:
    shown = json.loads(relay.host.run(*POSTERN, "show", "--json", "--config", CONFIG))
    return {"signing": shown["signing"], "following": shown["following"], **shown["records"]}


def _selector(message: bytes, records: dict[str, str]) -> str:
    checked = dkim.DKIM(message)
    assert checked.verify(
        dnsfunc=lambda name, timeout=5: records[name.decode().rstrip(".")].encode()
    )
    assert checked.domain == DOMAIN.encode()
    return str(checked.selector.decode())


def test_mail_is_signed_and_the_next_key_takes_over_by_a_reload(relay: Relay) -> None:
    keys = _keys(relay)
    assert _selector(_received(relay), keys) == keys["signing"]
    relay.host.run(*POSTERN, "rotate", "--config", CONFIG)
    keys = _keys(relay)
    # This host has no name servers: what `rotate` does once they show the record is done by hand.
    table = "/etc/postern/dkim/KeyTable"
    relay.host.shell(f"sed -i s/{keys['signing']}/{keys['following']}/g {table}")
    relay.host.run(POSTERN[0], "-c", RELOAD)
    assert _selector(_received(relay), keys) == keys["following"]
