"""Addresses: what is one, in which spelling it compares, and what may become a directory."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.address import Address, InvalidAddress, parse_domain


@pytest.mark.parametrize(
    ("text", "local", "domain"),
    [
        ("abc@example.org", "abc", "example.org"),
        ("ABC@Example.ORG", "abc", "example.org"),
        ("a.b-c_d@example.org", "a.b-c_d", "example.org"),
        ("a+tag@example.org", "a+tag", "example.org"),
        ("!#$%&'*+/=?^_`{|}~-@x", "!#$%&'*+/=?^_`{|}~-", "x"),
        ('"a b"@example.org', '"a b"', "example.org"),
        ('"a@b"@example.org', '"a@b"', "example.org"),
        (r'"a\"b"@example.org', r'"a\"b"', "example.org"),
        ('""@example.org', '""', "example.org"),
        ("jürgen@example.org", "jürgen", "example.org"),
        ("😀@exämple.org", "😀", "exämple.org"),
        ("a@_relay.test", "a", "_relay.test"),
        ("a@[192.0.2.1]", "a", "[192.0.2.1]"),
        ("a@[IPv6:2001:DB8:0:0::1]", "a", "[ipv6:2001:db8::1]"),
        ("a@[ipv6:2001:db8::1]", "a", "[ipv6:2001:db8::1]"),
        ("a@[IPv6:::ffff:192.0.2.1]", "a", "[ipv6:::ffff:192.0.2.1]"),
        ("a@xn--bcher-kva.example", "a", "xn--bcher-kva.example"),
        ("a" * 64 + "@x", "a" * 64, "x"),
        ("a@" + "x" * 63 + ".org", "a", "x" * 63 + ".org"),
    ],
)
def test_an_address_is_read_into_its_one_spelling(text: str, local: str, domain: str) -> None:
    address = Address.parse(text)
    assert (address.local, address.domain) == (local, domain)
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "abc",
        "abc@",
        "@example.org",
        " abc@example.org",
        "abc@example.org ",
        "abc@example.org\n",
        "a b@example.org",
        "a@b@example.org",
        ".abc@example.org",
        "abc.@example.org",
        "a..b@example.org",
        "<abc@example.org>",
        "abc@example.org.",
        "abc@.example.org",
        "abc@example..org",
        "abc@-example.org",
        "abc@example-.org",
        "abc@exa mple.org",
        "abc@example.org/..",
        "abc@" + "x" * 64 + ".org",
        "a" * 65 + "@x",
        "ü" * 33 + "@x",
        "a@" + "x." * 127 + "org",
        "abc\0@example.org",
        "abc\r\nRCPT TO:<x@y>@example.org",
        "\x80@example.org",
        "\ud800@example.org",
        "a\udcff@example.org",
        "a@\udcffexample.org",
        '"abc@example.org',
        'abc"@example.org',
        '"a\nb"@example.org',
        '"a"b"@example.org',
        "a@[192.0.2.256]",
        "a@[192.0.2]",
        "a@[192.0.2.1",
        "a@192.0.2.1]",
        "a@[IPv6:192.0.2.1]",
        "a@[2001:db8::1]",
        "a@[IPv6:2001:db8::1%eth0]",
        "a@[IPv6:]",
        "a@[]",
        "a@[x400:foo]",
        "a" * 10_000 + "@example.org",
        "a@" + "x" * 10_000,
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidAddress):
        Address.parse(text)


def test_the_longest_address_has_254_octets() -> None:
    domain = ".".join(["x" * 47, "y" * 47, "z" * 47, "w" * 45])
    longest = "a" * 64 + "@" + domain
    assert len(longest) == 254
    assert str(Address.parse(longest)) == longest
    with pytest.raises(InvalidAddress):
        Address.parse(longest + "w")


def test_a_refusal_never_repeats_the_text() -> None:
    with pytest.raises(InvalidAddress) as caught:
        Address.parse("secret name@example.org")
    assert "secret" not in str(caught.value)


def test_case_is_folded_in_ascii_alone() -> None:
    kelvin = "\u212aelvin@example.org"
    assert kelvin.lower() == "kelvin@example.org"
    assert Address.parse(kelvin) != Address.parse("kelvin@example.org")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("Example.ORG", "example.org"),
        ("_x.test", "_x.test"),
        ("[127.0.0.1]", "[127.0.0.1]"),
        ("[IPV6:0:0:0:0:0:0:0:1]", "[ipv6:::1]"),
    ],
)
def test_a_domain_has_one_spelling(text: str, canonical: str) -> None:
    assert parse_domain(text) == canonical


@pytest.mark.parametrize(
    "text",
    ["abc@example.org", "A.B@example.org", "_-@example.org", "1@_x.test", "a@[ipv6:::1]"],
)
def test_a_plain_local_part_names_a_mailbox(text: str) -> None:
    assert Address.parse(text).mailbox_name() == text.lower()


@pytest.mark.parametrize(
    "text",
    [
        "a+tag@example.org",
        "a/b@example.org",
        "../../etc@example.org",
        "jürgen@example.org",
        "\u212aelvin@example.org",
        "\u0430bc@example.org",
        '"abc"@example.org',
        '"../x"@example.org',
        "a|b@example.org",
        "$HOME@example.org",
        "abc@exämple.org",
        "%00@example.org",
        "*@example.org",
    ],
)
def test_a_name_that_cannot_be_a_directory_is_refused(text: str) -> None:
    with pytest.raises(InvalidAddress):
        Address.parse(text).mailbox_name()


_PIECES = st.one_of(
    st.text(max_size=40), st.sampled_from(["..", "/", "\0", ".", "~", "\\", "a", "_", "-", '"'])
)
_LOCALS = st.lists(_PIECES, max_size=6).map("".join)
_DOMAINS = st.one_of(st.just("example.org"), st.text(max_size=20), st.just("[IPv6:::1]"))


@given(_LOCALS, _DOMAINS)
def test_a_mailbox_name_is_always_one_safe_path_component(local: str, domain: str) -> None:
    try:
        name = Address.parse(f"{local}@{domain}").mailbox_name()
    except InvalidAddress:
        return
    assert PurePosixPath("/root", name).parent == PurePosixPath("/root")
    assert PurePosixPath("/root", name).name == name
    assert not name.startswith(".")
    assert name.isascii()
    assert name.isprintable()
    assert len(name) <= 255


@given(st.from_regex(r"[a-zA-Z0-9_-]{1,30}(\.[a-zA-Z0-9_-]{1,10}){0,2}", fullmatch=True))
def test_every_plain_local_part_has_a_mailbox_whatever_its_case(local: str) -> None:
    name = Address.parse(f"{local}@example.org").mailbox_name()
    assert name == Address.parse(f"{local.swapcase()}@example.org").mailbox_name()
    assert Address.parse(name).mailbox_name() == name
