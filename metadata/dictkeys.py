"""What Dovecot asks for: dict keys read as typed requests. Pure.

Captured from Dovecot 2.3.19 with `mail_attribute_dict`:

- an entry of a mailbox is `priv/<guid>/<name>` or `shared/<guid>/<name>`, the GUID a mailbox's;
- an entry of the server (mailbox "") has INBOX's GUID and `vendor/vendor.dovecot/pvt/server/`
  before its name.

`/shared/comment` and `/shared/admin` of the server do not come here: Dovecot answers them out of
its own configuration. The GUID is ignored: a device token belongs to the address, whichever
mailbox a client names.
"""

import re
from enum import Enum

_SERVER = "vendor/vendor.dovecot/pvt/server/vendor/deltachat"
_PRIVATE = re.compile(r"priv/[0-9a-f]+/([a-z]+)")
_SHARED = re.compile(rf"shared/[0-9a-f]+/{_SERVER}/([a-z]+)")


class Private(Enum):
    """Entries of an address."""

    DEVICE_TOKEN = "devicetoken"  # noqa: S105 - an entry's name
    MESSAGE_NEW = "messagenew"
    MESSAGE_OWN = "messageown"


class Shared(Enum):
    """Entries of the server, the same for everybody."""

    IROH_RELAY = "irohrelay"
    TURN = "turn"
    MAX_SMTP_RECIPIENTS = "maxsmtprecipients"
    APP_VERSIONS = "appversions"


def parse(key: str) -> Private | Shared | None:
    """Return the entry that `key` stands for, None for one that we do not have."""
    for pattern, entries in ((_PRIVATE, Private), (_SHARED, Shared)):
        if match := pattern.fullmatch(key):
            try:
                return entries(match[1])
            except ValueError:
                return None
    return None
