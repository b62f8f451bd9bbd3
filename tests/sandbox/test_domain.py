import pytest
import typer

from sandbox.domain import mail_domain


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("[127.0.0.1]", "[127.0.0.1]"),
        ("127.0.0.1", "[127.0.0.1]"),
        ("::1", "[ipv6:::1]"),
        ("[::1]", "[ipv6:::1]"),
        ("Relay.Example", "relay.example"),
    ],
)
def test_a_domain_has_one_spelling(text: str, domain: str) -> None:
    assert mail_domain(text) == domain


@pytest.mark.parametrize(
    "text", ["", "foo bar", "[foo]", "a..b", "x@y", "[127.0.0.1", "münchen.example"]
)
def test_what_is_no_domain_is_said_before_anything_starts(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is allowed"):
        mail_domain(text)


def test_the_ascii_form_is_named() -> None:
    with pytest.raises(typer.BadParameter, match=r"xn--mnchen-3ya\.example"):
        mail_domain("münchen.example")
