"""Root steps down while it works on mailboxes."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import os
from postern.acting import acting_as
from relay.owner import Owner
before = os.geteuid(), os.getegid(), os.getgroups()
with acting_as(Owner.named("mail")):
    print(os.geteuid(), os.getegid(), os.getgroups())
    try:
        open("/etc/shadow")
    except PermissionError:
        print("refused")
assert (os.geteuid(), os.getegid(), os.getgroups()) == before
print("back")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_is_somebody_else_for_as_long_as_it_lasts() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    ids, refused, back = done.stdout.splitlines()
    assert ids == "8 8 []"
    assert (refused, back) == ("refused", "back")
