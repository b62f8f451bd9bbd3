"""The server's side of an SMTP or LMTP connection: octets in, events out. Pure.

Theory of operation. `receive` takes what the client sent; `next` gives the next event, or None
where it needs more octets or waits for `conclude`. Every command is answered here and at once,
because nothing is decided before the message has come. The connection's owner acts on the events:

    Say         write these octets, and hang up where it says so
    Begin       DATA was answered with the 354; pieces of the message follow
    Piece       the next octets of the message; after the one that has `ended`, call `conclude`

    220 … EHLO … MAIL … RCPT … DATA ─▶ Begin, Piece, Piece (ended) ─▶ conclude(replies) ─▶ MAIL …

Commands that a client pipelined behind its final dot wait in the buffer until `conclude`
(RFC 2920). A bare LF ends a command line as well. Nothing can be smuggled by it: only
`<CR><LF>.<CR><LF>` ends a message (`relay.smtp.datastream`).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from relay.address import InvalidAddress
from relay.smtp.datastream import DataStream, Piece
from relay.smtp.path import Path, parse_path
from relay.smtp.reply import Reply

MAX_COMMAND = 4096
"""Octets of a command: room for any address with every parameter (RFC 5321, 4.5.3.1.4)."""
MAX_ERRORS = 5
"""Lines that are no command at all; the last of them ends the connection."""
MAX_RECIPIENTS = 5000
"""Of one message; Postfix reaches its own limit, 1000 by default, before."""

_OK = b"250 2.0.0 Ok\r\n"
_SENDER_OK = b"250 2.1.0 Ok\r\n"
_RECIPIENT_OK = b"250 2.1.5 Ok\r\n"
_GO_AHEAD = b"354 End data with <CR><LF>.<CR><LF>\r\n"
_BYE = b"221 2.0.0 Bye\r\n"
CLOSING = b"421 4.3.2 Service is restarting, try again\r\n"
"""What a client hears that is hung up on because the service ends (RFC 5321, 3.8)."""
_ELSEWHERE = {
    "STARTTLS": b"454 4.7.0 TLS not available\r\n",
    "AUTH": b"538 5.7.11 Authenticate with the mail server in front\r\n",
    "EXPN": b"502 5.5.1 EXPN is not implemented\r\n",
    "HELP": b"501 5.5.4 RFC 5321 has all the help there is\r\n",
}
"""Commands that are known, and not for this place."""


class Rules(NamedTuple):
    """What a server says of itself, and what it takes."""

    domain: str
    max_size: int
    """Octets of a message; announced, and held against the SIZE of MAIL (RFC 1870)."""
    lmtp: bool = False
    """LHLO for EHLO, and a reply for each recipient after the final dot (RFC 2033, 4)."""


class Transaction(NamedTuple):
    """One message's envelope."""

    sender: Path
    recipients: tuple[Path, ...]


class Say(NamedTuple):
    """Octets for the client."""

    octets: bytes
    hang_up: bool = False


class Begin(NamedTuple):
    """The client may send its message: `octets` tell it so."""

    octets: bytes
    transaction: Transaction


Event = Say | Begin | Piece


