"""Why a message is refused: the one exception that the pure modules raise, and its reply."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reply:
    """An SMTP reply: its code and its text, a line each (RFC 5321, 4.2)."""

    code: int
    lines: tuple[str, ...]

    @property
    def accepts(self) -> bool:
        """Whether the code is a positive one, 354 among them."""
        return self.code < 400

    def encode(self) -> bytes:
        """The reply as it goes over the wire."""
        last = len(self.lines) - 1
        return b"".join(
            f"{self.code}{' ' if at == last else '-'}{line}\r\n".encode("utf-8", "replace")
            for at, line in enumerate(self.lines)
        )


class Refusal(Exception):  # noqa: N818 - the field's word
    """A message or command is refused for good; `reply` says so to the client.

    The text is ours alone: it repeats nothing of the message.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.reply = Reply(code, (text,))


class NotEncrypted(Refusal):
    """The message is no end-to-end encrypted one; `reason` names what was found, and where.

    Clients look for the beginning of the reply, in any case, and explain it to their user.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(523, f"Encryption Needed: Invalid Unencrypted Mail ({reason})")
        self.reason = reason


class Malformed(Refusal):
    """The message breaks the rules of its format in a way that no permission mends."""

    def __init__(self, reason: str) -> None:
        super().__init__(554, f"5.6.0 Malformed message: {reason}")


class TooBig(Refusal):
    """The message is larger than the relay takes."""

    def __init__(self, limit: int) -> None:
        super().__init__(552, f"5.3.4 Message larger than {limit} bytes")


class Spoofed(Refusal):
    """The From header is not the sender that was authenticated."""

    def __init__(self, reason: str) -> None:
        super().__init__(553, f"5.7.1 {reason}")
