"""What the reinject service replies is what the client hears."""

import pytest

from tests.filtermail.gate.building import SENDER, message
from tests.filtermail.proxy.conftest import RECIPIENT, submit
from tests.filtermail.proxy.dialogue import Client, Reply
from tests.filtermail.proxy.scripted import Act, Reinject, refuse

UNAVAILABLE = 451
OTHERS = ["carol@other.example", "dave@other.example"]


@pytest.fixture(params=[True, False], ids=["pipelining", "no-pipelining"], autouse=True)
def pipelining(request: pytest.FixtureRequest, reinject: Reinject) -> None:
    reinject.pipelining = request.param


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA", "dot"])
@pytest.mark.parametrize(
    ("code", "text"), [(452, "4.3.1 Insufficient system storage"), (552, "5.3.4 Too big for us")]
)
async def test_refusal_is_passed_on(
    step: str, code: int, text: str, client: Client, reinject: Reinject
) -> None:
    reinject.at(step, refuse(f"{code} {text}"))
    assert await submit(client) == Reply(code, text)
    assert reinject.accepted == []
    assert (await submit(client)).code == 250
    assert len(reinject.accepted) == 1


async def test_reply_of_several_lines(client: Client, reinject: Reinject) -> None:
    for step in ("MAIL", "RCPT", "DATA", "dot"):
        reinject.at(step, refuse("550-5.7.1 No.", "550-5.7.1 Really", "550 5.7.1 no."))
        assert await submit(client) == Reply(550, "5.7.1 No.\n5.7.1 Really\n5.7.1 no.")
    assert reinject.accepted == []


async def test_reply_of_several_lines_that_accepts(client: Client, reinject: Reinject) -> None:
    reinject.at("RCPT", refuse("250-2.1.5 Well,", "250 2.1.5 yes"))
    reinject.at("dot", refuse("250-2.0.0 Good", "250 2.0.0 night"))
    assert await submit(client) == Reply(250, "2.0.0 Good\n2.0.0 night")
    assert (await submit(client)).code == 250
    assert len(reinject.accepted) == 2


async def test_reply_beyond_ascii_and_without_text(client: Client, reinject: Reinject) -> None:
    reinject.at("dot", refuse("550 5.7.1 Nö"), Act(reply=b"554\r\n"))
    assert await submit(client) == Reply(550, "5.7.1 Nö")
    assert await submit(client) == Reply(554, "")


SEVERAL: list[tuple[list[Act | None], Reply]] = [
    ([refuse("550 5.1.1 First")], Reply(550, "5.1.1 First")),
    ([None, refuse("550 5.1.1 Second")], Reply(550, "5.1.1 Second")),
    ([None, None, refuse("450 4.2.1 Third")], Reply(450, "4.2.1 Third")),
    # What is permanent for one recipient is permanent for the message.
    ([None, refuse("450 4.2.1 Busy"), refuse("550 5.1.1 None")], Reply(550, "5.1.1 None")),
]


@pytest.mark.parametrize(("acts", "expected"), SEVERAL)
async def test_one_of_several_recipients_refused(
    acts: list[Act | None], expected: Reply, client: Client, reinject: Reinject
) -> None:
    reinject.at("RCPT", *acts)
    reply = await client.submit(message(), SENDER, [RECIPIENT, *OTHERS])
    assert reply == expected
    assert reinject.completed == []
    reply = await client.submit(message(), SENDER, [RECIPIENT, *OTHERS])
    assert reply.code == 250
    assert [len(arrived.recipients) for arrived in reinject.accepted] == [3]


async def test_all_recipients_refused_for_now(client: Client, reinject: Reinject) -> None:
    """DATA is then refused for good by Postfix, which is no news of the recipients."""
    reinject.at("RCPT", *[refuse("450 4.2.1 Greylisted")] * 3)
    reply = await client.submit(message(), SENDER, [RECIPIENT, *OTHERS])
    assert reply == Reply(450, "4.2.1 Greylisted")


@pytest.mark.parametrize("code", [421, 502, 503])
async def test_faults_of_the_connection_are_temporary(
    code: int, client: Client, reinject: Reinject
) -> None:
    for step in ("MAIL", "RCPT", "DATA", "dot"):
        reinject.at(step, refuse(f"{code} x.y.z About the connection"))
        reply = await submit(client)
        assert reply.code == UNAVAILABLE
        assert "About" not in reply.text
    assert reinject.accepted == []


@pytest.mark.parametrize("step", ["banner", "EHLO"])
@pytest.mark.parametrize("line", ["421 4.3.2 All busy", "554 5.3.2 Not here", "354 Go"])
async def test_no_greeting_is_temporary(
    step: str, line: str, client: Client, reinject: Reinject
) -> None:
    reinject.at(step, refuse(line))
    assert (await submit(client)).code == UNAVAILABLE
    assert reinject.completed == []
    assert (await submit(client)).code == 250


@pytest.mark.parametrize(
    ("step", "line"),
    [("MAIL", "354 Go"), ("RCPT", "354 Go"), ("DATA", "250 Ok"), ("dot", "354 Go"), ("dot", "150")],
)
async def test_positive_replies_of_another_kind_accept_nothing(
    step: str, line: str, client: Client, reinject: Reinject
) -> None:
    reinject.at(step, refuse(line))
    assert (await submit(client)).code == UNAVAILABLE
    assert reinject.accepted == []
    assert (await submit(client)).code == 250


async def test_a_greeting_that_announces_nothing(client: Client, reinject: Reinject) -> None:
    reinject.at("EHLO", refuse("250 reinject.example"))
    assert (await submit(client)).code == 250
