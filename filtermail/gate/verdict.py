"""Why a message is refused: the one exception that the pure modules raise, and its reply."""

from relay.smtp.reply import Reply


class Refusal(Exception):
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
