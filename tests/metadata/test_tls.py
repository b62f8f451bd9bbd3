"""The gateway's certificate is verified before a token leaves."""

import asyncio
import json
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.certificate import ensure_certificate
from tests.metadata.gateway import Gateway
from tests.support import daemon, dict_client, eventually

USER = "alice@example.org"


@pytest.mark.parametrize(
    ("name", "trusted", "is_pushed"),
    [("[127.0.0.1]", True, True), ("[127.0.0.1]", False, False), ("other.test", True, False)],
)
async def test_a_token_goes_to_a_gateway_that_proves_its_name(
    commandline: Callable[[str], list[str]],
    socket_dir: Path,
    mail: Path,
    gateway: Gateway,
    name: str,
    trusted: bool,
    is_pushed: bool,
) -> None:
    certificate, key = ensure_certificate(socket_dir / "tls", name)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    await gateway.stop()
    await gateway.start(context)
    stored = json.dumps({"devicetoken": {"secret-token": int(time.time())}})
    (mail / USER / "metadata.json").write_text(stored)
    # What OpenSSL trusts in place of the system's authorities (SSL_CTX_load_verify_locations(3)).
    environ = {"SSL_CERT_FILE": str(certificate)} if trusted else {}
    with daemon(commandline(gateway.url), environ) as running:
        await asyncio.to_thread(running.wait_for_log, "is up")
        async with dict_client(socket_dir / "notify") as client:
            await client.send(f"B1\t{USER}\nS1\tpriv/0a/messagenew\t\nC1\n".encode())
            assert await client.line() == b"O1\n"
        if is_pushed:
            await eventually(lambda: gateway.received == ["secret-token"], "the push")
        else:
            reason = (
                "pushes fail at the gateway and are tried again: ClientConnectorCertificateError"
            )
            await asyncio.to_thread(running.wait_for_log, reason)
        assert await asyncio.to_thread(running.terminate) == 0
    assert (gateway.received == ["secret-token"]) is is_pushed
    assert "secret" not in running.log
