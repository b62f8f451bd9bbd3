"""The sandbox's TLS certificate, signed by itself; clients are told to accept it."""

import subprocess
from pathlib import Path

from sandbox.problem import SandboxProblem

DAYS = 3650


def ensure_certificate(directory: Path, domain: str) -> tuple[Path, Path]:
    """Certificate and key for `domain` below `directory`, made unless they are there."""
    certificate, key = directory / "cert.pem", directory / "key.pem"
    made_for = directory / "domain"
    if certificate.exists() and key.exists() and made_for.read_text() == domain:
        return certificate, key
    directory.mkdir(mode=0o700, exist_ok=True)
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", str(DAYS), "-subj", "/CN=postern sandbox"]
    command += ["-addext", f"subjectAltName={subject_alt_name(domain)}"]
    command += ["-out", str(certificate), "-keyout", str(key)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SandboxProblem(f"openssl could not make a certificate: {done.stderr.strip()}")
    made_for.write_text(domain)
    return certificate, key


def subject_alt_name(domain: str) -> str:
    """What names `domain` in a certificate (RFC 5280, 4.2.1.6), in openssl's notation."""
    if domain.startswith("["):
        address = domain[1:-1]
        return "IP:" + (address[5:] if address.lower().startswith("ipv6:") else address)
    return f"DNS:{domain}"
