"""`postern status` of a sandbox that runs."""

import json
import os
import signal
import subprocess
import sys

import pytest

from sandbox.login import Login
from sandbox.relay import Sandbox
from tests.e2e.tools import register

pytestmark = pytest.mark.e2e


def test_status(sandbox: Sandbox, login: Login) -> None:
    register(sandbox, login)
    command = [sys.executable, "-m", "postern", "status", "--json"]
    command += ["--sandbox", str(sandbox.directory)]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stderr
    parts = json.loads(asked.stdout)["parts"]
    assert all(part["well"] for part in parts.values())
    figures = parts["doveauth"]["figures"] + parts["metadata"]["figures"]
    figures += parts["filtermail@outgoing"]["figures"]
    values = {each["name"]: each.get("value") for each in figures}
    assert values["doveauth_accounts_created"] >= 1
    assert values["metadata_pushes_owed"] >= 0
    assert "filtermail_messages" in values


def test_a_filter_that_stands_still_is_not_well(sandbox: Sandbox) -> None:
    pid = sandbox.daemons["filtermail@incoming"].pid
    assert pid
    command = [sys.executable, "-m", "postern", "status", "--sandbox", str(sandbox.directory)]
    os.kill(pid, signal.SIGSTOP)
    try:
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert asked.returncode == 1
    assert asked.stderr == "Not well: filtermail@incoming.\n"
