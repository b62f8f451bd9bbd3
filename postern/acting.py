"""Root steps down to the mailboxes' user before it touches what that user may have prepared.

Whoever has taken over a process of that user can plant links, named pipes and files of any size in
the mailboxes. Acting as that user, a command can do no more to them than the attacker could.

The effective ids change, not the real ones: a command that works on mailboxes also writes reports
and ends Dovecot's sessions, as root. Neither signals nor ptrace reach a process whose real user is
root (kill(2), ptrace(2)).
"""

import contextlib
import os
from collections.abc import Iterator

from relay.owner import Owner


@contextlib.contextmanager
def acting_as(owner: Owner) -> Iterator[None]:
    """Be `owner` for the file system while this lasts; only root can, others stay themselves.

    Processes that are started in it stay `owner`. No module may be imported in it for the first
    time: the interpreter may lie where only root may go.
    """
    if os.geteuid() != 0 or owner.uid == 0:
        yield
        return
    group, groups = os.getegid(), os.getgroups()
    os.setgroups([])
    os.setegid(owner.gid)
    os.seteuid(owner.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)
