"""New addresses and passwords, of the form that clients make up themselves."""

import secrets
import string

from relay.config import Config

LOCAL_LENGTH = 9
"""Characters of a local part, where the configuration allows that many (36^9 are about 10^14)."""
PASSWORD_LENGTH = 22
"""Characters of a password: 131 random bits."""
_LOCAL = string.ascii_lowercase + string.digits
_PASSWORD = string.ascii_letters + string.digits


def new_address(config: Config) -> str:
    """A random address that the configuration lets be made."""
    length = min(max(LOCAL_LENGTH, config.username_min_length), config.username_max_length)
    return f"{_random(_LOCAL, length)}@{config.mail_domain}"


def new_password(config: Config) -> str:
    """A random password that the configuration allows."""
    return _random(_PASSWORD, max(PASSWORD_LENGTH, config.password_min_length))


def _random(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))
