import subprocess
from pathlib import Path

import pytest

from sandbox.certificate import ensure_certificate
from sandbox.problem import SandboxProblem


def _names(certificate: Path) -> str:
    command = ["openssl", "x509", "-in", str(certificate), "-noout", "-ext", "subjectAltName"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("domain", "name"),
    [
        ("[127.0.0.1]", "IP Address:127.0.0.1"),
        ("[ipv6:::1]", "IP Address:0:0:0:0:0:0:0:1"),
        ("_relay.example", "DNS:_relay.example"),
    ],
)
def test_it_names_the_domain(tmp_path: Path, domain: str, name: str) -> None:
    certificate, key = ensure_certificate(tmp_path / "tls", domain)
    assert name in _names(certificate)
    assert key.stat().st_mode & 0o077 == 0


def test_it_is_kept_for_the_same_domain_only(tmp_path: Path) -> None:
    certificate, _ = ensure_certificate(tmp_path / "tls", "a.example")
    first = certificate.read_bytes()
    ensure_certificate(tmp_path / "tls", "a.example")
    assert certificate.read_bytes() == first
    ensure_certificate(tmp_path / "tls", "b.example")
    assert "DNS:b.example" in _names(certificate)


def test_a_domain_that_cannot_be_named_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(SandboxProblem, match="openssl"):
        ensure_certificate(tmp_path / "tls", "[not-an-address]")
