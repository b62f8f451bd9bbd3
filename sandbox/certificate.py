"""The sandbox's self-signed TLS certificate; clients are configured to accept it."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sandbox.problem import SandboxProblem

LIFETIME = timedelta(days=3650)


def ensure_certificate(directory: Path, domain: str) -> tuple[Path, Path]:
    """Certificate and key for `domain` below `directory`, made unless they exist."""
    certificate, key = directory / "cert.pem", directory / "key.pem"
    made_for = directory / "domain"
    if certificate.exists() and key.exists() and made_for.read_text() == domain:
        return certificate, key
    directory.mkdir(mode=0o700, exist_ok=True)
    private = ec.generate_private_key(ec.SECP256R1())
    certificate.write_bytes(_signed(private, domain).public_bytes(serialization.Encoding.PEM))
    secret = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    key.unlink(missing_ok=True)
    key.touch(mode=0o600)
    key.write_bytes(secret)
    made_for.write_text(domain)
    return certificate, key


def subject_alt_name(domain: str) -> x509.GeneralName:
    """The name of `domain` in a certificate (RFC 5280, 4.2.1.6); raises SandboxProblem."""
    try:
        if domain.startswith("["):
            address = domain[1:-1].lower().removeprefix("ipv6:")
            return x509.IPAddress(ipaddress.ip_address(address))
        return x509.DNSName(domain)
    except ValueError:
        raise SandboxProblem(f"{domain} cannot be named in a certificate") from None


def _signed(private: ec.EllipticCurvePrivateKey, domain: str) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "postern sandbox")])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName([subject_alt_name(domain)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
