"""From SMTP's 250 to the gateway's request, through real Postfix and Dovecot in a sandbox.

What a sender's client sees is the 250 of its submission; what wakes the receiver is the request.
Between them lie Postfix' queue, LMTP, Dovecot's delivery and Lua, the durable push queue and the
notifier. Both clocks are this machine's.
"""

import secrets
import tempfile
import time
from pathlib import Path

from bench.problem import BenchProblem
from sandbox import arrivals, letters
from sandbox.clients import DEVICE_TOKEN, Imap, Smtp
from sandbox.login import Login, fresh_login
from sandbox.problem import SandboxProblem
from sandbox.relay import Sandbox

MESSAGES = 20


def measure(messages: int = MESSAGES) -> list[float]:
    """Seconds for each of so many messages, in a sandbox of its own; raises BenchProblem."""
    with tempfile.TemporaryDirectory(prefix="postern-bench-") as directory:
        try:
            with Sandbox(Path(directory) / "sandbox") as sandbox:
                return delays(sandbox, messages)
        except SandboxProblem as problem:
            raise BenchProblem(str(problem)) from None


def delays(sandbox: Sandbox, messages: int = MESSAGES) -> list[float]:
    """Seconds for each of so many messages, one at a time, in a sandbox that runs.

    Each message has a receiver of its own, as several messages for one device may be one
    request. Below zero where the request came before the sender's client had read the 250.
    """
    accepted: dict[str, float] = {}
    for _ in range(messages):
        # A sender of its own as well: one may send only so many at once.
        sender, receiver = fresh_login(sandbox.domain), fresh_login(sandbox.domain)
        token = f"bench:{secrets.token_hex(20)}"
        with Imap(sandbox.ports, receiver) as imap:
            imap.set_metadata("INBOX", DEVICE_TOKEN, token)
        accepted[token] = _send(sandbox, sender, receiver)
        arrivals.wait_for_token(sandbox.ports["gateway"], token)
    came = arrivals.times(sandbox.ports["gateway"])
    return [came[token] - moment for token, moment in accepted.items()]


def _send(sandbox: Sandbox, sender: Login, receiver: Login) -> float:
    """Submit a message; when its 250 was read, in seconds since the epoch."""
    message = letters.encrypted(sender.address)
    with Smtp(sandbox.ports, sender) as smtp:
        code, text = smtp.transact(sender.address, [receiver.address], message)
        accepted = time.time()
    if code != 250:
        raise BenchProblem(f"a message was refused: {code} {text}")
    return accepted
