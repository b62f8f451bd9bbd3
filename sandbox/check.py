"""The check of a sandbox: real clients use it, step by step, and each step is timed.

A step is a function of the `Stage`, named and ordered in `STEPS`; its docstring's first line is
what is shown. It fails by raising; then those after it are not tried.
"""

import base64
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sandbox import arrivals, letters
from sandbox.clients import DEVICE_TOKEN, Imap, Smtp
from sandbox.login import Login, fresh_login
from sandbox.outcome import Outcome
from sandbox.phone import Phone, core, join, log_in
from sandbox.relay import Sandbox
from sandbox.threads import in_thread

STEP_SECONDS = 60.0
IDLE_SECONDS = 2.0
"""How long a client is idle before its delivery is timed."""
LATENCY_SECONDS = 0.15
TRIES = 3
"""Deliveries that are timed; the fastest counts, as a busy machine delays some."""


@dataclass(slots=True)
class Stage:
    """What the steps share."""

    sandbox: Sandbox
    exit: ExitStack
    logins: list[Login] = field(default_factory=list)
    phones: list[Phone] = field(default_factory=list)


@contextmanager
def stage(sandbox: Sandbox) -> Iterator[Stage]:
    """A stage that ends what its steps started."""
    with ExitStack() as stack:
        stack.callback(sandbox.stop)
        yield Stage(sandbox, stack)


def start(stage: Stage) -> str:
    """Postfix, Dovecot and the daemons start and answer"""
    stage.sandbox.start()
    return f"{len(stage.sandbox.daemons)} daemons"


def clients_log_in(stage: Stage) -> str:
    """Two Delta Chat cores log in, which makes their accounts"""
    accounts = Path(tempfile.mkdtemp(prefix="postern-core-"))
    stage.exit.callback(shutil.rmtree, accounts, ignore_errors=True)
    manager = stage.exit.enter_context(core(accounts / "accounts"))
    stage.logins = [fresh_login(stage.sandbox.domain) for _ in range(2)]
    stage.phones = log_in(manager, [login.link(stage.sandbox.ports) for login in stage.logins])
    return ""


def securejoin(stage: Stage) -> str:
    """They verify each other by securejoin"""
    inviter, joiner = stage.phones
    join(inviter, joiner)
    return ""


def chat(stage: Stage) -> str:
    """They exchange messages both ways, with a padlock"""
    for sender, receiver in (stage.phones, stage.phones[::-1]):
        text = f"hello {secrets.token_hex(4)}"
        sender.account.create_chat(receiver.account).send_text(text)
        assert receiver.wait_for_text(text).show_padlock, "a message came without a padlock"
    return ""


def push(stage: Stage) -> str:
    """A push token is stored, and a message sends a push to the stand-in gateway"""
    ports, (woken, sender) = stage.sandbox.ports, stage.phones
    token = "openpgp:" + base64.b64encode(secrets.token_bytes(48)).decode()
    with Imap(ports, stage.logins[0]) as imap:
        imap.set_metadata("INBOX", DEVICE_TOKEN, token)
        assert token.encode() in imap.get_metadata("INBOX", DEVICE_TOKEN)
    sender.account.create_chat(woken.account).send_text("wake up")
    sent = time.monotonic()
    arrivals.wait_for_token(ports["gateway"], token)
    return f"{time.monotonic() - sent:.2f} s after sending"


def cleartext_refused(stage: Stage) -> str:
    """Cleartext is refused with 523"""
    address = stage.logins[0].address
    with Smtp(stage.sandbox.ports, stage.logins[0]) as smtp:
        code, text = smtp.transact(address, [stage.logins[1].address], letters.cleartext(address))
    assert code == 523, f"the answer was {code} {text}"
    assert text.startswith("Encryption Needed: Invalid Unencrypted Mail"), text
    return f"{code} {text}"


def wrong_sender_refused(stage: Stage) -> str:
    """Mail in somebody else's name is refused"""
    login, other = stage.logins
    with Smtp(stage.sandbox.ports, login) as smtp:
        code, text = smtp.transact(other.address, [other.address], letters.encrypted(other.address))
        assert 500 <= code <= 599, f"with a false envelope the answer was {code} {text}"
        code, text = smtp.transact(login.address, [other.address], letters.encrypted(other.address))
        assert 500 <= code <= 599, f"with a false From the answer was {code} {text}"
    return ""


def idle_delivery(stage: Stage) -> str:
    """A message reaches a client that has been idle for 2 s at once"""
    times = delivery_times(stage.sandbox, TRIES)
    assert min(times) < LATENCY_SECONDS, f"it took {', '.join(f'{t:.3f}' for t in times)} s"
    return f"{min(times):.3f} s from SMTP's 250 to EXISTS"


STEPS: tuple[Callable[[Stage], str], ...] = (
    start,
    clients_log_in,
    securejoin,
    chat,
    push,
    cleartext_refused,
    wrong_sender_refused,
    idle_delivery,
)


def delivery_times(sandbox: Sandbox, tries: int) -> list[float]:
    """Seconds from SMTP's 250 until an idle client is told, up to the first that is quick."""
    login = fresh_login(sandbox.domain)
    times: list[float] = []
    with Imap(sandbox.ports, login) as imap, Smtp(sandbox.ports, login) as smtp:
        while len(times) < tries and min(times, default=1.0) >= LATENCY_SECONDS:
            imap.start_idle()
            imap.be_quiet(IDLE_SECONDS)
            told = in_thread(imap.wait_for_exists)
            letter = letters.encrypted(login.address)
            code, text = smtp.transact(login.address, [login.address], letter)
            accepted = time.monotonic()
            assert code == 250, f"the answer was {code} {text}"
            # The client may hear of it before the sender does.
            times.append(max(0.0, told.result(STEP_SECONDS) - accepted))
            imap.end_idle()
    return times


def title(step: Callable[[Stage], str]) -> str:
    """What a step does, in a line."""
    return (step.__doc__ or step.__name__).partition("\n")[0]


def run_step(step: Callable[[Stage], str], stage: Stage) -> Outcome:
    """Carry out one step, given up after `STEP_SECONDS`."""
    began = time.monotonic()
    try:
        detail, ok = in_thread(step, stage).result(STEP_SECONDS), True
    except TimeoutError as error:
        detail, ok = str(error) or f"not done after {STEP_SECONDS:g} s", False
    except Exception as error:  # noqa: BLE001 - whatever a step raises is its failure
        detail, ok = f"{type(error).__name__}: {error}", False
    return Outcome(title(step), ok, time.monotonic() - began, detail)