class Dialogue:
    """The state of one connection."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._foreign = ("HELO", "EHLO") if rules.lmtp else ("LHLO",)
        self._buffer = b""
        self._at = 0  # what is before it has been read
        self._greeted = False
        self._sender: Path | None = None
        self._recipients: list[Path] = []
        self._data: DataStream | None = None
        self._concluding = False
        self._errors = 0
        self._overlong = False

    @property
    def in_transaction(self) -> bool:
        """Whether MAIL was accepted, and its message neither answered nor given up."""
        return self._sender is not None

    @property
    def waiting(self) -> int:
        """Octets that have come and were not read yet."""
        return len(self._buffer) - self._at

    def banner(self) -> bytes:
        """What a server says first."""
        service = "LMTP" if self._rules.lmtp else "ESMTP"
        return f"220 {self._rules.domain} {service} Postern\r\n".encode()

    def receive(self, data: bytes) -> None:
        """Take the next octets off the wire."""
        left = self._buffer[self._at :]
        self._buffer, self._at = left + data if left else data, 0

    def next(self) -> Event | None:
        """The next event; None where there is none before more octets come, or `conclude`."""
        if self._data is not None:
            return self._piece(self._data)
        if self._concluding:
            return None
        at, end = self._at, self._buffer.find(b"\n", self._at)
        if end < 0:
            self._drop_overlong()
            return None
        self._at = end + 1
        if end - at > MAX_COMMAND or self._overlong:
            self._overlong = False
            return self._nonsense("500 5.5.2 Line too long")
        return self._command(self._buffer[at:end].rstrip(b"\r"))

    def conclude(self, replies: Sequence[Reply]) -> bytes:
        """Answer the message that has ended: the octets to write.

        SMTP has one reply, LMTP one per recipient, in their order.
        """
        assert self._concluding
        assert len(replies) == (len(self._recipients) if self._rules.lmtp else 1)
        self._reset()
        self._concluding = False
        return b"".join(reply.encode() for reply in replies)

    def _piece(self, data: DataStream) -> Piece | None:
        arrived = self._buffer[self._at :]
        if not arrived:
            return None
        piece = data.feed(arrived)
        self._buffer, self._at = piece.rest, 0
        if piece.ended:
            self._data, self._concluding = None, True
        return piece

    def _drop_overlong(self) -> None:
        """Keep nothing of a line that is too long already."""
        if self.waiting > MAX_COMMAND:
            self._overlong, self._buffer, self._at = True, b"", 0

    def _command(self, line: bytes) -> Event:
        verb, _, argument = line.decode("utf-8", "surrogateescape").partition(" ")
        verb = verb.upper()
        handle = _COMMANDS.get(verb)
        if handle is not None and verb not in self._foreign:
            return handle(self, argument.strip())
        if elsewhere := _ELSEWHERE.get(verb):
            return Say(elsewhere)
        return self._nonsense("500 5.5.1 Unknown command")

    def _nonsense(self, text: str) -> Say:
        self._errors += 1
        if self._errors < MAX_ERRORS:
            return Say(f"{text}\r\n".encode())
        return Say(b"502 5.5.1 Too many errors, goodbye\r\n", hang_up=True)

    def _reset(self) -> None:
        self._sender = None
        self._recipients = []

    def _helo(self, argument: str) -> Say:
        if not argument:
            return Say(b"501 5.5.4 Syntax: HELO hostname\r\n")
        return self._hello(f"250 {self._rules.domain}\r\n")

    def _ehlo(self, argument: str) -> Say:
        """Say which extensions are understood (RFC 5321, 4.1.1.1)."""
        if not argument:
            return Say(b"501 5.5.4 Syntax: EHLO hostname\r\n")
        return self._hello(
            f"250-{self._rules.domain}\r\n250-PIPELINING\r\n250-SIZE {self._rules.max_size}\r\n"
            "250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES\r\n"
        )

    def _hello(self, greeting: str) -> Say:
        self._reset()
        self._greeted = True
        return Say(greeting.encode())

    def _mail(self, argument: str) -> Say:
        """Begin a transaction (RFC 5321, 4.1.1.2)."""
        if not self._greeted:
            return Say(b"503 5.5.1 EHLO first\r\n")
        if self._sender is not None:
            return Say(b"503 5.5.1 A transaction is open already\r\n")
        try:
            sender = parse_path("FROM:", argument)
        except InvalidAddress as error:
            return Say(f"501 5.1.7 Bad sender: {error}\r\n".encode())
        if sender.size > self._rules.max_size:
            return Say(f"552 5.3.4 Message larger than {self._rules.max_size} bytes\r\n".encode())
        self._sender = sender
        return Say(_SENDER_OK)

    def _rcpt(self, argument: str) -> Say:
        """Add a recipient (RFC 5321, 4.1.1.3)."""
        if self._sender is None:
            return Say(b"503 5.5.1 MAIL first\r\n")
        if len(self._recipients) >= MAX_RECIPIENTS:
            return Say(f"452 4.5.3 More than {MAX_RECIPIENTS} recipients\r\n".encode())
        try:
            recipient = parse_path("TO:", argument, postmaster=self._rules.domain)
        except InvalidAddress as error:
            return Say(f"501 5.1.3 Bad recipient: {error}\r\n".encode())
        if recipient.address is None:
            return Say(b"501 5.1.3 Bad recipient: the empty address\r\n")
        self._recipients.append(recipient)
        return Say(_RECIPIENT_OK)

    def _begin(self, argument: str) -> Event:
        """Let the message come (RFC 5321, 4.1.1.4)."""
        if argument:
            return Say(b"501 5.5.4 Syntax: DATA\r\n")
        if self._sender is None or not self._recipients:
            return Say(b"503 5.5.1 RCPT first\r\n")
        self._data = DataStream()
        return Begin(_GO_AHEAD, Transaction(self._sender, tuple(self._recipients)))

    def _rset(self, _argument: str) -> Say:
        self._reset()
        return Say(_OK)

    def _noop(self, _argument: str) -> Say:
        return Say(_OK)

    def _vrfy(self, argument: str) -> Say:
        """Verify nothing (RFC 5321, 3.5.3)."""
        return Say(
            b"252 2.1.5 Send a message and see\r\n" if argument else b"501 5.5.4 VRFY whom?\r\n"
        )

    def _quit(self, argument: str) -> Say:
        if argument:
            return Say(b"501 5.5.4 Syntax: QUIT\r\n")
        return Say(_BYE, hang_up=True)


_COMMANDS: dict[str, Callable[[Dialogue, str], Event]] = {
    "HELO": Dialogue._helo,
    "EHLO": Dialogue._ehlo,
    "LHLO": Dialogue._ehlo,
    "MAIL": Dialogue._mail,
    "RCPT": Dialogue._rcpt,
    "DATA": Dialogue._begin,
    "RSET": Dialogue._rset,
    "NOOP": Dialogue._noop,
    "VRFY": Dialogue._vrfy,
    "QUIT": Dialogue._quit,
}
