"""SMTP replies: written by a server, read by a client (RFC 5321, 4.2). Pure."""

import re
from typing import NamedTuple

MAX_LINE = 4096
"""Octets of a line of a reply; RFC 5321, 4.5.3.1.5 asks for 512."""
MAX_LINES = 100
_MARKS = (b" ", b"-", b"")

_CODE = re.compile(rb"[2-5][0-9]{2}")


class Reply(NamedTuple):
    """A reply: its code, and its text line by line."""

    code: int
    lines: tuple[str, ...]

    @property
    def accepts(self) -> bool:
        """Whether the code is a positive one; 354 is."""
        return self.code < 400

    def encode(self) -> bytes:
        """The reply as it goes over the wire."""
        *more, last = self.lines
        text = "".join(f"{self.code}-{line}\r\n" for line in more) + f"{self.code} {last}\r\n"
        return text.encode("utf-8", "replace")


class BadReply(ValueError):
    """The server does not speak SMTP. The message never repeats what it said."""


class ReplyReader:
    """Reads a server's replies: octets in, replies out."""

    def __init__(self) -> None:
        self._partial = b""
        self._lines: list[str] = []

    def feed(self, data: bytes) -> list[Reply]:
        """The replies that `data` completes; raises BadReply, after which the server is lost."""
        *lines, self._partial = (self._partial + data).split(b"\n")
        if len(self._partial) > MAX_LINE:
            raise BadReply("a reply line that is too long")
        return [reply for line in lines if (reply := self._line(line)) is not None]

    def _line(self, line: bytes) -> Reply | None:
        """Read a line; the reply that ends with it."""
        line = line.removesuffix(b"\r")
        code, mark, text = line[:3], line[3:4], line[4:]
        if not _CODE.fullmatch(code) or mark not in _MARKS or len(line) > MAX_LINE or b"\r" in text:
            raise BadReply("a line that is no SMTP reply")
        self._lines.append(text.decode("utf-8", "replace"))
        if mark == b"-":
            if len(self._lines) >= MAX_LINES:
                raise BadReply("a reply that does not end")
            return None
        lines, self._lines = tuple(self._lines), []
        return Reply(int(code), lines)
