"""Delivery reports, the one cleartext that has to come in (RFC 3464; RFC 6522; RFC 3834, 5).

A report is known by its header: an empty envelope sender, From `mailer-daemon` under one of the
names that mail servers give it, Auto-Submitted, and `multipart/report` of delivery status. Its body
has the three parts of RFC 3464: an explanation, the status, and what came back, which may be
missing. The explanation is free text, so the whole is held to a size that leaves room for little
else.
"""

import re

from filtermail.gate.content import DAEMON_NAMES, content_type
from filtermail.gate.headers import Headers
from filtermail.gate.mediatype import ContentType
from filtermail.gate.verdict import Malformed, NotEncrypted
from relay.address import Address

MAX_OCTETS = 128 * 1024
"""Of a report's body. Postfix returns 50 KB of a message at most, Exim 100 KB."""
_MAX_PARTS = 3

# Names that mail servers give themselves, before the address or in a comment behind it.
_NAMES = re.compile(rb'(?:"?' + DAEMON_NAMES + rb'"?[ \t]*)?<[^<>]+>|[^<>]+', re.IGNORECASE)
_STATUS = (b"message/delivery-status", b"message/global-delivery-status")
_RETURNED = (
    b"message/rfc822", b"text/rfc822-headers", b"message/global", b"message/global-headers",
)  # fmt: skip
_REQUIRED = (
    re.compile(rb"^Final-Recipient:", re.IGNORECASE | re.MULTILINE),
    re.compile(rb"^Action:[ \t]*(?:failed|delayed|delivered|relayed|expanded)", re.I | re.M),
)


def is_report(headers: Headers, writer: Address) -> bool:
    """Return whether a header block with that author is a delivery report's; raises Malformed."""
    content = content_type(headers)
    return (
        writer.local == "mailer-daemon"
        and _NAMES.fullmatch(headers.one(b"from") or b"") is not None
        and (headers.one(b"auto-submitted") or b"no").lower() != b"no"
        and content.media == b"multipart/report"
        and content.parameters.get(b"report-type", b"").lower() == b"delivery-status"
    )


class Bounce:
    """The body of a delivery report: kept until it is complete, then looked at."""

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"--" + boundary
        self._body = bytearray()

    def feed(self, data: bytes) -> None:
        """Take the next octets; raises NotEncrypted."""
        self._body += data
        if len(self._body) > MAX_OCTETS:
            raise NotEncrypted("a delivery report that is too large")

    def finish(self) -> None:
        """There are no more octets; raises NotEncrypted, or Malformed for bare line ends."""
        body = bytes(self._body)
        ends = body.count(b"\r\n")
        if body.count(b"\n") != ends or body.count(b"\r") != ends:
            raise Malformed("a line that ends in a bare CR or LF")
        parts = self._parts(body)
        try:
            types = [_media(part) for part in parts]
        except Malformed as fault:
            raise NotEncrypted(str(fault)) from None
        fits = (
            len(parts) in (2, _MAX_PARTS)
            and (types[0] == b"text/plain" or types[0].startswith(b"multipart/"))
            and types[1] in _STATUS
            and types[2:3] in ([], *([kind] for kind in _RETURNED))
            and all(field.search(parts[1]) for field in _REQUIRED)
        )
        if not fits:
            raise NotEncrypted("a delivery report without the parts of one")

    def whole(self, data: bytes) -> None:
        """Take a body that is all at hand; raises as `feed` and `finish` do."""
        self.feed(data)
        self.finish()

    def _parts(self, body: bytes) -> list[bytes]:
        """What stands between delimiters (RFC 2046, 5.1.1); raises NotEncrypted."""
        lines = b"\r\n" + body.removesuffix(b"\r\n")
        # Four delimiters are all that a report may have; more are in what is behind the last.
        _, *sections = lines.split(b"\r\n" + self._delimiter, _MAX_PARTS + 2)
        parts: list[bytes] = []
        for number, section in enumerate(sections, 1):
            rest, _, content = section.partition(b"\r\n")
            end = rest.rstrip(b" \t")
            if end == b"--":
                if number < len(sections) or content.strip(b"\r\n"):
                    raise NotEncrypted("something after a delivery report")
                return parts
            if end:
                raise NotEncrypted("a delivery report without the parts of one")
            parts.append(content)
        raise NotEncrypted("a delivery report that is cut short")


def _media(part: bytes) -> bytes:
    """A part's media type; raises Malformed."""
    head = part.partition(b"\r\n\r\n")[0] + b"\r\n" if not part.startswith(b"\r\n") else b""
    value = Headers.parse(head).one(b"content-type")
    return b"text/plain" if value is None else ContentType.parse(value).media
