"""The server's side of an SMTP or LMTP connection: octets in, events out. Pure.

Theory of operation. `receive` takes what the client sent; `next` gives the next event, or None
where it needs more octets or waits for `conclude`. Every command is answered here and at once,
because nothing is decided before the message has come. The connection's owner acts on the events:

    bytes       write them
    Farewell    write its octets, and hang up
    Begin       the same as bytes, and pieces of a message follow
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
    b"STARTTLS": b"454 4.7.0 TLS not available\r\n",
    b"AUTH": b"538 5.7.11 Authenticate with the mail server in front\r\n",
    b"EXPN": b"502 5.5.1 EXPN is not implemented\r\n",
    b"HELP": b"501 5.5.4 RFC 5321 has all the help there is\r\n",
}
"""Commands that are known, and not for this place."""


class Rules:
    """What a server says of itself, and what it takes. One for all connections of a service."""

    def __init__(self, domain: str, max_size: int, *, lmtp: bool = False) -> None:
        """`max_size` is in octets of a message; it is announced, and held against MAIL's SIZE.

        With `lmtp` it is LHLO in place of EHLO, and a reply for each recipient after the final dot
        (RFC 2033, 4).
        """
        self.domain = domain
        self.max_size = max_size
        self.lmtp = lmtp
        self.banner = f"220 {domain} {'LMTP' if lmtp else 'ESMTP'} Postern\r\n".encode()
        self.helo = f"250 {domain}\r\n".encode()
        self.ehlo = (
            f"250-{domain}\r\n250-PIPELINING\r\n250-SIZE {max_size}\r\n"
            "250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES\r\n"
        ).encode()
        foreign = (b"HELO", b"EHLO") if lmtp else (b"LHLO",)
        self.commands = {verb: run for verb, run in _COMMANDS.items() if verb not in foreign}


class Transaction(NamedTuple):
    """One message's envelope."""

    sender: Path
    recipients: tuple[Path, ...]


class Farewell(NamedTuple):
    """Octets for the client, and then the end."""

    octets: bytes


class Begin(NamedTuple):
    """The client may send its message: `octets` tell it so."""

    octets: bytes
    transaction: Transaction


Event = bytes | Farewell | Begin | Piece


class Dialogue:
    """The state of one connection."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
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
        verb, _, argument = line.partition(b" ")
        verb = verb.upper()
        handle = self._rules.commands.get(verb)
        if handle is not None:
            return handle(self, argument.decode("utf-8", "surrogateescape").strip())
        if elsewhere := _ELSEWHERE.get(verb):
            return elsewhere
        return self._nonsense("500 5.5.1 Unknown command")

    def _nonsense(self, text: str) -> bytes | Farewell:
        self._errors += 1
        if self._errors < MAX_ERRORS:
            return f"{text}\r\n".encode()
        return Farewell(b"502 5.5.1 Too many errors, goodbye\r\n")

    def _reset(self) -> None:
        self._sender = None
        self._recipients = []

    def _helo(self, argument: str) -> bytes:
        if not argument:
            return b"501 5.5.4 Syntax: HELO hostname\r\n"
        return self._hello(self._rules.helo)

    def _ehlo(self, argument: str) -> bytes:
        """Say which extensions are understood (RFC 5321, 4.1.1.1)."""
        if not argument:
            return b"501 5.5.4 Syntax: EHLO hostname\r\n"
        return self._hello(self._rules.ehlo)

    def _hello(self, greeting: bytes) -> bytes:
        self._reset()
        self._greeted = True
        return greeting

    def _mail(self, argument: str) -> bytes:
        """Begin a transaction (RFC 5321, 4.1.1.2)."""
        if not self._greeted:
            return b"503 5.5.1 EHLO first\r\n"
        if self._sender is not None:
            return b"503 5.5.1 A transaction is open already\r\n"
        try:
            sender = parse_path("FROM:", argument)
        except InvalidAddress as error:
            return f"501 5.1.7 Bad sender: {error}\r\n".encode()
        if sender.size > self._rules.max_size:
            return f"552 5.3.4 Message larger than {self._rules.max_size} bytes\r\n".encode()
        self._sender = sender
        return _SENDER_OK

    def _rcpt(self, argument: str) -> bytes:
        """Add a recipient (RFC 5321, 4.1.1.3)."""
        if self._sender is None:
            return b"503 5.5.1 MAIL first\r\n"
        if len(self._recipients) >= MAX_RECIPIENTS:
            return f"452 4.5.3 More than {MAX_RECIPIENTS} recipients\r\n".encode()
        try:
            recipient = parse_path("TO:", argument, postmaster=self._rules.domain)
        except InvalidAddress as error:
            return f"501 5.1.3 Bad recipient: {error}\r\n".encode()
        if recipient.address is None:
            return b"501 5.1.3 Bad recipient: the empty address\r\n"
        self._recipients.append(recipient)
        return _RECIPIENT_OK

    def _begin(self, argument: str) -> Event:
        """Let the message come (RFC 5321, 4.1.1.4)."""
        if argument:
            return b"501 5.5.4 Syntax: DATA\r\n"
        if self._sender is None or not self._recipients:
            return b"503 5.5.1 RCPT first\r\n"
        self._data = DataStream()
        return Begin(_GO_AHEAD, Transaction(self._sender, tuple(self._recipients)))

    def _rset(self, _argument: str) -> bytes:
        self._reset()
        return _OK

    def _noop(self, _argument: str) -> bytes:
        return _OK

    def _vrfy(self, argument: str) -> bytes:
        """Verify nothing (RFC 5321, 3.5.3)."""
        return b"252 2.1.5 Send a message and see\r\n" if argument else b"501 5.5.4 VRFY whom?\r\n"

    def _quit(self, argument: str) -> bytes | Farewell:
        if argument:
            return b"501 5.5.4 Syntax: QUIT\r\n"
        return Farewell(_BYE)


_COMMANDS: dict[bytes, Callable[[Dialogue, str], Event]] = {
    b"HELO": Dialogue._helo,
    b"EHLO": Dialogue._ehlo,
    b"LHLO": Dialogue._ehlo,
    b"MAIL": Dialogue._mail,
    b"RCPT": Dialogue._rcpt,
    b"DATA": Dialogue._begin,
    b"RSET": Dialogue._rset,
    b"NOOP": Dialogue._noop,
    b"VRFY": Dialogue._vrfy,
    b"QUIT": Dialogue._quit,
}
