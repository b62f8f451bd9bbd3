"""What follows SMTP's DATA, piece by piece: where it ends, and its dots undone (RFC 5321, 4.5.2).

Every piece comes out twice: as `wire`, to be passed on as it came, and as `content`, with the
dots that the sender stuffed removed, to be looked at. Neither ever holds a part of the final
`.` line: of a piece that ends in what may be its beginning, up to four octets stay back.
"""

from typing import NamedTuple

END = b"\r\n.\r\n"
_BEGINNINGS = (b"\r\n.\r", b"\r\n.", b"\r\n", b"\r")


class Piece(NamedTuple):
    """What one call of `feed` yields."""

    wire: bytes
    content: bytes
    ended: bool
    rest: bytes
    """What follows the final dot: the client's next commands. Empty until `ended`."""


class DataStream:
    """One message's DATA, from the first octet after the 354 to the final dot."""

    def __init__(self) -> None:
        # DATA begins at the beginning of a line, as if after this CRLF; it is never given out.
        self._back = b"\r\n"
        self._imagined = 2

    def feed(self, data: bytes) -> Piece:
        """Take the next octets off the wire."""
        data = self._back + data if self._back else data
        # Most of what comes is armour, in which no dot is: one look for it spares two searches.
        dotted = b"." in data
        end = data.find(END) if dotted else -1
        if end >= 0:
            wire, rest = data[: end + 2], data[end + len(END) :]
        else:
            kept = next((len(part) for part in _BEGINNINGS if data.endswith(part)), 0)
            cut = len(data) - kept
            wire, rest, self._back = data[:cut], b"", data[cut:]
        content = wire.replace(b"\r\n.", b"\r\n") if dotted else wire
        if self._imagined and wire:
            wire, content, self._imagined = wire[self._imagined :], content[self._imagined :], 0
        return Piece(wire, content, end >= 0, rest)


def stuff(content: bytes) -> bytes:
    """Dot-stuff what begins at the beginning of a line."""
    stuffed = content.replace(b"\r\n.", b"\r\n..")
    return b"." + stuffed if stuffed.startswith(b".") else stuffed
