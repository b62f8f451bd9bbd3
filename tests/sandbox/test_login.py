import json
import re
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from sandbox.login import Login, fresh_login, running_sandbox
from sandbox.problem import SandboxProblem

PORTS = {"imaps": 10993, "smtps": 10465}


def test_a_link_says_all_that_a_client_needs() -> None:
    link = Login("someone12@[127.0.0.1]", "secret&word").link(PORTS)
    address, _, query = link.partition("?")
    assert address == "dclogin:someone12@[127.0.0.1]"
    assert parse_qs(query) == {
        "p": ["secret&word"],
        "v": ["1"],
        "ih": ["127.0.0.1"],
        "ip": ["10993"],
        "is": ["ssl"],
        "sh": ["127.0.0.1"],
        "sp": ["10465"],
        "ss": ["ssl"],
        "ic": ["3"],
    }


def test_each_login_is_another() -> None:
    logins = {fresh_login("relay.example") for _ in range(20)}
    assert len(logins) == 20
    for login in logins:
        assert re.fullmatch(r"[a-z0-9]{9}@relay\.example", login.address)
        assert re.fullmatch(r"[A-Za-z0-9]{22}", login.password)


def test_a_running_sandbox_is_found_by_its_record(tmp_path: Path) -> None:
    record = tmp_path / "processes.json"
    record.write_text(json.dumps({"domain": "a.example", "ports": PORTS, "processes": {}}))
    assert running_sandbox(record) == ("a.example", PORTS)


def test_without_one_the_mend_is_told(tmp_path: Path) -> None:
    with pytest.raises(SandboxProblem, match="scripts/run"):
        running_sandbox(tmp_path / "processes.json")
