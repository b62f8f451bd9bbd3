from pathlib import Path

import pytest
from cryptography import x509

from sandbox.certificate import ensure_certificate
from sandbox.problem import SandboxProblem


def _names(certificate: Path) -> list[str]:
    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    names = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in names]


@pytest.mark.parametrize(
    ("domain", "name"),
    [
        ("[127.0.0.1]", "127.0.0.1"),
        ("[ipv6:::1]", "::1"),
        ("_relay.example", "_relay.example"),
    ],
)
def test_it_names_the_domain(tmp_path: Path, domain: str, name: str) -> None:
    certificate, key = ensure_certificate(tmp_path / "tls", domain)
    assert _names(certificate) == [name]
    assert key.stat().st_mode & 0o077 == 0


def test_it_is_kept_for_the_same_domain_only(tmp_path: Path) -> None:
    certificate, _ = ensure_certificate(tmp_path / "tls", "a.example")
    first = certificate.read_bytes()
    ensure_certificate(tmp_path / "tls", "a.example")
    assert certificate.read_bytes() == first
    ensure_certificate(tmp_path / "tls", "b.example")
    assert _names(certificate) == ["b.example"]


def test_a_domain_that_cannot_be_named_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(SandboxProblem, match="cannot be named"):
        ensure_certificate(tmp_path / "tls", "[not-an-address]")
