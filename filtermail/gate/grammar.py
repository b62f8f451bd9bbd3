"""The gate: the grammar of what a relay carries. Bytes in, a refusal or nothing out.

The invariant: every byte of an accepted message is accounted for. It is a header field that was
looked at, or it is a token of the grammar in `filtermail.gate.mime`, or a line of strict base64 in
`filtermail.gate.armour` whose octets are the packets that `filtermail.gate.packets` allows. There
is no state in which bytes are skipped because nobody asked about them.

What may pass, by direction:

    outgoing   encrypted, or a legacy securejoin request; From is the envelope sender
    incoming   the same from one author, and delivery reports; of encrypted
               messages also what other programs write

Everything else is NotEncrypted, which the owner of a mailbox may allow (for incoming mail only:
`filtermail.gate.message`); what is Malformed or Spoofed nobody can.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from filtermail.gate.bounce import Bounce, is_report
from filtermail.gate.content import (
    author,
    author_text,
    check_identity_encoding,
    check_mime_version,
    content_type,
)
from filtermail.gate.headers import Headers
from filtermail.gate.mediatype import ContentType
from filtermail.gate.mime import encrypted, join_request
from filtermail.gate.reader import Machine, Reader
from filtermail.gate.standard import standard_body
from filtermail.gate.verdict import Malformed, NotEncrypted, Spoofed, TooBig
from relay.address import Address

_INVITE = re.compile(rb"[A-Za-z0-9_-]{1,64}")
_TEXT = {b"charset": b"utf-8", b"format": b"flowed", b"delsp": b"no"}
_JOIN_REQUESTS = (b"vc-request", b"vg-request")
# What encrypting programs write beside protocol and boundary, or gateways add.
_PARAMETERS = {
    b"charset": re.compile(rb"[A-Za-z0-9._-]{1,24}"),
    b"micalg": re.compile(rb"pgp-[A-Za-z0-9-]{1,16}"),
    b"protected-headers": re.compile(rb"v1"),
    b"format": re.compile(rb"flowed"),
}


class Direction(Enum):
    """Which way a message goes: out of the relay's users, or in to them."""

    OUTGOING = "outgoing"
    INCOMING = "incoming"


@dataclass(frozen=True, slots=True)
class Envelope:
    """The SMTP envelope; a sender of None is the empty one, `<>`."""

    sender: Address | None
    recipients: tuple[Address, ...]


class Body(Protocol):
    """What judges a body as it comes. Each method raises Refusal."""

    def feed(self, data: bytes, /) -> None:
        """Take the next octets, dots undone; a CR is never cut from its LF."""

    def finish(self) -> None:
        """The body has ended."""

    def whole(self, data: bytes, /) -> None:
        """Judge a body that is all at hand, in place of `feed` and `finish`."""


class Everything:
    """A body that may be anything, up to `limit` octets: cleartext that its recipients take."""

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Raise Malformed at a bare CR or LF, which the next server might take for a line's end.

        Raises TooBig beyond the limit.
        """
        self._size += len(data)
        if self._limit is not None and self._size > self._limit:
            raise TooBig(self._limit)
        ends = data.count(b"\r\n")
        if data.count(b"\n") != ends or data.count(b"\r") != ends:
            raise Malformed("a line that ends in a bare CR or LF")

    def finish(self) -> None:
        """It may end anywhere."""

    def whole(self, data: bytes) -> None:
        """As `feed`."""
        self.feed(data)


class Encrypted:
    """The body of an encrypted message: by the short way if it comes whole and is standard."""

    def __init__(self, boundary: bytes, *, strict: bool) -> None:
        self._boundary = boundary
        self._strict = strict
        self._grammar: Machine | None = None

    def feed(self, data: bytes) -> None:
        """Take the next octets; raises Refusal."""
        self._machine().feed(data)

    def finish(self) -> None:
        """There are no more octets; raises Refusal unless the body is complete."""
        self._machine().finish()

    def whole(self, data: bytes) -> None:
        """Take a body that is all at hand, in place of `feed` and `finish`; raises Refusal."""
        if not standard_body(self._boundary, data):
            self._machine().whole(data)

    def _machine(self) -> Machine:
        if self._grammar is None:
            reader = Reader()
            grammar = encrypted(reader, self._boundary, strict=self._strict)
            self._grammar = Machine(reader, grammar)
        return self._grammar


def open_gate(headers: Headers, envelope: Envelope, direction: Direction) -> Body:
    """Judge a header block; return what is to judge the body. Raises Refusal."""
    if direction is Direction.OUTGOING:
        _check_sender(headers, envelope)
    try:
        if direction is Direction.INCOMING:
            writer = author(headers)
            if envelope.sender is None and is_report(headers, writer):
                return Bounce(content_type(headers).boundary())
        return _body(headers, strict=direction is Direction.OUTGOING)
    except Malformed as fault:
        # Ambiguous headers are acceptable for recipients who opted in to cleartext.
        raise NotEncrypted(str(fault)) from None


def _body(headers: Headers, *, strict: bool) -> Body:
    content = content_type(headers)
    check_mime_version(headers)
    if content.media == b"multipart/encrypted":
        check_identity_encoding(headers)
        if content.parameters.get(b"protocol", b"").lower() != b"application/pgp-encrypted":
            raise NotEncrypted("multipart/encrypted by another protocol than OpenPGP")
        _check_parameters(content, strict=strict)
        return Encrypted(content.boundary(), strict=strict)
    kind = headers.one(b"secure-join")
    if kind in _JOIN_REQUESTS:
        return _join_request(headers, content, kind)
    raise NotEncrypted("not an OpenPGP encrypted message")


def _check_parameters(content: ContentType, *, strict: bool) -> None:
    for name, value in content.parameters.items():
        if name not in (b"protocol", b"boundary"):
            known = _PARAMETERS.get(name)
            if strict or known is None or not known.fullmatch(value):
                raise NotEncrypted("a Content-Type with other parameters")


def _join_request(headers: Headers, content: ContentType, kind: bytes) -> Body:
    check_identity_encoding(headers)
    if not _INVITE.fullmatch(headers.one(b"secure-join-invitenumber") or b""):
        raise NotEncrypted("a securejoin request without its invitation number")
    reader = Reader()
    if content.media == b"multipart/mixed" and set(content.parameters) == {b"boundary"}:
        return Machine(reader, join_request(reader, kind, content.boundary()))
    if content.media == b"text/plain" and content.parameters.items() <= _TEXT.items():
        return Machine(reader, join_request(reader, kind, None))
    raise NotEncrypted("a securejoin request that is not text/plain")


def _check_sender(headers: Headers, envelope: Envelope) -> None:
    try:
        # The same spelling, case apart, is the same address, and cheaper to compare than to parse.
        text = author_text(headers).lower()
        if envelope.sender is not None and text == str(envelope.sender).encode():
            return
        address = author(headers)
    except Malformed as fault:
        raise Spoofed(str(fault)) from None
    if address != envelope.sender:
        raise Spoofed("The From header is not the envelope sender")
