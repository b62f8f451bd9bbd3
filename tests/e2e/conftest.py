"""One sandbox and one Delta Chat core for all end-to-end tests."""

import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from deltachat_rpc_client import DeltaChat

from sandbox.login import Login, fresh_login
from sandbox.phone import Phone, core, join, log_in
from sandbox.relay import Sandbox, remove_abandoned

SANDBOXES = Path(__file__).parents[2] / ".sandbox"


@pytest.fixture(scope="session")
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A running relay. Its files are kept where a test failed: its logs tell why."""
    remove_abandoned(SANDBOXES, "e2e-*")
    sandbox = Sandbox(SANDBOXES / f"e2e-{secrets.token_hex(4)}")
    try:
        sandbox.start()
        yield sandbox
    finally:
        sandbox.stop()
        if not request.session.testsfailed:
            sandbox.remove()


@pytest.fixture(scope="session")
def manager() -> Iterator[DeltaChat]:
    with (
        tempfile.TemporaryDirectory(prefix="postern-core-") as directory,
        core(Path(directory) / "accounts") as manager,
    ):
        yield manager


@pytest.fixture(scope="session")
def friends(sandbox: Sandbox, manager: DeltaChat) -> tuple[Phone, Phone]:
    """Two phones that have verified each other."""
    links = [fresh_login(sandbox.domain).link(sandbox.ports) for _ in range(2)]
    alice, bob = log_in(manager, links)
    join(alice, bob)
    return alice, bob


@pytest.fixture
def login(sandbox: Sandbox) -> Login:
    """An address that nobody has used yet."""
    return fresh_login(sandbox.domain)
