"""What became of messages is counted, and reported on the metrics socket."""

import asyncio
import re
from pathlib import Path

import pytest

from filtermail.daemon import run
from filtermail.figures import Figures
from filtermail.gate.grammar import Direction
from relay.config import Config
from relay.life.metrics import METRICS
from relay.life.sockets import open_tcp, open_unix
from relay.smtp.reply import Reply
from tests.filtermail.gate.building import SENDER, message
from tests.filtermail.proxy.conftest import DOMAIN, submit
from tests.filtermail.proxy.dialogue import Client
from tests.filtermail.proxy.scripted import Act, Reinject, refuse
from tests.relay.life.test_webserver import get

CLEARTEXT = f"From: <{SENDER}>\r\nSubject: x\r\n\r\nhello\r\n".encode()


def counted(text: str) -> dict[str, int]:
    """The counts that are not 0."""
    found = re.findall(r'^filtermail_messages_total\{outcome="(\w+)"\} (\d+)$', text, re.MULTILINE)
    return {name: int(count) for name, count in found if count != "0"}


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (Reply(250, ("ok",)), "passed"),
        (Reply(451, ("later",)), "sent_again_later"),
        (Reply(552, ("too big for Postfix",)), "refused_by_postfix"),
    ],
)
def test_answers_of_postfix(reply: Reply, outcome: str) -> None:
    figures = Figures()
    figures.answered(reply)
    assert counted(figures.rendered().decode()) == {outcome: 1}


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (450, "refused_too_many"),
        (523, "refused_not_encrypted"),
        (552, "refused_too_big"),
        (553, "refused_false_sender"),
        (554, "refused_malformed"),
        (599, "refused_otherwise"),
    ],
)
def test_refusals_of_our_own(code: int, outcome: str) -> None:
    figures = Figures()
    figures.refused(code)
    assert counted(figures.rendered().decode()) == {outcome: 1}


async def test_messages_are_counted_by_outcome(reinject: Reinject, socket_dir: Path) -> None:
    listeners = {"smtp": open_tcp("127.0.0.1", 0), METRICS: open_unix(socket_dir / "figures")}
    port = listeners["smtp"].getsockname()[1]
    config = Config(
        mail_domain=DOMAIN, mailboxes_dir=socket_dir, postfix_reinject_port=reinject.port
    )
    shutdown = asyncio.Event()
    task = asyncio.create_task(run(Direction.OUTGOING, listeners, config, shutdown))
    client = await Client.open(port)
    acts: list[tuple[Act | None, bytes, int]] = [
        (None, message(), 250),
        (None, message(), 250),
        (None, CLEARTEXT, 523),
        (refuse("552 5.2.2 no"), message(), 552),
        (Act(hang_up=True), message(), 451),
    ]
    for act, content, code in acts:
        reinject.at("dot", act)
        assert (await submit(client, content)).code == code
        reinject.behave()
    status, text = await get(socket_dir / "figures", "/metrics")
    assert status == 200
    assert counted(text) == {
        "passed": 2,
        "refused_not_encrypted": 1,
        "refused_by_postfix": 1,
        "sent_again_later": 1,
    }
    assert "@" not in text
    await client.close()
    shutdown.set()
    await task
