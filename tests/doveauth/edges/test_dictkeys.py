"""The keys that Dovecot asks for: as Dovecot 2.3.19 sent them, and as nobody should."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doveauth.edges.dictkeys import (
    Credentials,
    User,
    parse_last_login,
    parse_lookup,
    parse_timestamp,
)


@pytest.mark.parametrize(
    ("key", "request_"),
    [
        ('shared/passdb/secret"a@x', Credentials("a@x", "secret")),
        ('shared/passdb/pass\\"w\\\\or\\\'d /tab"a@x', Credentials("a@x", "pass\"w\\or'd /tab")),
        ('shared/passdb/"a@x', Credentials("a@x", "")),
        ('shared/passdb/secret"', Credentials("", "secret")),
        ('shared/passdb/a/../b"a@x', Credentials("a@x", "a/../b")),
        ('shared/passdb/a\nb\0c"a@x', Credentials("a@x", "a\nb\0c")),
        ('shared/passdb/\\\\"a@x', Credentials("a@x", "\\")),
        ('shared/passdb/p"\\"a b\\"@x', Credentials('"a b"@x', "p")),
        ('shared/passdb/secret"a@x"192.0.2.1', Credentials("a@x", "secret", "192.0.2.1")),
        ('shared/passdb/secret"a@x"2001:db8::1', Credentials("a@x", "secret", "2001:db8::1")),
        ('shared/passdb/secret"a@x"fe80::1%eth0', Credentials("a@x", "secret", "fe80::1%eth0")),
        ('shared/passdb/secret"a@x"', Credentials("a@x", "secret")),
        ('shared/passdb/secret"a@x"192.0.2.1"more', None),
        ("shared/userdb/a@x", User("a@x")),
        ("shared/userdb/", User("")),
        ("shared/userdb/../../etc", User("../../etc")),
        ('shared/userdb/\\"a\\\'b\\"@x', User('"a\'b"@x')),
        ("shared/passdb/no separator", None),
        ('shared/passdb/two"separators"a@x', None),
        ("shared/passdb/dangling\\", None),
        ('shared/passdb/bad\\escape"a@x', None),
        ("shared/passdb/it's\"a@x", None),
        ('shared/userdb/a"b', None),
        ("shared/userdb/a\\b", None),
        ('passdb/secret"a@x', None),
        ('priv/passdb/secret"a@x', None),
        ("shared/last-login/a@x", None),
        ("shared/quota/a@x", None),
        ("", None),
    ],
)
def test_a_lookups_key(key: str, request_: Credentials | User | None) -> None:
    assert parse_lookup(key) == request_


def escaped(text: str) -> str:
    """What Dovecot's modifier %E makes of a text."""
    return re.sub(r"""(["'\\])""", r"\\\1", text)


@given(st.text(), st.text())
def test_whatever_a_password_holds_it_never_becomes_a_name(password: str, name: str) -> None:
    key = f'shared/passdb/{escaped(password)}"{escaped(name)}'
    assert parse_lookup(key) == Credentials(name, password)
    assert parse_lookup(f'{key}"192.0.2.1') == Credentials(name, password, "192.0.2.1")
    assert parse_lookup(f"shared/userdb/{escaped(name)}") == User(name)


def test_a_key_of_backslashes_is_read_in_no_time() -> None:
    assert parse_lookup("shared/passdb/" + "\\" * 65_001 + '"a@x') is None
    assert parse_lookup("shared/passdb/" + "x" * 65_000) is None


@pytest.mark.parametrize(
    ("key", "username"),
    [
        ("shared/last-login/a@x", "a@x"),
        ("shared/last-login/", ""),
        ("shared/last-login/../a@x", "../a@x"),
        ("shared/userdb/a@x", None),
        ("last-login/a@x", None),
        ("", None),
    ],
)
def test_a_last_logins_key(key: str, username: str | None) -> None:
    assert parse_last_login(key) == username


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1795332101", 1795332101),
        ("0", 0),
        ("99999999999", 99999999999),
        ("100000000000", None),
        ("9" * 5000, None),
        ("-1", None),
        ("1795332101.5", None),
        (" 1795332101", None),
        ("1795332101\n", None),
        ("1_000", None),
        ("١٢٣", None),
        ("", None),
        (None, None),
    ],
)
def test_a_last_logins_time(value: str | None, seconds: int | None) -> None:
    assert parse_timestamp(value) == seconds
