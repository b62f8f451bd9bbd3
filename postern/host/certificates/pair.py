"""A certificate chain and its private key. Pure but for `read`."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from relay.config import CertificateFiles

ALARM_DAYS = 21
"""Left before the end, at most, when a certificate should long have been renewed."""


class Unusable(Exception):
    """There is no certificate with its key here; the message says what is the matter."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A chain, the server's own certificate first, and the key that belongs to it."""

    chain: bytes
    """PEM."""
    key: bytes
    """PEM, not encrypted."""
    leaf: x509.Certificate

    @property
    def names(self) -> list[str]:
        """Host names and addresses in the certificate (subjectAltName)."""
        try:
            extension = self.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except (x509.ExtensionNotFound, ValueError):
            return []
        dns = extension.value.get_values_for_type(x509.DNSName)
        return [*dns, *map(str, extension.value.get_values_for_type(x509.IPAddress))]

    @property
    def is_self_signed(self) -> bool:
        """Whether nobody else vouches for it."""
        return self.leaf.issuer == self.leaf.subject

    @property
    def der(self) -> bytes:
        """The server's own certificate as TLS sends it."""
        return self.leaf.public_bytes(Encoding.DER)

    @property
    def expires(self) -> datetime:
        """The end of its validity, in UTC."""
        return self.leaf.not_valid_after_utc

    @property
    def _lifetime(self) -> timedelta:
        return self.expires - self.leaf.not_valid_before_utc

    def is_late(self, now: datetime) -> bool:
        """Whether it should have been renewed.

        That is when a quarter of its lifetime is left, and 21 days at most. ACME clients renew when
        a third is left, or 30 days.
        """
        return self.expires - now < min(timedelta(days=ALARM_DAYS), self._lifetime / 4)


def parse(chain: bytes, key: bytes) -> Pair:
    """A pair from PEM; raises Unusable if it is none."""
    try:
        leaf = x509.load_pem_x509_certificates(chain)[0]
    except (ValueError, IndexError):
        raise Unusable("the chain holds no PEM certificate") from None
    try:
        public = load_pem_private_key(key, password=None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Unusable("the key is no PEM private key without a passphrase") from None
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if public.public_bytes(*form) != leaf.public_key().public_bytes(*form):
        raise Unusable("the key does not belong to the certificate")
    return Pair(chain, key, leaf)


def read(files: CertificateFiles) -> Pair:
    """The pair in two files; raises Unusable, with their paths."""
    try:
        chain, key = files.certificate.read_bytes(), files.key.read_bytes()
    except OSError as error:
        raise Unusable(f"{error.filename}: {error.strerror}") from None
    try:
        return parse(chain, key)
    except Unusable as unusable:
        raise Unusable(f"{files.certificate} and {files.key}: {unusable}") from None
