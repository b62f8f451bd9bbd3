"""What passes the gate, and what does not: whole messages, and each way to hide text in one."""

import itertools
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filtermail.gate.grammar import Direction, Envelope
from filtermail.gate.trial import Trial
from filtermail.gate.verdict import Refusal
from relay.address import Address
from relay.smtp.datastream import stuff
from relay.smtp.reply import Reply
from tests.filtermail.gate.building import (
    ARMOUR,
    CONTENT_TYPE,
    DATA_HEADERS,
    HEADERS,
    SENDER,
    VERSION_HEADERS,
    armoured,
    bounce,
    judge,
    message,
    octets,
    packet,
    partial_seipd,
    pkesk,
    seipd,
    skesk,
)

SAMPLES = sorted(Path(__file__).parents[2].joinpath("samples").glob("*.eml"))
INCOMING = Direction.INCOMING
TEXT = b"the secret in clear\r\n"


def refused(reply: Reply | None, reason: str) -> None:
    assert reply is not None, "the gate let it pass"
    assert reason in reply.lines[0]
    assert reply.code == 523
    assert reply.lines[0].startswith("Encryption Needed: Invalid Unencrypted Mail")


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
@pytest.mark.parametrize("step", [0, 1, 61, 4096])
@pytest.mark.parametrize("direction", Direction)
def test_captured_mail(path: Path, step: int, direction: Direction) -> None:
    content = path.read_bytes()
    sender = re.search(rb"^From:.*<(.+)>\r$", content, re.MULTILINE)
    assert sender is not None
    reply, _ = judge(content, sender=sender[1].decode(), step=step, direction=direction)
    if path.stem == "unencrypted-chat-text":
        refused(reply, "")
    else:
        assert reply is None


def test_there_are_samples() -> None:
    assert len(SAMPLES) == 14


ACCEPTED = {
    "as a core of today": {},
    "no preamble line": {"preamble": b""},
    "no empty line before the end": {"closing": b"--limes--\r\n"},
    "an empty line at the end": {"epilogue": b"\r\n"},
    "no checksum": {"armour": armoured(seipd(), checksum=b"")},
    "lines of 76": {"armour": armoured(seipd(size=3000), width=76)},
    "lines of 75": {"armour": armoured(seipd(size=3001), width=75)},
    "lines of 16, the last shorter": {"armour": armoured(seipd(size=100), width=16)},
    "lines of 16, the last shorter and without padding": {
        "armour": armoured(seipd(size=105), width=16)
    },
    "one short line": {"armour": armoured(seipd(size=64), width=76, checksum=b"")},
    "no session key": {"armour": armoured(seipd())},
    "PKESK v3 and SEIPD v1": {"armour": armoured(pkesk(3) + seipd(1))},
    "PKESK v6 and SEIPD v2": {"armour": armoured(pkesk(6) + seipd(2))},
    "a future version of PKESK": {"armour": armoured(pkesk(7) + seipd())},
    "a session key of an algorithm of tomorrow": {
        "armour": armoured(packet(1, b"\x06\x00\x63" + octets(1700)) * 25 + seipd())
    },
    "an RSA key of 4096 bits": {"armour": armoured(pkesk(3, 525) + seipd(1))},
    "SKESK v4": {"armour": armoured(skesk(4) + seipd())},
    "SKESK v5": {"armour": armoured(skesk(5) + seipd())},
    "SKESK v6": {"armour": armoured(skesk(6) + seipd())},
    "many recipients": {"armour": armoured(pkesk(6) * 1024 + seipd())},
    "a post-quantum session key": {"armour": armoured(pkesk(6, 1160) + seipd())},
    "partial lengths": {"armour": armoured(pkesk() + partial_seipd(9, 12, 9))},
    "a legacy header of two octets": {
        "armour": armoured(bytes([0x80 | 1 << 2 | 1, 0, 94]) + pkesk()[6:] + seipd())
    },
    "part headers of old cores": {
        "version_headers": b"Content-Type: application/pgp-encrypted\r\n"
        b"Content-Description: PGP/MIME version identification\r\n",
        "data_headers": b'Content-Type: application/octet-stream; name="encrypted.asc"\r\n'
        b"Content-Description: OpenPGP encrypted message\r\n"
        b'Content-Disposition: inline; filename="encrypted.asc";\r\n',
    },
    "headers folded by tab": {
        "data_headers": b'Content-Type: application/octet-stream;\r\n\tname="encrypted.asc"\r\n'
    },
}


