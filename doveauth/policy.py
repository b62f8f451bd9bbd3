"""Whether an address may be made by logging in: the rules of the configuration, nothing else."""

from dataclasses import dataclass
from enum import Enum

from relay.address import Address
from relay.config import Config

MAX_PASSWORD = 511
"""Octets; crypt(3) of libxcrypt takes fewer than CRYPT_MAX_PASSPHRASE_SIZE, which is 512."""


class Refusal(Enum):
    """Why no account is made; the value is its reason in words, for the log."""

    NO_MAILBOX_NAME = "the name is no address that can have a mailbox"
    FOREIGN_DOMAIN = "the address is of another domain"
    BLOCKED = "the address is blocked"
    CLOSED = "the operator has closed registration"
    USERNAME_TOO_SHORT = "the user name is shorter than username_min_length"
    USERNAME_TOO_LONG = "the user name is longer than username_max_length"
    PASSWORD_TOO_SHORT = "the password is shorter than password_min_length"  # noqa: S105 - words
    PASSWORD_TOO_LONG = "the password is too long to be hashed"  # noqa: S105 - words
    PASSWORD_WITH_NUL = "the password has a NUL"  # noqa: S105 - words


@dataclass(frozen=True, slots=True)
class Rules:
    """What a new account must satisfy; lengths in characters."""

    username_min_length: int
    username_max_length: int
    password_min_length: int

    @classmethod
    def of(cls, config: Config) -> "Rules":
        """The rules that a configuration sets."""
        return cls(
            config.username_min_length, config.username_max_length, config.password_min_length
        )


def refusal(address: Address, password: str, rules: Rules, *, closed: bool) -> Refusal | None:
    """Why `address` must not be made with this password now, None where it may.

    `closed` says that the operator lets no account be made. Octets of the password that are
    not UTF-8 are surrogates, one character each.
    """
    if closed:
        return Refusal.CLOSED
    return _username_refusal(address.local, rules) or _password_refusal(password, rules)


def _username_refusal(local: str, rules: Rules) -> Refusal | None:
    if len(local) < rules.username_min_length:
        return Refusal.USERNAME_TOO_SHORT
    if len(local) > rules.username_max_length:
        return Refusal.USERNAME_TOO_LONG
    return None


def _password_refusal(password: str, rules: Rules) -> Refusal | None:
    if len(password) < rules.password_min_length:
        return Refusal.PASSWORD_TOO_SHORT
    if len(password.encode("utf-8", "surrogateescape")) > MAX_PASSWORD:
        return Refusal.PASSWORD_TOO_LONG
    if "\0" in password:
        # crypt(3) would hash what stands before it, and nothing else.
        return Refusal.PASSWORD_WITH_NUL
    return None
