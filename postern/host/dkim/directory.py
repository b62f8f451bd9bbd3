"""The directory of the signing keys, which OpenDKIM reads.

`SELECTOR.private` is a key, `SELECTOR.public` what its record says of it, and `KeyTable` names the
one key that signs. KeyTable is the journal too: its comments say since when that key signs and
which have signed before. It is replaced by rename, so that there is always one whole truth.
"""

import base64
import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from postern.host.dkim.rotation import Keys, selector_of
from postern.host.dns.records import DkimKey, Need
from relay.owner import Owner

DIRECTORY = Path("/etc/postern/dkim")
SOCKET = Path("/run/opendkim/opendkim.sock")
"""Where the signer listens; its group may connect, which Postfix' user has to be in."""
SIGNER = "opendkim"
"""The signer's user, group, package, and unit."""
KEY_BITS = 2048
"""Longer ones do not fit a single DNS answer, and some receivers refuse them (RFC 8301, 3.2)."""
_TABLE = """\
# Written by `postern dkim`.
# signs since: {since}
# before: {before}
current {domain}:{selector}:{path}
"""
_READ = re.compile(
    r"# signs since: (?P<since>\S+)\n# before:(?P<before>[^\n]*)\n"
    r"current (?P<domain>[^:\s]+):(?P<selector>[^:\s]+):"
)


class NoKeys(Exception):
    """There is no key directory that could be used; the message says why and what mends it."""


@dataclass(frozen=True, slots=True)
class KeyDirectory:
    """The keys of one domain."""

    path: Path
    domain: str
    owner: Owner | None = None
    """The signer's user: the private keys are its own. None: the user that makes them."""

    @classmethod
    def of(cls, domain: str, path: Path = DIRECTORY) -> "KeyDirectory":
        """The directory of this host, whose signer may not be installed yet."""
        try:
            return cls(path, domain, Owner.named(SIGNER))
        except LookupError:
            return cls(path, domain)

    @property
    def table(self) -> Path:
        """The file that names the key that signs."""
        return self.path / "KeyTable"

    def read(self) -> Keys:
        """Which keys there are; raises NoKeys."""
        try:
            text = self.table.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise NoKeys(f"{self.table} does not exist: `postern install` makes a key") from None
        match = _READ.search(text)
        if match is None:
            raise NoKeys(f"{self.table} is not as `postern dkim` writes it: restore it")
        if match["domain"] != self.domain:
            raise NoKeys(
                f"{self.table} signs for {match['domain']}, and mail_domain is {self.domain}: "
                f"move {self.path} aside, and let `postern install` make a key"
            )
        signing, retired = match["selector"], tuple(match["before"].split())
        made = {path.stem for path in self.path.glob("*.private")}
        if signing not in made:
            raise NoKeys(f"{self.path}/{signing}.private, the key that signs, is missing")
        following = sorted(made - {signing, *retired})
        since = int(datetime.fromisoformat(match["since"]).timestamp())
        kept = tuple(selector for selector in retired if selector in made)
        return Keys(signing, since, following[-1] if following else "", kept)

    def ensure(self, now: int) -> bool:
        """Make the first key and have it sign, unless there is one. Return whether it was made.

        Raises NoKeys where there are keys that cannot be used.
        """
        if self.table.exists():
            self.read()
            return False
        self.path.mkdir(mode=0o755, parents=True, exist_ok=True)
        # One may have been brought along, or made by a run that ended before the table was there.
        made = sorted(self.path.glob("*.private"))
        selector = self._adopt(made[-1]) if made else self.make(now)
        self.sign_with(selector, now, ())
        return True

    def make(self, now: int) -> str:
        """Make one more key, which does not sign yet. Return its selector."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import (
            rsa,
        )  # the library takes long to import

        day = datetime.fromtimestamp(now, UTC).date()
        selector = selector_of(day, {path.stem for path in self.path.glob("*.private")})
        key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        self._write(self.path / f"{selector}.public", _public_half(private), 0o644)
        # The private key last: with it the key is there.
        self._write(self.path / f"{selector}.private", private, 0o600, self.owner)
        return selector

    def _adopt(self, private: Path) -> str:
        """Give a key that is already there to the signer. Return its selector; raises NoKeys."""
        content = private.read_bytes()
        try:
            public = _public_half(content)
        except ValueError:
            raise NoKeys(f"{private} is no RSA key in PEM: move it away") from None
        self._write(private.with_suffix(".public"), public, 0o644)
        self._write(private, content, 0o600, self.owner)
        return private.stem

    def sign_with(self, selector: str, now: int, retired: tuple[str, ...]) -> None:
        """Have this key sign from the signer's next reload on."""
        table = _TABLE.format(
            since=datetime.fromtimestamp(now, UTC).isoformat(),
            before=" ".join(retired),
            domain=self.domain,
            selector=selector,
            path=self.path / f"{selector}.private",
        )
        self._write(self.table, table.encode(), 0o644)

    def public(self, selector: str, need: Need = Need.REQUIRED) -> DkimKey:
        """The public half of a key."""
        text = (self.path / f"{selector}.public").read_text(encoding="ascii")
        return DkimKey(selector, text.strip(), need)

    def published(self, now: int) -> tuple[DkimKey, ...]:
        """The keys that belong into DNS; none where there is no usable directory."""
        with contextlib.suppress(NoKeys):
            needs = self.read().published(now)
            return tuple(self.public(selector, need) for selector, need in needs.items())
        return ()

    def remove(self, selector: str) -> None:
        """Delete a key that nothing uses any more; the private half first."""
        for suffix in ("private", "public"):
            (self.path / f"{selector}.{suffix}").unlink(missing_ok=True)

    def _write(self, path: Path, content: bytes, mode: int, owner: Owner | None = None) -> None:
        """Replace a file by rename; what a crash leaves has a name that nothing reads."""
        fresh = path.with_name(f".{path.name}.new")
        fresh.unlink(missing_ok=True)
        with _created(fresh, mode) as descriptor:
            if owner is not None:
                owner.take(descriptor)
            os.write(descriptor, content)
            os.fsync(descriptor)
        fresh.rename(path)
        directory = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _public_half(private: bytes) -> bytes:
    """The line of `SELECTOR.public`; raises ValueError for what is no RSA key in PEM."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = serialization.load_pem_private_key(private, None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("another kind of key")  # noqa: TRY004 - its caller names the file
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.b64encode(public) + b"\n"


@contextlib.contextmanager
def _created(path: Path, mode: int) -> Iterator[int]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        os.fchmod(descriptor, mode)
        yield descriptor
    finally:
        os.close(descriptor)
