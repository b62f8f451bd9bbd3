"""`postern status` of a sandbox that runs."""

import json
import subprocess
import sys

import pytest

from sandbox.login import Login
from sandbox.relay import Sandbox
from tests.e2e.tools import register

pytestmark = pytest.mark.e2e


def test_status(sandbox: Sandbox, login: Login) -> None:
    register(sandbox, login)
    sockets = [
        part
        for daemon in ("doveauth", "metadata")
        for part in (f"--{daemon}", str(sandbox.layout.metrics_socket(daemon)))
    ]
    command = [sys.executable, "-m", "postern", "status", "--json", *sockets]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stderr
    told = json.loads(asked.stdout)
    figures = told["doveauth"]["figures"] + told["metadata"]["figures"]
    values = {each["name"]: each.get("value") for each in figures}
    assert values["doveauth_accounts_created"] >= 1
    assert values["metadata_pushes_owed"] >= 0
