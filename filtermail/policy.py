"""The header's verdict: whether a message may begin to pass, how, and what judges its body.

- outgoing: the sender is a user of this relay, wrote the message, and is within the rate limit;
- incoming: nobody writes in a local user's name; the recipients exist; cleartext is only for those
  who want it; a sender who is not the author gets no bounce.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from filtermail.gate.content import author, author_text
from filtermail.gate.grammar import Body, Direction, Envelope, Everything, open_gate
from filtermail.gate.headers import Headers
from filtermail.gate.message import Observer
from filtermail.gate.verdict import Refusal, Spoofed
from filtermail.recipients import Recipients, Wish
from relay.address import Address, InvalidAddress
from relay.ratelimit import Limiter
from relay.smtp.commands import Transaction

TOO_MANY = Refusal(450, "4.7.1 Too many messages from you, try again later")
TOO_MANY_FOR_OPERATOR = Refusal(450, "4.7.1 Too many messages to the operator, try again later")
CLEARTEXT = (Wish.ANYTHING, Wish.OPERATOR, Wish.NOTHING)
"""What all recipients of a message in cleartext must say."""
OPERATOR_PER_MINUTE, OPERATOR_BURST = 1, 20
"""Messages in cleartext to the operator from the whole world: room for people, not for a flood."""
OPERATOR_MAX_SIZE = 1 << 20
"""Octets of a message in cleartext to the operator, its header not counted."""


class Passage(NamedTuple):
    """How a message goes on: its envelope, its header block, and what judges its body."""

    sender: str
    recipients: tuple[str, ...]
    block: bytes
    body: Body
    observers: Sequence[Observer] = ()


class Policy(Protocol):
    """Judges header blocks."""

    async def judge(self, header: bytes, transaction: Transaction) -> Passage:
        """The verdict on a header block; raises Refusal, and OSError: not now."""


def envelope_of(transaction: Transaction) -> Envelope:
    """The addresses of a transaction."""
    recipients = tuple(path.address for path in transaction.recipients if path.address)
    return Envelope(transaction.sender.address, recipients)


class Outgoing:
    """What this relay's users send."""

    def __init__(self, domain: str, limiter: Limiter) -> None:
        self._domain = domain
        self._limiter = limiter

    async def judge(self, header: bytes, transaction: Transaction) -> Passage:
        """As `Policy` says. A message is counted once its header may pass."""
        headers = Headers.parse(header)
        sender = self._user(transaction.sender.address)
        body = open_gate(headers, envelope_of(transaction), Direction.OUTGOING)
        block = headers.outgoing(author_text(headers))
        if not await self._limiter.allow(sender):
            raise TOO_MANY
        recipients = tuple(path.text for path in transaction.recipients)
        return Passage(transaction.sender.text, recipients, block, body)

    def _user(self, sender: Address | None) -> str:
        """A plain address of this relay; raises Spoofed.

        Postfix' own check, by a table of logins, is held to the same (docs/hookup.md).
        """
        try:
            if sender is not None and sender.domain == self._domain:
                return sender.mailbox_name()
        except InvalidAddress:
            pass
        raise Spoofed("The envelope sender is not an address of this relay")


class Incoming:
    """What others send to this relay's users."""

    def __init__(self, domain: str, recipients: Recipients, operator: Limiter) -> None:
        self._domain = domain
        self._recipients = recipients
        self._operator = operator

    async def judge(self, header: bytes, transaction: Transaction) -> Passage:
        """As `Policy` says.

        A recipient who does not exist is refused if no other does; else it is left out, because a
        refusal would be for all (Postfix: SMTPD_PROXY_README, on speed_adjust).
        """
        headers = Headers.parse(header)
        envelope = envelope_of(transaction)
        writer = author(headers)
        self._check_foreign(writer, envelope.sender)
        wishes = await self._recipients.wishes(envelope.recipients)
        kept = [wish is not Wish.NOTHING for wish in wishes]
        if not any(kept):
            raise Refusal(550, "5.1.1 There is no such address here")
        body: Body
        if not all(wish in CLEARTEXT for wish in wishes):
            body = open_gate(headers, envelope, Direction.INCOMING)
        elif Wish.OPERATOR not in wishes:
            body = Everything()
        elif await self._operator.allow("operator"):
            body = Everything(OPERATOR_MAX_SIZE)
        else:
            raise TOO_MANY_FOR_OPERATOR
        # A bounce would go to whoever is named as the sender, and the author is not.
        sender = transaction.sender.text if envelope.sender == writer else ""
        paths = zip(transaction.recipients, kept, strict=True)
        recipients = tuple(path.text for path, keep in paths if keep)
        return Passage(sender, recipients, headers.unchanged(), body)

    def _check_foreign(self, writer: Address, sender: Address | None) -> None:
        """Raise Refusal where a stranger writes in a local user's name.

        What local users send never comes this way.
        """
        if self._domain in (writer.domain, sender and sender.domain):
            raise Refusal(550, "5.7.1 Users of this relay send through its submission service")
