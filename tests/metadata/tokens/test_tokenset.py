import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadata.tokens.tokenset import (
    LIFETIME,
    MAX_LENGTH,
    MAX_TOKENS,
    MAX_TOTAL,
    CorruptTokens,
    InvalidToken,
    TokenSet,
    check,
)

NOW = 1_800_000_000
TOKENS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


@pytest.mark.parametrize(
    "token", ["x", "openpgp:abc=", "fcm-chat.delta:dX_y-9:APA91b", "x" * MAX_LENGTH, "schlüssel"]
)
def test_good_token(token: str) -> None:
    check(token)
    assert TokenSet().add(token, NOW).valid(NOW) == (token,)


@pytest.mark.parametrize(
    "token",
    [
        "",
        " ",
        "\t",
        "a b",
        "a\nb",
        "a\0b",
        "a\x7f",
        "\x1bx",
        "a\u2028b",
        "x" * (MAX_LENGTH + 1),
        "\udc80",
    ],
)
def test_bad_token_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(InvalidToken) as caught:
        TokenSet().add(token, NOW)
    assert len(token) < 2 or token not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", {}),
        ('{"devicetoken": {}}', {}),
        ('{"devicetoken": {"a": 5, "b": 6.5}}', {"a": 5, "b": 6}),
        ('{"devicetoken": ["a", "b"]}', {"a": NOW, "b": NOW}),
        ('{"other": 1, "devicetoken": []}', {}),
    ],
)
def test_parse(text: str, expected: dict[str, int]) -> None:
    assert TokenSet.parse(text, NOW).times == expected


@pytest.mark.parametrize("token", ["", " ", "a b", "a\nb", "a\x01b", "x" * 4097, "\udc80"])
def test_what_could_not_be_set_is_no_token_when_read(token: str) -> None:
    assert TokenSet.parse(json.dumps({"devicetoken": {token: 5, "a": 6}}), NOW).times == {"a": 6}
    assert TokenSet.parse(json.dumps({"devicetoken": [token, "a"]}), NOW).times == {"a": NOW}


def test_of_too_many_that_are_read_the_newest_count() -> None:
    many = {f"t{number}": 1000 + number for number in range(5000)}
    read = TokenSet.parse(json.dumps({"devicetoken": many}), NOW)
    assert list(read.times) == [f"t{number}" for number in range(5000 - MAX_TOKENS, 5000)]
    listed = TokenSet.parse(json.dumps({"devicetoken": list(many)}), NOW)
    assert list(listed.times) == list(read.times)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "3",
        '{"devicetoken": 3}',
        '{"devicetoken": [null]}',
        '{"devicetoken": ["a", 3]}',
        '{"devicetoken": {"a": "b"}}',
        '{"devicetoken": {"a": null}}',
        '{"devicetoken": {"a": Infinity}}',
        "[" * 100_000,
    ],
)
def test_corrupt(text: str) -> None:
    with pytest.raises(CorruptTokens):
        TokenSet.parse(text, NOW)


def test_stored_form_is_that_of_existing_relays() -> None:
    tokens = TokenSet.parse('{"devicetoken": ["old"], "kept": [1, {"x": null}]}', NOW - 9)
    assert json.loads(tokens.add("new", NOW).serialise()) == {
        "devicetoken": {"old": NOW - 9, "new": NOW},
        "kept": [1, {"x": None}],
    }


def test_life_ends_90_days_after_it_was_last_set() -> None:
    tokens = TokenSet().add("a", NOW).add("b", NOW + 10)
    assert tokens.valid(NOW + LIFETIME - 1) == ("a", "b")
    assert tokens.valid(NOW + LIFETIME) == ("b",)
    refreshed = tokens.add("a", NOW + LIFETIME - 1)
    assert refreshed.valid(NOW + LIFETIME + 10) == ("a",)
    assert "b" not in refreshed.add("c", NOW + LIFETIME + 10).times


def test_the_oldest_make_room() -> None:
    tokens = TokenSet()
    for number in range(MAX_TOKENS):
        tokens = tokens.add(f"t{number}", NOW + number)
    tokens = tokens.add("t0", NOW + 100).add("new", NOW + 101)
    assert len(tokens.times) == MAX_TOKENS
    assert "t1" not in tokens.times
    assert {"t0", "t2", "new"} <= set(tokens.times)


def test_all_tokens_of_an_address_fit_on_one_line_to_dovecot() -> None:
    tokens = TokenSet()
    for number in range(MAX_TOKENS):
        tokens = tokens.add(f"{number:02}" + "ü" * (MAX_LENGTH - 2), NOW + number)
    joined = " ".join(tokens.valid(NOW + 100))
    assert len(joined.encode()) <= MAX_TOTAL
    assert joined.endswith(f"{MAX_TOKENS - 1}" + "ü" * (MAX_LENGTH - 2))


@given(st.lists(st.tuples(st.booleans(), TOKENS)))
def test_add_and_remove_are_those_of_a_set(steps: list[tuple[bool, str]]) -> None:
    tokens, model = TokenSet(), dict[str, None]()
    for adds, token in steps:
        if adds:
            tokens = tokens.add(token, NOW)
            model[token] = None
        else:
            tokens = tokens.remove(token)
            model.pop(token, None)
        if len(model) > MAX_TOKENS:
            return
    assert set(tokens.valid(NOW)) == set(model)
    assert TokenSet.parse(tokens.serialise(), 0) == tokens


@given(st.text() | st.recursive(st.none() | st.text() | st.floats(), st.lists).map(json.dumps))
def test_any_text_is_read_or_called_corrupt(text: str) -> None:
    try:
        tokens = TokenSet.parse(text, NOW)
    except CorruptTokens:
        return
    assert TokenSet.parse(tokens.serialise(), 0).times == tokens.times
