"""The octets that Dovecot 2.3.19 sends to the service (captured), and its answers."""

from tests.metadata.conftest import Service
from tests.support import DictClient, dict_client

USER = b"alice@example.org"
GUID = b"f7a53b235f95026b2548000083ecc375"
TOKEN = b"priv/" + GUID + b"/devicetoken"
MESSAGE = b"priv/" + GUID + b"/messagenew"
SERVER = b"shared/" + GUID + b"/vendor/vendor.dovecot/pvt/server/vendor/deltachat/"


async def change(client: DictClient, *changes: bytes, user: bytes = USER) -> bytes:
    """One transaction, committed: its answer."""
    lines = [b"B7\t" + user, *changes, b"C7"]
    await client.send(b"".join(line + b"\n" for line in lines))
    return await client.line()


async def set_entry(client: DictClient, key: bytes, value: bytes, user: bytes = USER) -> bytes:
    return await change(client, b"S7\t" + key + b"\t" + value, user=user)


async def deliver(service: Service, user: bytes = USER) -> bytes:
    """Report a delivery as Dovecot's Lua does: the answer."""
    async with dict_client(service.notify) as client:
        return await set_entry(client, MESSAGE, b"", user)


async def lookup(client: DictClient, key: bytes, user: bytes = USER) -> bytes:
    return await client.ask(b"L" + key + b"\t" + user)
