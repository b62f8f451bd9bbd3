r"""The dict keys that Dovecot asks doveauth for, parsed into typed requests.

They follow from the configuration of Dovecot 2.3's dict passdb, dict userdb and last_login
plugin: `password_key = passdb/%Ew"%Eu"%r`, `user_key = userdb/%Eu`, `iterate_prefix = userdb/`
and the plugin's own `last-login/%u`; Dovecot puts `shared/` before each. `%E` puts a backslash
before `"`, `'` and `\` (Dovecot: "Config variables", modifiers), so that an unescaped `"` is
the separator whatever the password holds. `%r` is the client's address, empty where there is
none; a key without it is read as well, for a configuration of an existing relay.
"""

import re
from dataclasses import dataclass

USERDB = "shared/userdb/"
"""What an iteration asks for, and what its rows' keys begin with."""
PASSDB = "shared/passdb/"
LAST_LOGIN = "shared/last-login/"

_ESCAPED_TEXT = r"""(?:[^\\"']|\\["'\\])*"""
_CREDENTIALS = re.compile(
    f'({_ESCAPED_TEXT})"({_ESCAPED_TEXT})(?:"([0-9A-Fa-f:.]*(?:%[^"]*)?))?', re.DOTALL
)
_USERNAME = re.compile(_ESCAPED_TEXT, re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
# Eleven digits reach the year 5138; what is longer is no time of a login.
_TIMESTAMP = re.compile(r"[0-9]{1,11}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Someone logs in with this name and password."""

    username: str
    password: str
    remote: str | None = None
    """The client's address, where Dovecot knows it."""


@dataclass(frozen=True, slots=True)
class User:
    """Dovecot wants to know where a user's mail is."""

    username: str


def parse_lookup(key: str) -> Credentials | User | None:
    """What a lookup asks for; None for a key that Dovecot, set up as above, never sends."""
    if key.startswith(PASSDB):
        match = _CREDENTIALS.fullmatch(key, len(PASSDB))
        if match is None:
            return None
        return Credentials(_unescape(match[2]), _unescape(match[1]), match[3] or None)
    if key.startswith(USERDB):
        match = _USERNAME.fullmatch(key, len(USERDB))
        return User(_unescape(match[0])) if match else None
    return None


def parse_last_login(key: str) -> str | None:
    """The user name of a last-login key, which Dovecot does not escape; None for another key."""
    return key.removeprefix(LAST_LOGIN) if key.startswith(LAST_LOGIN) else None


def parse_timestamp(value: str | None) -> int | None:
    """Seconds since the epoch, as last_login writes them with its precision `s`; else None."""
    if value is None or not _TIMESTAMP.fullmatch(value):
        return None
    return int(value)


def _unescape(text: str) -> str:
    return _ESCAPE.sub(r"\1", text) if "\\" in text else text
