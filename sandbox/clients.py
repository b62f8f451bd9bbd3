"""Mail clients for checks, below what a chat program shows: one for IMAP, one for SMTP."""

import imaplib
import select
import smtplib
import time
from collections.abc import Sequence

from sandbox.login import Login
from sandbox.ports import LOOPBACK
from sandbox.probes import client_context

SECONDS = 20.0
"""How long one answer may take."""
DEVICE_TOKEN = "/private/devicetoken"  # noqa: S105 - the name of a METADATA entry

# imaplib takes a command that it does not know for one of the state that it first came in.
imaplib.Commands.update(dict.fromkeys(("GETMETADATA", "SETMETADATA"), ("AUTH", "SELECTED")))


class Imap(imaplib.IMAP4_SSL):
    """A logged-in IMAP client. Raises imaplib.IMAP4.error, and TimeoutError for a late answer."""

    def __init__(
        self,
        ports: dict[str, int],
        login: Login,
        *,
        seconds: float = SECONDS,
        host: str = LOOPBACK,
    ) -> None:
        super().__init__(host, ports["imaps"], ssl_context=client_context(), timeout=seconds)
        try:
            self.login(login.address, login.password)
        except BaseException:
            self.shutdown()
            raise

    def set_metadata(self, mailbox: str, entry: str, value: str) -> None:
        """SETMETADATA (RFC 5464, 4.3) with a quoted string."""
        status, text = self.xatom("SETMETADATA", mailbox, f'({entry} "{value}")')
        if status != "OK":
            raise self.error(f"SETMETADATA: {text!r}")

    def get_metadata(self, mailbox: str, entry: str) -> bytes:
        """What the server tells of one entry (RFC 5464, 4.2), as it came."""
        status, text = self.xatom("GETMETADATA", mailbox, f"({entry})")
        if status != "OK":
            raise self.error(f"GETMETADATA: {text!r}")
        told = self.response("METADATA")[1]
        return b" ".join(_flat(told))

    def fetch_message(self, number: int) -> bytes:
        """The whole message with this sequence number."""
        _, parts = self.fetch(str(number), "(BODY.PEEK[])")
        assert isinstance(parts[0], tuple)
        return bytes(parts[0][1])

    def wait_for_messages(self, count: int, seconds: float = SECONDS) -> int:
        """How many messages INBOX has, once there are at least `count`."""
        deadline = time.monotonic() + seconds
        while (there := int(self.select("INBOX")[1][0] or b"0")) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{there} messages instead of {count} after {seconds:g} s")
            time.sleep(0.05)
        return there

    def start_idle(self) -> None:
        """Enter IDLE (RFC 2177) in INBOX."""
        self.select("INBOX")
        self.send(b"idle IDLE\r\n")
        while not self.readline().startswith(b"+"):
            pass

    def be_quiet(self, seconds: float) -> None:
        """Idle on; raises AssertionError if the server says something within `seconds`."""
        readable, _, _ = select.select([self.sock], [], [], seconds)
        assert not readable, "the server spoke to an idle client without news"

    def wait_for_exists(self) -> float:
        """When the server told an idle client of a new message (time.monotonic)."""
        while True:
            line = self.readline()
            if not line:
                raise ConnectionError("the server closed an idle connection")
            if line.rstrip().endswith(b"EXISTS"):
                return time.monotonic()

    def end_idle(self) -> None:
        """Leave IDLE."""
        self.send(b"DONE\r\n")
        while not (line := self.readline()).startswith(b"idle "):
            if not line:
                raise ConnectionError("the server closed an idle connection")


def _flat(parts: Sequence[object]) -> list[bytes]:
    flat = []
    for part in parts:
        if isinstance(part, tuple):
            flat += _flat(part)
        elif isinstance(part, bytes):
            flat.append(part)
    return flat


class Smtp(smtplib.SMTP_SSL):
    """A logged-in submission client. Raises smtplib.SMTPException."""

    def __init__(
        self,
        ports: dict[str, int],
        login: Login,
        *,
        seconds: float = SECONDS,
        host: str = LOOPBACK,
    ) -> None:
        super().__init__(host, ports["smtps"], context=client_context(), timeout=seconds)
        try:
            self.login(login.address, login.password)
        except BaseException:
            self.close()
            raise

    def transact(self, sender: str, recipients: Sequence[str], message: bytes) -> tuple[int, str]:
        """One mail transaction; the first reply that refuses, or the last one."""
        code, text = self.mail(sender)
        for recipient in recipients:
            if code == 250:
                code, text = self.rcpt(recipient)
        if code == 250:
            code, text = self.data(message)
        else:
            self.rset()
        return code, text.decode(errors="replace")
