"""Hashes as others make and verify them: OpenSSL and Dovecot."""

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doveauth.hashing import HashingFailed, hash_password, new_salt

SALT = "saltsaltsaltsalt"


def openssl(password: bytes, salt: str) -> str:
    command = ["openssl", "passwd", "-6", "-salt", salt, "-stdin"]
    done = subprocess.run(command, input=password + b"\n", capture_output=True, check=True)
    return done.stdout.decode().strip()


@pytest.mark.parametrize(
    "password", ["password1", "ä" * 9, " \"'\\$6$/", "x" * 255, "a", "\udcff\udcfe binary"]
)
def test_openssl_makes_the_same(password: str) -> None:
    octets = password.encode("utf-8", "surrogateescape")
    assert hash_password(password, SALT) == "{SHA512-CRYPT}" + openssl(octets, SALT)


@pytest.mark.e2e
@pytest.mark.parametrize("password", ["password1", "pä\"ss'w\\ord", "x" * 511])
def test_dovecot_verifies_it(password: str) -> None:
    stored = hash_password(password, new_salt())
    for candidate, code in ((password, 0), (password + "x", 1)):
        command = ["doveadm", "pw", "-t", stored, "-p", candidate]
        assert bool(subprocess.run(command, capture_output=True).returncode) == bool(code)


@settings(max_examples=20, deadline=None)
@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
def test_only_the_same_password_has_the_same_hash(one: str, other: str) -> None:
    try:
        hashes = hash_password(one, SALT), hash_password(other, SALT)
    except (HashingFailed, UnicodeEncodeError):
        assert "\0" in one + other or any("\ud800" <= c <= "\udfff" for c in one + other)
        return
    assert (hashes[0] == hashes[1]) == (one == other)


def test_every_salt_is_new_and_in_crypts_alphabet() -> None:
    salts = {new_salt() for _ in range(1000)}
    assert len(salts) == 1000
    assert all(len(salt) == 16 and set(salt) <= set(_ALPHABET) for salt in salts)


_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    ("password", "salt"),
    [("x" * 512, SALT), ("x" * 100_000, SALT), ("a\0b", SALT), ("password1", "a:b")],
)
def test_what_crypt_refuses_is_an_error_without_the_password(password: str, salt: str) -> None:
    with pytest.raises(HashingFailed) as caught:
        hash_password(password, salt)
    assert password not in str(caught.value)


def test_other_threads_go_on_while_one_hashes() -> None:
    # One call of a million rounds; holding the interpreter's lock, it would let no turn be made.
    turns_meanwhile = 0
    with ThreadPoolExecutor(1) as hashing:
        future = hashing.submit(hash_password, "password1", "rounds=1000000$salt")
        while not future.done():
            turns_meanwhile += 1
            time.sleep(0.001)
    assert future.result().startswith("{SHA512-CRYPT}$6$rounds=1000000$salt$")
    assert turns_meanwhile > 5


def test_threads_hash_without_disturbing_each_other() -> None:
    passwords = [f"password{number}" for number in range(100)]
    expected = [hash_password(password, SALT) for password in passwords]
    with ThreadPoolExecutor((os.cpu_count() or 1) + 2) as threads:
        assert list(threads.map(lambda text: hash_password(text, SALT), passwords)) == expected
