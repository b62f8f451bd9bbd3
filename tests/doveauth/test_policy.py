"""Who may be made by logging in: a table of names and passwords, and the reason of each refusal."""

from dataclasses import replace

import pytest

from doveauth.policy import (
    MAX_PASSWORD,
    RESERVED,
    Refusal,
    Resources,
    Rules,
    refusal,
    shortage,
)
from relay.address import Address
from relay.config import parse_config

RULES = Rules(username_min_length=3, username_max_length=9, password_min_length=9)
GOOD = "password1"


@pytest.mark.parametrize(
    ("local", "password", "reason"),
    [
        ("abc", GOOD, None),
        ("abcdefghi", GOOD, None),
        ("a.b-c_d", GOOD, None),
        ("ab", GOOD, Refusal.USERNAME_TOO_SHORT),
        ("a", GOOD, Refusal.USERNAME_TOO_SHORT),
        ("abcdefghij", GOOD, Refusal.USERNAME_TOO_LONG),
        ("a" * 64, GOOD, Refusal.USERNAME_TOO_LONG),
        ("abc", "", Refusal.PASSWORD_TOO_SHORT),
        ("abc", "password", Refusal.PASSWORD_TOO_SHORT),
        ("abc", "pässwörd", Refusal.PASSWORD_TOO_SHORT),
        ("abc", "pässwörd1", None),
        ("abc", "\udcff" * 8, Refusal.PASSWORD_TOO_SHORT),
        ("abc", "\udcff" * 9, None),
        ("abc", " \t\"'\\/{}ü", None),
        ("abc", "x" * MAX_PASSWORD, None),
        ("abc", "x" * (MAX_PASSWORD + 1), Refusal.PASSWORD_TOO_LONG),
        ("abc", "ü" * (MAX_PASSWORD // 2), None),
        ("abc", "ü" * (MAX_PASSWORD // 2 + 1), Refusal.PASSWORD_TOO_LONG),
        ("abc", "x" * 10_000_000, Refusal.PASSWORD_TOO_LONG),
        ("abc", "password\0more", Refusal.PASSWORD_WITH_NUL),
        ("ab", "short", Refusal.USERNAME_TOO_SHORT),
        ("admin", GOOD, Refusal.RESERVED),
        ("Postmaster", GOOD, Refusal.RESERVED),
        ("ABUSE", GOOD, Refusal.RESERVED),
        ("postmaster1", GOOD, Refusal.USERNAME_TOO_LONG),
    ],
)
def test_a_new_name_and_its_password(local: str, password: str, reason: Refusal | None) -> None:
    address = Address.parse(f"{local}@example.org")
    assert refusal(address, password, RULES) is reason


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_reserved_name_can_be_written_and_is_nobodys(name: str) -> None:
    address = Address.parse(f"{name}@example.org")
    assert address.local == name
    wide = replace(RULES, username_min_length=1, username_max_length=64)
    assert refusal(address, GOOD, wide) is Refusal.RESERVED


@pytest.mark.parametrize(
    ("resources", "reason"),
    [
        (Resources(load=5, memory=100, disk=1000), None),
        (Resources(load=5.01, memory=100, disk=1000), Refusal.LOAD),
        (Resources(load=0, memory=99, disk=1000), Refusal.MEMORY),
        (Resources(load=0, memory=100, disk=999), Refusal.DISK),
    ],
)
def test_a_machine_that_is_short_of_something(resources: Resources, reason: Refusal | None) -> None:
    rules = replace(RULES, max_load_1m=5, min_available_memory=100, min_free_disk_space=1000)
    assert shortage(resources, rules) is reason


def test_what_passes_by_itself_is_what_the_person_cannot_mend() -> None:
    assert {each for each in Refusal if each.passes} == {
        Refusal.LOAD,
        Refusal.MEMORY,
        Refusal.DISK,
        Refusal.NETWORK,
    }


def test_the_rules_are_those_of_the_configuration() -> None:
    text = (
        "[params]\nmail_domain = example.org\nusername_min_length = 4\n"
        "username_max_length = 20\npassword_min_length = 12\nregistration = invite\n"
        "max_load_1m = 2.5\nmin_available_memory = 3M\nmin_free_disk_space = 4M\n"
    )
    config, _ = parse_config(text, "chatmail.ini")
    assert Rules.of(config) == Rules(4, 20, 12, "invite", 2.5, 3 << 20, 4 << 20)


def test_a_reason_is_in_words_and_none_is_told_twice() -> None:
    assert len({reason.value for reason in Refusal}) == len(Refusal)
    assert all(" " in reason.value for reason in Refusal)
