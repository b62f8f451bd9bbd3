"""The gate: the grammar of what a relay carries. Bytes in, a refusal or nothing out.

The invariant: every byte of an accepted message is accounted for. It is a header field that was
looked at, or it is a token of the grammar in `filtermail.gate.mime`, or a line of strict base64 in
`filtermail.gate.armour` whose octets are the packets that `filtermail.gate.packets` allows. There
is no state in which bytes are skipped because nobody asked about them.

What may pass, by direction:

    outgoing   encrypted, or a legacy securejoin request; From is the envelope sender
    incoming   the same, and bounces; of encrypted messages the boiler-plate of other programs too

Everything else is NotEncrypted, which the owner of a mailbox may allow (for incoming mail only:
`filtermail.gate.message`); what is Malformed or Spoofed nobody can.
"""

import re
from dataclasses import dataclass
from enum import Enum

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
from filtermail.gate.verdict import Malformed, NotEncrypted, Spoofed
from relay.address import Address

_INVITE = re.compile(rb"[A-Za-z0-9_-]{1,64}")
_TEXT = {b"charset": b"utf-8", b"format": b"flowed", b"delsp": b"no"}
_JOIN_REQUESTS = (b"vc-request", b"vg-request")
_ENCRYPTED_PARAMETERS = {b"protocol", b"boundary"}


class Direction(Enum):
    """Which way a message goes: out of the relay's users, or in to them."""

    OUTGOING = "outgoing"
    INCOMING = "incoming"


@dataclass(frozen=True, slots=True)
class Envelope:
    """The SMTP envelope; a sender of None is the empty one, `<>`."""

    sender: Address | None
    recipients: tuple[Address, ...]


class Everything:
    """A body that may be anything: a bounce's."""

    def feed(self, data: bytes) -> None:
        """Take it as it is."""

    def finish(self) -> None:
        """It may end anywhere."""

    def whole(self, data: bytes) -> None:
        """Take all of it."""


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


Body = Encrypted | Machine | Everything
"""`feed` and then `finish`, or `whole` alone, judge a body."""


def open_gate(headers: Headers, envelope: Envelope, direction: Direction) -> Body:
    """Judge a header block; what is to judge the body. Raises Refusal."""
    if direction is Direction.OUTGOING:
        _check_author(headers, envelope)
    elif _is_bounce(headers, envelope):
        return Everything()
    try:
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
        if strict and content.parameters.keys() != _ENCRYPTED_PARAMETERS:
            raise NotEncrypted("a Content-Type with other parameters")
        return Encrypted(content.boundary(), strict=strict)
    kind = headers.one(b"secure-join")
    if kind in _JOIN_REQUESTS:
        return _join_request(headers, content, kind)
    raise NotEncrypted("not an OpenPGP encrypted message")


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


def _check_author(headers: Headers, envelope: Envelope) -> None:
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


def _is_bounce(headers: Headers, envelope: Envelope) -> bool:
    """A delivery report (RFC 3464; RFC 3834, 5), the one cleartext that has to come in."""
    if envelope.sender is not None:
        return False
    try:
        return (
            author(headers).local == "mailer-daemon"
            and (headers.one(b"auto-submitted") or b"no").lower() != b"no"
            and content_type(headers).media == b"multipart/report"
        )
    except Malformed:
        return False
