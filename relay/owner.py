"""The system user that mailboxes and sockets belong to."""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Owner:
    """The user that mailboxes and sockets belong to."""

    uid: int
    gid: int

    @classmethod
    def named(cls, user: str) -> "Owner":
        """Return the system's user of that name; raises LookupError with the mend."""
        try:
            entry = pwd.getpwnam(user)
        except KeyError:
            raise LookupError(
                f"there is no user {user!r} on this system: create it "
                f"(useradd --system {user}) or set mailboxes_user"
            ) from None
        return cls(entry.pw_uid, entry.pw_gid)

    def take(self, path: str | Path | int) -> None:
        """Give a path or an open file to this owner; only root can, and others need not.

        A link is given away itself, not its target.
        """
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.gid, follow_symlinks=isinstance(path, int))
