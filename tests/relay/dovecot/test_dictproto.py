"""The dict protocol as a table: octets in, events out, and every way the octets may be cut."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.dovecot import dictproto
from relay.dovecot.dictproto import (
    MAX_CHANGES,
    MAX_LINE,
    MAX_OCTETS,
    MAX_OPEN,
    Change,
    Commit,
    DictConnection,
    Event,
    Iterate,
    Lookup,
    ProtocolError,
    escape,
    unescape,
)

HELLO = b"H3\t2\t0\t\tauth\n"
OLD_HELLO = b"H2\t0\t0\tsomeone@example.org\tauth\n"


def events(data: bytes) -> list[Event]:
    return DictConnection().feed(data)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (b"", []),
        (b"Lshared/userdb/a\n", [Lookup("shared/userdb/a", "")]),
        (b"Lshared/userdb/a\ta@x\n", [Lookup("shared/userdb/a", "a@x")]),
        (b"Lpriv/a\x01tb\x01nc\x01rd\x010e\x011f\n", [Lookup("priv/a\tb\nc\rd\0e\x01f", "")]),
        (b"Lj\xc3\xbcrgen\n", [Lookup("jürgen", "")]),
        (b"L\xff\n", [Lookup("\udcff", "")]),
        (b"L\n", [Lookup("", "")]),
        (b"I0\t0\tshared/userdb/\t*\n", [Iterate("shared/userdb/", 0, 0, "*")]),
        (b"I5\t10\tshared/userdb/\n", [Iterate("shared/userdb/", 5, 10, "")]),
        (b"I0\t-1\tshared/\n", [Iterate("shared/", 0, 0, "")]),
        (
            b"B1\ta@x\nS1\tshared/last-login/a@x\t1795332101\nC1\n",
            [Commit("1", "a@x", (Change("shared/last-login/a@x", "1795332101"),))],
        ),
        (b"B1\nC1\n", [Commit("1", "", ())]),
        (b"B1\nS1\tk\tv\nD1\n", [Commit("1", "", (Change("k", "v"),), asynchronous=True)]),
        (b"B1\nS1\tk\tv\nU1\tk\nC1\n", [Commit("1", "", (Change("k", "v"), Change("k", None)))]),
        (b"B1\nS1\tk\tv\nR1\n", []),
        (b"B1\nS1\tk\tv\nR1\nB1\nC1\n", [Commit("1", "", ())]),
        (
            b"B1\ta@x\nB2\tb@x\nS2\tk\tsecond\nS1\tk\tfirst\nLk\nC2\nS1\tl\tmore\nC1\n",
            [
                Lookup("k", ""),
                Commit("2", "b@x", (Change("k", "second"),)),
                Commit("1", "a@x", (Change("k", "first"), Change("l", "more"))),
            ],
        ),
        (b"B1\nB2\nS1\tk\tv\nR1\nS2\tl\tw\nC2\n", [Commit("2", "", (Change("l", "w"),))]),
        (
            b"B1\nT1\t1795332101\t5\nV1\t1\nS1\tk\ta\x01tb\nC1\n",
            [Commit("1", "", (Change("k", "a\tb"),))],
        ),
    ],
)
def test_octets_become_events(lines: bytes, expected: list[Event]) -> None:
    assert events(HELLO + lines) == expected


def test_dovecot_2_4_says_4_and_gives_a_transaction_an_expiry() -> None:
    captured = b"H4\t0\t0\t\tmetadata\nB1\tmail\t0\nS1\tpriv/a8/devicetoken\tabc\x01tdef\nC1\n"
    change = Change("priv/a8/devicetoken", "abc\tdef")
    assert events(captured) == [Commit("1", "mail", (change,))]


def test_an_old_dovecot_names_the_user_in_its_hello() -> None:
    commit = Commit("1", "someone@example.org", (Change("k", "v"),))
    lines = OLD_HELLO + b"Lk\nI0\t0\tp\nB1\nS1\tk\tv\nC1\n"
    user = "someone@example.org"
    assert events(lines) == [Lookup("k", user), Iterate("p", 0, 0, user), commit]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"Lk\n", "no hello before the first command"),
        (b"\n", "no hello before the first command"),
        (b"GET / HTTP/1.1\r\n", "no hello before the first command"),
        (b"H\n", "a hello with too few fields"),
        (b"H3\t2\t0\n", "a hello with too few fields"),
        (b"H1\t0\t0\t\tauth\n", "a major version other than 2, 3, 4"),
        (b"Hx\t0\t0\t\tauth\n", "a major version other than 2, 3, 4"),
        (HELLO + HELLO, "an unknown command"),
        (HELLO + b"\n", "an unknown command"),
        (HELLO + b"X\n", "an unknown command"),
        (HELLO + b"\xff\xfe\n", "an unknown command"),
        (HELLO + b"A1\tk\t1\n", "an unknown command"),
        (HELLO + b"I0\t0\n", "a command with too few fields"),
        (HELLO + b"Ia\tb\tc\n", "an iteration whose flags are no number"),
        (HELLO + b"I0\t\xff\tc\n", "an iteration whose flags are no number"),
        (HELLO + b"I0\t" + b"9" * 5000 + b"\tc\n", "an iteration whose flags are no number"),
        (HELLO + b"B1\nS1\tk\n", "a command with too few fields"),
        (HELLO + b"B1\nU1\n", "a command with too few fields"),
        (HELLO + b"S1\tk\tv\n", "a change outside a transaction"),
        (HELLO + b"U1\tk\n", "a change outside a transaction"),
        (HELLO + b"B1\nC1\nS1\tk\tv\n", "a change outside a transaction"),
        (HELLO + b"C1\n", "the end of a transaction that is not open"),
        (HELLO + b"D1\n", "the end of a transaction that is not open"),
        (HELLO + b"R1\n", "the end of a transaction that is not open"),
        (HELLO + b"B1\nC1\nC1\n", "the end of a transaction that is not open"),
        (HELLO + b"B1\nB1\n", "a transaction that is already open"),
        (HELLO + b"La\x01z\n", "an escape that is none of 0 1 t r n"),
        (HELLO + b"La\x01\n", "an escape that is none of 0 1 t r n"),
        (HELLO + b"La\x01\tb\n", "an escape that is none of 0 1 t r n"),
    ],
)
def test_what_is_not_the_protocol_is_an_error(data: bytes, message: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        events(data)
    assert str(caught.value) == message


def test_a_line_may_be_as_long_as_dovecots_longest_and_no_longer() -> None:
    connection = DictConnection()
    connection.feed(HELLO)
    longest = b"L" + b"k" * (MAX_LINE - 1)
    assert connection.feed(longest + b"\n") == [Lookup("k" * (MAX_LINE - 1), "")]
    with pytest.raises(ProtocolError):
        connection.feed(longest + b"k\n")


def test_a_line_without_an_end_is_not_kept() -> None:
    connection = DictConnection()
    connection.feed(HELLO)
    for _ in range(MAX_LINE // 4096):
        connection.feed(b"k" * 4096)
    with pytest.raises(ProtocolError):
        connection.feed(b"k" * 4096)


def test_transactions_open_at_a_time_are_limited() -> None:
    connection = DictConnection()
    connection.feed(HELLO)
    connection.feed(b"".join(b"B%d\n" % n for n in range(MAX_OPEN)))
    with pytest.raises(ProtocolError, match="open transactions"):
        connection.feed(b"Bone-more\n")


def test_an_ended_transaction_makes_room_for_another() -> None:
    connection = DictConnection()
    connection.feed(HELLO)
    for n in range(2 * MAX_OPEN):
        assert len(connection.feed(b"B%d\nC%d\n" % (n, n))) == 1


def test_changes_in_a_transaction_are_limited() -> None:
    connection = DictConnection()
    connection.feed(HELLO + b"B1\n")
    connection.feed(b"S1\tk\tv\n" * MAX_CHANGES)
    with pytest.raises(ProtocolError, match="changes in a transaction"):
        connection.feed(b"S1\tk\tv\n")


@pytest.mark.parametrize("value", [b"v" * 60_000, b""])
def test_octets_in_open_transactions_are_limited_over_all_of_them(value: bytes) -> None:
    connection = DictConnection()
    connection.feed(HELLO + b"".join(b"B%d\n" % n for n in range(MAX_OPEN)))
    most = MAX_OCTETS // (len(value) + 64) + 1
    changes = (b"S%d\tk\t%s\n" % (n % MAX_OPEN, value) for n in range(most))
    with pytest.raises(ProtocolError, match=f"more than {MAX_OCTETS} octets"):
        connection.feed(b"".join(changes))


def test_an_ended_transaction_makes_room_for_more_octets() -> None:
    connection = DictConnection()
    connection.feed(HELLO)
    for n in range(2 * MAX_OCTETS // 60_000):
        end = b"C" if n % 2 else b"R"
        connection.feed(b"B%d\nS%d\tk\t%s\n%s%d\n" % (n, n, b"v" * 60_000, end, n))


_FIELD = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_LINE = st.one_of(
    st.builds(lambda k, u: b"L" + escape(k) + b"\t" + escape(u), _FIELD, _FIELD),
    st.builds(lambda p: b"I0\t0\t" + escape(p), _FIELD),
    st.builds(lambda k, v: b"B7\nS7\t" + escape(k) + b"\t" + escape(v) + b"\nC7", _FIELD, _FIELD),
    st.builds(lambda k: b"B8\nU8\t" + escape(k) + b"\nR8", _FIELD),
)


@given(st.lists(_LINE, max_size=6), st.data())
def test_however_the_octets_are_cut_the_events_are_the_same(
    lines: list[bytes], data: st.DataObject
) -> None:
    stream = HELLO + b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    connection, got = DictConnection(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += connection.feed(stream[start:end])
    assert got == events(stream)
    assert len(got) == sum(not line.startswith(b"B8") for line in lines)


def test_one_octet_at_a_time_is_the_same_too() -> None:
    stream = HELLO + b"La\x01tb\tuser\nB1\nS1\tk\tv\x01n\nC1\nI0\t0\tp\n"
    connection = DictConnection()
    got = [event for octet in stream for event in connection.feed(bytes([octet]))]
    assert got == events(stream)
    assert len(got) == 3


@given(st.binary(max_size=200))
def test_nothing_but_a_protocol_error_ever_comes_of_garbage(garbage: bytes) -> None:
    connection = DictConnection()
    connection.feed(HELLO)
    with contextlib.suppress(ProtocolError):
        connection.feed(garbage)


@given(st.binary(max_size=100))
def test_escaping_is_undone_whatever_the_octets(raw: bytes) -> None:
    text = raw.decode("utf-8", "surrogateescape")
    escaped = escape(text)
    assert unescape(escaped) == text
    assert not set(escaped) & set(b"\0\t\r\n")


def test_the_answers() -> None:
    commit = Commit("7", "", ())
    asynchronous = Commit("7", "", (), asynchronous=True)
    assert dictproto.found("a\tb") == b"Oa\x01tb\n"
    assert dictproto.NOT_FOUND == b"N\n"
    assert dictproto.failed("not\nnow") == b"Fnot\x01nnow\n"
    assert dictproto.row("k\t", "") == b"Ok\x01t\t\n"
    assert dictproto.END_OF_ROWS == b"\n"
    assert dictproto.committed(commit) == b"O7\n"
    assert dictproto.committed(asynchronous) == b"AO7\n"
    assert dictproto.commit_failed(commit, "no") == b"F7\tno\n"
    assert dictproto.commit_failed(asynchronous, "no") == b"AF7\tno\n"
