"""Messages for clients of our own: one that a relay accepts, one that it refuses.

The encrypted one has the form and the armour that a Delta Chat core submitted; nobody here can
read it, as nobody at a relay can.
"""

import uuid

from postern.host.rendering import render


def encrypted(sender: str, message_id: str | None = None) -> bytes:
    """An encrypted message from `sender`, lines ended by CRLF; the id is the part before the @."""
    return _letter("encrypted", sender, message_id)


def cleartext(sender: str, message_id: str | None = None) -> bytes:
    """An unencrypted message from `sender`, lines ended by CRLF."""
    return _letter("cleartext", sender, message_id)


def _letter(kind: str, sender: str, message_id: str | None) -> bytes:
    values = {"sender": sender, "message_id": message_id or uuid.uuid4()}
    return render(f"letters/{kind}.eml", values).replace("\n", "\r\n").encode()
