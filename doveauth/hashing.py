"""SHA512-CRYPT, as existing relays store it, by the system's own crypt(3).

Python's `crypt` module is gone from 3.13, and the system's libcrypt (libxcrypt, part of every
Debian) is what Dovecot verifies with. A call through ctypes releases the interpreter's lock, so as
many threads hash at a time as there are cores. PyPI's `crypt-r` is the old module, but a source
distribution only (3.13.1): each host would need a compiler and Python's headers.
"""

import base64
import ctypes
import functools
import os
import secrets

SCHEME = "{SHA512-CRYPT}"
"""How Dovecot is to verify the hash that follows (Dovecot: "Password schemes")."""
_SALT_OCTETS = 12
_CRYPT_DATA_SIZE = 32768
"""Octets of `struct crypt_data`, which libxcrypt's ABI fixes (crypt.h)."""
_LIBRARIES = ("libcrypt.so.1", "libcrypt.so.2")


class HashingFailed(Exception):
    """The system's crypt(3) failed; the message never has the password."""


def new_salt() -> str:
    """Return a salt of 96 random bits in crypt's alphabet."""
    return base64.b64encode(secrets.token_bytes(_SALT_OCTETS), altchars=b"./").decode("ascii")


def hash_password(password: str, salt: str) -> str:
    """Return the hash with its scheme, `{SHA512-CRYPT}$6$…`: 5000 rounds, 2 ms of a core.

    Surrogates stand for octets that are not UTF-8. Raises HashingFailed.
    """
    phrase = password.encode("utf-8", "surrogateescape")
    if b"\0" in phrase:
        raise HashingFailed("a password with a NUL")
    setting = f"$6${salt}".encode("ascii")
    data = ctypes.create_string_buffer(_CRYPT_DATA_SIZE)
    ctypes.set_errno(0)
    result: bytes | None = _crypt_r()(phrase, setting, data)
    # A failure is NULL or a "failure token" that begins with "*" (crypt(3)).
    if result is None or not result.startswith(setting + b"$"):
        raise HashingFailed(f"crypt(3): {os.strerror(ctypes.get_errno())}")
    return SCHEME + result.decode("ascii")


@functools.cache
def _crypt_r() -> "ctypes._NamedFuncPointer":
    for name in _LIBRARIES:
        try:
            function = ctypes.CDLL(name, use_errno=True).crypt_r
        except OSError:
            continue
        function.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p]
        function.restype = ctypes.c_char_p
        return function
    raise HashingFailed(f"none of {', '.join(_LIBRARIES)} is on this system: install libcrypt1")