@pytest.mark.parametrize("pieces", ACCEPTED.values(), ids=ACCEPTED)
@pytest.mark.parametrize("step", [0, 13])
@pytest.mark.parametrize("direction", Direction)
def test_accepted(pieces: dict[str, bytes], step: int, direction: Direction) -> None:
    reply, _ = judge(message(**pieces), step=step, direction=direction)
    assert reply is None


LINES = ARMOUR.split(b"\r\n")
"""BEGIN, empty, base64 ..., checksum, END, nothing."""


def with_line(index: int, line: bytes) -> bytes:
    lines = [*LINES]
    lines.insert(index, line)
    return b"\r\n".join(lines)


REFUSED = {
    "text in the preamble": ({"preamble": TEXT}, "before the first part"),
    "text in the epilogue": ({"epilogue": TEXT}, "after the last part"),
    "many empty lines": ({"epilogue": b"\r\n" * 9}, "empty lines"),
    "text before the delimiter": ({"closing": TEXT + b"--limes--\r\n"}, "after the encrypted"),
    "a third part": (
        {"closing": b"\r\n--limes\r\n\r\nhi\r\n--limes--\r\n"},
        "after the encrypted data",
    ),
    "no closing delimiter": ({"closing": b""}, "too early"),
    "a closing delimiter with a tail": ({"closing": b"--limes--x\r\n"}, "after the encrypted"),
    "a version part with text": ({"version": b"Version: 1\r\n" + TEXT}, "first part"),
    "a version part that is text": ({"version": TEXT}, "Version: 1"),
    "the version part alone": ({"version": b"Version: 1\r\n--limes--\r\n"}, "first part"),
    "a version part of another type": (
        {"version_headers": b"Content-Type: text/plain\r\n"},
        "application/pgp-encrypted",
    ),
    "a version part of no type": ({"version_headers": b""}, "application/pgp-encrypted"),
    "a data part of another type": (
        {"data_headers": b"Content-Type: text/plain\r\n"},
        "application/octet-stream",
    ),
    "a part header that says something": (
        {"data_headers": DATA_HEADERS + b"X-Note: the secret in clear\r\n"},
        "a header of a part",
    ),
    "a part parameter that says something": (
        {"data_headers": b'Content-Type: application/octet-stream; name="secret in clear"\r\n'},
        "application/octet-stream",
    ),
    "a part header twice": ({"version_headers": VERSION_HEADERS * 2}, ""),
    "a part in an encoding": (
        {"data_headers": DATA_HEADERS.replace(b"7bit", b"base64")},
        "a header of a part",
    ),
    "no armour": ({"armour": TEXT}, "PGP armour"),
    "text before the armour": ({"armour": TEXT + ARMOUR}, "PGP armour"),
    "a signed message": ({"armour": ARMOUR.replace(b"MESSAGE", b"SIGNATURE")}, "PGP armour"),
    "an armour header": ({"armour": armoured(seipd(), headers=b"Comment: x\r\n")}, "header"),
    "text in the base64": ({"armour": with_line(3, b"the secret, in clear")}, "base64"),
    "an empty line in the base64": ({"armour": with_line(3, b"")}, "base64"),
    "a blank in the base64": ({"armour": with_line(3, b"AAAA AAAA")}, "base64"),
    "a base64 line that is too long": ({"armour": with_line(3, b"A" * 77)}, ""),
    "a line without end": ({"armour": with_line(3, b"A" * 100_000)}, ""),
    "a bare LF in the base64": ({"armour": with_line(3, b"AAAA\nAAAA")}, "base64"),
    "a bare CR in the base64": ({"armour": with_line(3, b"AAAA\rAAAA")}, "base64"),
    "NUL in the base64": ({"armour": with_line(3, b"AA\0A")}, "base64"),
    "8-bit in the base64": ({"armour": with_line(3, b"\xc3\xbcAA")}, "base64"),
    "text after the checksum": ({"armour": with_line(len(LINES) - 2, b"hi")}, "base64"),
    "two checksums": ({"armour": with_line(len(LINES) - 2, b"=AAAA")}, "base64"),
    "text after the armour": ({"armour": ARMOUR + TEXT}, "after the encrypted data"),
    "a second armour": ({"armour": ARMOUR * 2}, "after the encrypted data"),
    "no packet": ({"armour": armoured(b"")}, "missing"),
    "text for packets": ({"armour": armoured(b"the secret in clear" * 4)}, "no OpenPGP packet"),
    "no encrypted data": ({"armour": armoured(pkesk())}, "missing"),
    "a literal packet": ({"armour": armoured(packet(11, b"b\0\0\0\0\0hi"))}, "type 11"),
    "a compressed packet": ({"armour": armoured(packet(8, octets(99)))}, "type 8"),
    "an unauthenticated SED": ({"armour": armoured(packet(9, octets(99)))}, "type 9"),
    "an AEAD packet of GnuPG": ({"armour": armoured(packet(20, octets(99)))}, "type 20"),
    "a packet before": ({"armour": armoured(packet(60, TEXT) + seipd())}, "type 60"),
    "a packet after": ({"armour": armoured(seipd() + packet(60, TEXT))}, "after the encrypted"),
    "lines of 15": ({"armour": armoured(seipd(size=100), width=15)}, "not base64"),
    "a short line that is not the last": (
        {"armour": armoured(seipd(size=105), width=70).replace(b"\r\n=", b"\r\nAAAA\r\nAAAA\r\n=")},
        "not base64",
    ),
    "a short line before the padded one": (
        {
            "armour": re.sub(
                rb"([A-Za-z0-9+/]{4})([A-Za-z0-9+/]+=+\r\n)",
                rb"\r\n\1\r\n\2",
                armoured(seipd(size=100), width=76),
            )
        },
        "not base64",
    ),
    "two encrypted packets": ({"armour": armoured(seipd() * 2)}, "after the encrypted packet"),
    "octets after": ({"armour": armoured(seipd() + b"hi")}, "after the encrypted packet"),
    "SEIPD v3": ({"armour": armoured(packet(18, b"\x03" + octets(99)))}, "version 3"),
    "SEIPD that is too short": ({"armour": armoured(seipd(size=40))}, "too short"),
    "SEIPD v1 that is too short": ({"armour": armoured(seipd(1, size=30))}, "too short"),
    "SEIPD that is empty": ({"armour": armoured(packet(18, b""))}, "empty"),
    "SEIPD that is cut": ({"armour": armoured(seipd()[:-1])}, "cut short"),
    "PKESK of text": ({"armour": armoured(packet(1, b"\x03" + TEXT * 300) + seipd())}, "size"),
    "PKESK v2": ({"armour": armoured(packet(1, b"\x02" + octets(90)) + seipd())}, "version 2"),
    "PKESK that is too short": ({"armour": armoured(packet(1, b"\x03ab") + seipd())}, "size"),
    "PKESK v6 with a strange fingerprint": (
        {"armour": armoured(packet(1, b"\x06\x09\x04" + octets(90)) + seipd())},
        "fingerprint",
    ),
    "SKESK of text": ({"armour": armoured(packet(3, b"\x04" + TEXT * 30) + seipd())}, "size"),
    "too many session keys": ({"armour": armoured(pkesk(6) * 1025 + seipd())}, "too many"),
    "too many passphrases": ({"armour": armoured(skesk() * 17 + seipd())}, "too many"),
    "too many octets of session keys": (
        {"armour": armoured(pkesk(6, 1160) * 1000 + seipd())},
        "too many octets",
    ),
    "text in sixty session keys": (
        {"armour": armoured(packet(1, b"\x03" + (TEXT * 45)[:940]) * 60 + seipd())},
        "too many octets",
    ),
    "text behind the number of an RSA key": (
        {"armour": armoured(packet(1, pkesk()[6:] + TEXT) + seipd())},
        "its algorithm does not have",
    ),
    "text in an X25519 key": (
        {"armour": armoured(packet(1, b"\x06\x00\x19" + TEXT * 9) + seipd())},
        "its algorithm does not have",
    ),
    "a session key of an unknown algorithm that is text": (
        {"armour": armoured(packet(1, b"\x06\x00\x63" + TEXT * 99) + seipd())},
        "its algorithm does not have",
    ),
    "partial PKESK": ({"armour": armoured(b"\xc1\xe9" + octets(512) + b"\0" + seipd())}, "partial"),
    "small first chunk": ({"armour": armoured(partial_seipd(8, 9))}, "partial chunk under 512"),
    "small chunks behind the first": (
        {"armour": armoured(partial_seipd(9, 8))},
        "partial chunk under",
    ),
    "chunks of one octet": ({"armour": armoured(partial_seipd(9, 0, 0))}, "partial chunk under"),
    "indeterminate length": ({"armour": armoured(b"\xa7" + octets(99))}, "indeterminate"),
    "another protocol": (
        {"content_type": CONTENT_TYPE.replace(b"pgp-encrypted", b"pkcs7-mime")},
        "another protocol",
    ),
    "another parameter": (
        {"content_type": CONTENT_TYPE.replace(b"; protocol", b"; note=secret; protocol")},
        "other parameters",
    ),
    "no boundary": ({"content_type": CONTENT_TYPE.replace(b"boundary", b"b")}, "parameters"),
    "another boundary": ({"content_type": CONTENT_TYPE.replace(b"limes", b"lime")}, "first part"),
    "a boundary in two ways": (
        {"content_type": CONTENT_TYPE.replace(b"boundary=", b"boundary*=")},
        "doubtful",
    ),
    "a comment in the type": (
        {"content_type": CONTENT_TYPE.replace(b"; protocol", b" (hi); protocol")},
        "Content-Type",
    ),
    "many parameters": (
        {"content_type": CONTENT_TYPE[:-2] + b"".join(b";%d=x" % n for n in range(19)) + b"\r\n"},
        "doubtful",
    ),
    "a type that is too long": (
        {"content_type": CONTENT_TYPE[:-2] + b"\r\n ".join([b" " * 900] * 3) + b"\r\n"},
        "too long",
    ),
    "two types": ({"content_type": CONTENT_TYPE + b"Content-Type: text/plain\r\n"}, "more than"),
    "two MIME versions": ({"content_type": b"MIME-Version: 1.0\r\n" + CONTENT_TYPE}, "more than"),
    "another MIME version": (
        {"headers": HEADERS.replace(b"MIME-Version: 1.0", b"MIME-Version: 2.0")},
        "MIME-Version",
    ),
    "an encoding": (
        {"content_type": CONTENT_TYPE + b"Content-Transfer-Encoding: base64\r\n"},
        "encoding",
    ),
    "plain text": ({"content_type": b"Content-Type: text/plain\r\n"}, "not an OpenPGP"),
    "no type": ({"content_type": b""}, "not an OpenPGP"),
}


@pytest.mark.parametrize(("pieces", "reason"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("step", [0, 13])
def test_refused(pieces: dict[str, bytes], reason: str, step: int) -> None:
    reply, _ = judge(message(**pieces), step=step)
    refused(reply, reason)


def joining(kind: bytes = b"vc-request", body: bytes | None = None, extra: bytes = b"") -> bytes:
    part = b'Content-Type: text/plain; charset="utf-8"\r\n\r\n'
    text = b"Secure-Join: " + kind + b"\r\n" if body is None else body
    return (
        HEADERS
        + b'Content-Type: multipart/mixed; boundary="limes"\r\n'
        + b"Secure-Join: " + kind + b"\r\nSecure-Join-Invitenumber: 76PjIxnL8XSx63zLg0ioUObJ\r\n"
        + extra + b"\r\n--limes\r\n" + part + text + b"--limes--\r\n"
    )  # fmt: skip


@pytest.mark.parametrize("kind", [b"vc-request", b"vg-request"])
@pytest.mark.parametrize("direction", Direction)
def test_a_request_to_join(kind: bytes, direction: Direction) -> None:
    assert judge(joining(kind), direction=direction)[0] is None


def test_a_request_to_join_of_old_cores() -> None:
    content = joining().partition(b"Content-Type: multipart")[0] + (
        b"Content-Type: text/plain\r\nSecure-Join: vc-request\r\n"
        b"Secure-Join-Invitenumber: 76PjIxnL8XSx63zLg0ioUObJ\r\n\r\nSecure-Join: vc-request\r\n"
    )
    assert judge(content)[0] is None
    refused(judge(content + TEXT)[0], "after the last part")


@pytest.mark.parametrize(
    "content",
    [
        joining(b"vc-auth-required"),
        joining(body=TEXT),
        joining(body=b"Secure-Join: vg-request\r\n"),
        joining(body=b"Secure-Join: vc-request\r\n" + TEXT),
        joining(extra=b"Secure-Join: vc-request\r\n"),
        joining().replace(b"76PjIxnL8XSx63zLg0ioUObJ", b"the secret in clear"),
        joining().replace(b"text/plain", b"text/html"),
        joining() + TEXT,
    ],
)
def test_no_more_than_a_request_to_join(content: bytes) -> None:
    refused(judge(content)[0], "")


SPOOFED = {
    "another sender": b"From: <mallory@relay.example>\r\n",
    "two authors": b"From: <alice@relay.example>, <mallory@relay.example>\r\n",
    "two headers": b"From: <alice@relay.example>\r\nFrom: <mallory@relay.example>\r\n",
    "none": b"",
    "a comment": b"From: <alice@relay.example> (mallory@relay.example)\r\n",
    "a group": b"From: friends: <alice@relay.example>;\r\n",
    "an address for a name": b"From: mallory@relay.example <alice@relay.example>\r\n",
}


@pytest.mark.parametrize("line", SPOOFED.values(), ids=SPOOFED)
def test_the_author_is_the_sender(line: bytes) -> None:
    reply, _ = judge(message(headers=line + HEADERS.partition(b"\r\n")[2]))
    assert reply is not None
    assert reply.code == 553


@pytest.mark.parametrize(
    "line",
    [
        b"From: alice@relay.example\r\n",
        b"From: Alice <ALICE@relay.EXAMPLE>\r\n",
        b'From: "Alice, \\"A\\" <x@y>" <alice@relay.example>\r\n',
        b"From: =?utf-8?q?=C3=84lice?= <alice@relay.example>\r\n",
        b"From: \xc3\x84lice <alice@relay.example>\r\n",
        b"From: Alice\r\n <alice@relay.example>\r\n",
    ],
)
def test_the_author_in_every_form(line: bytes) -> None:
    assert judge(message(headers=line + HEADERS.partition(b"\r\n")[2]))[0] is None


def test_no_author_for_the_empty_sender() -> None:
    reply, _ = judge(message(), sender="")
    assert reply is not None
    assert reply.code == 553


BOUNCE = bounce()

BOUNCES = {
    "Postfix": BOUNCE.replace(
        b"--b\r\n", b"This is a MIME-encapsulated message.\r\n\r\n--b\r\n", 1
    ),
    "no name": BOUNCE.replace(b"Mail Delivery System ", b""),
    "an address alone": BOUNCE.replace(b"Mail Delivery System <", b"").replace(b">", b"", 1),
    "a comment": BOUNCE.replace(
        b"Mail Delivery System <MAILER-DAEMON@mx.example>",
        b"MAILER-DAEMON@mx.example (Mail Delivery System)",
    ),
    "sendmail": BOUNCE.replace(b"System <", b"Subsystem <"),
    "an explanation in two forms": BOUNCE.replace(
        b"text/plain; charset=us-ascii", b"multipart/alternative; boundary=c"
    ),
    "nothing that came back": BOUNCE[: BOUNCE.index(b"--b\r\nContent-Type: text/rfc822")]
    + b"--b--\r\n",
    "the message that came back": BOUNCE.replace(b"text/rfc822-headers", b"message/rfc822"),
}


@pytest.mark.parametrize("content", BOUNCES.values(), ids=BOUNCES)
@pytest.mark.parametrize("step", [0, 7])
def test_a_bounce_may_come_in(content: bytes, step: int) -> None:
    assert judge(content, direction=INCOMING, sender="", step=step) == (None, content)


@pytest.mark.parametrize(
    ("content", "sender"),
    [
        (BOUNCE, "mailer-daemon@mx.example"),
        (BOUNCE.replace(b"MAILER-DAEMON", b"mallory"), ""),
        (BOUNCE.replace(b"Mail Delivery System", b'"Your Bank"'), ""),
        (BOUNCE.replace(b"auto-replied", b"no"), ""),
        (BOUNCE.replace(b"Auto-Submitted", b"X-Auto-Submitted"), ""),
        (BOUNCE.replace(b"multipart/report", b"multipart/mixed"), ""),
        (BOUNCE.replace(b"=delivery-status", b"=disposition-notification"), ""),
        (BOUNCE.replace(b" report-type=delivery-status;", b""), ""),
        (BOUNCE.replace(b"From", b"From: <a@b.example>\r\nFrom", 1), ""),
    ],
)
def test_what_only_looks_like_a_bounce(content: bytes, sender: str) -> None:
    refused(judge(content, direction=INCOMING, sender=sender)[0], "")


@pytest.mark.parametrize(
    "content",
    [
        BOUNCE.replace(b"message/delivery-status", b"text/html"),
        BOUNCE.replace(b"text/plain", b"text/html"),
        BOUNCE.replace(b"text/rfc822-headers", b"application/octet-stream"),
        BOUNCE.replace(b"Final-Recipient", b"X-Final"),
        BOUNCE.replace(b"Action: failed", b"Action: pay"),
        BOUNCE.replace(b"--b--\r\n", b"--b\r\n\r\nmore\r\n--b--\r\n"),
        BOUNCE + TEXT,
        BOUNCE.removesuffix(b"--b--\r\n"),
        BOUNCE.replace(b"could not", b"could not " * 20_000),
    ],
)
@pytest.mark.parametrize("step", [0, 997])
def test_a_bounce_has_the_parts_of_one(content: bytes, step: int) -> None:
    refused(judge(content, direction=INCOMING, sender="", step=step)[0], "delivery report")


def test_no_bare_line_end_in_a_bounce() -> None:
    reply, _ = judge(BOUNCE.replace(b"delivered.", b"deli\nvered."), direction=INCOMING, sender="")
    assert reply is not None
    assert reply.code == 554


@pytest.mark.parametrize(
    "line", [line for line in SPOOFED.values() if b"mallory@relay.example <" not in line][1:]
)
def test_incoming_mail_has_one_author_too(line: bytes) -> None:
    content = message(headers=line + HEADERS.partition(b"\r\n")[2])
    refused(judge(content, direction=INCOMING, sender="mallory@elsewhere.example")[0], "From")


def test_no_bounce_goes_out() -> None:
    reply, _ = judge(BOUNCE, sender="mailer-daemon@mx.example")
    refused(reply, "not an OpenPGP")


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from([*ACCEPTED, *REFUSED]),
    cuts=st.lists(st.integers(0, 10**6), max_size=8),
)
def test_splitting_changes_no_verdict(name: str, cuts: list[int]) -> None:
    """However the bytes come, the same answer, and the same bytes go on."""
    pieces = ACCEPTED[name] if name in ACCEPTED else REFUSED[name][0]
    content = message(**pieces)
    expected, whole = judge(content)
    wire = stuff(content) + b".\r\n"
    places = sorted({0, len(wire), *(cut % len(wire) for cut in cuts)})
    judged = Trial(Envelope(Address.parse(SENDER), ()), Direction.OUTGOING, 10**8)
    out, reply = b"", None
    for start, end in itertools.pairwise(places):
        try:
            out += judged.feed(wire[start:end])
        except Refusal as refusal:
            reply = refusal.reply
    assert reply == expected
    if expected is None:
        assert out == whole


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damage_is_refused_or_harmless(data: st.DataObject) -> None:
    """Any octet of the body changed: a typed refusal, or still nothing but base64 of packets."""
    content = message()
    body = content.index(b"\r\n\r\n") + 4
    at = data.draw(st.integers(body, len(content) - 3))
    octet = data.draw(st.integers(0, 255))
    changed = content[:at] + bytes([octet]) + content[at + 1 :]
    reply, out = judge(changed)
    if reply is None:
        before, after = content[at : at + 1].lower(), changed[at : at + 1].lower()
        # Within a header a tab is as good as a blank (RFC 5322, 2.2.3).
        same = before == after or (before in b" \t" and after in b" \t")
        assert same or re.fullmatch(rb"[a-z0-9+/=]|\r|\n", after)
        assert out.endswith(changed[body:])


def test_time_is_linear_in_what_a_hostile_client_sends() -> None:
    """A header block octet by octet, lines of 16, chunks of 512: no more work than bytes."""
    long = b"Chat-X:" + b"\r\n ".join([b"x" * 60] * 1000) + b"\r\n"
    assert judge(message(headers=HEADERS + long), step=1)[0] is None
    small = armoured(partial_seipd(*[9] * 2000), width=16)
    assert judge(message(armour=small), step=1460)[0] is None
