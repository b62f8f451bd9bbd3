"""What other encrypting mail programs put around their armour; what says something comes in only.

The forms are those that the programs' own sources and public archives of their mail show.
"""

import quopri
import re

import pytest

from filtermail.gate.grammar import Direction
from relay.smtp.reply import Reply
from tests.filtermail.gate.building import (
    ARMOUR,
    CONTENT_TYPE,
    DATA_HEADERS,
    HEADERS,
    VERSION_HEADERS,
    armoured,
    judge,
    message,
    octets,
    partial_seipd,
    pkesk,
    seipd,
)

INCOMING = Direction.INCOMING
TEXT = b"the secret in clear\r\n"
RFC_4880 = b"This is an OpenPGP/MIME encrypted message (RFC 4880 and 3156)\r\n"
ENIGMAIL = {
    "preamble": RFC_4880,
    "version_headers": b"Content-Type: application/pgp-encrypted\r\n"
    b"Content-Description: PGP/MIME version identification\r\n",
    "data_headers": b'Content-Type: application/octet-stream; name="encrypted.asc"\r\n'
    b"Content-Description: OpenPGP encrypted message\r\n"
    b'Content-Disposition: inline; filename="encrypted.asc"\r\n',
}
MUTT = {
    "preamble": b"",
    "version_headers": b"Content-Type: application/pgp-encrypted\r\n"
    b"Content-Disposition: attachment\r\n",
    "data_headers": b"Content-Type: application/octet-stream\r\n"
    b'Content-Disposition: inline; filename="msg.asc"\r\n',
}

# What is accepted from outside and refused from inside.
INCOMING_ONLY = {
    "GnuPG with a comment": {
        "armour": armoured(seipd(), headers=b"Version: GnuPG v2\r\nComment: hello\r\n")
    },
    "another program": {"armour": armoured(seipd(), headers=b"Version: Some Mail 1.0\r\n")},
    "Evolution in German": {
        "data_headers": b'Content-Type: application/octet-stream; name="encrypted.asc"\r\n'
        b"Content-Description: Dies ist ein digital verschl\xc3\xbcsselter Nachrichtenteil\r\n",
    },
    "Evolution in Greek": {
        "data_headers": b'Content-Type: application/octet-stream; name="encrypted.asc"\r\n'
        b"Content-Description: =?UTF-8?Q?=CE=91=CF=85=CF=84=CF=8C?=\r\n =?UTF-8?Q?=CE=B1?=\r\n",
    },
    "both parts in quoted-printable": {
        "version_headers": VERSION_HEADERS.replace(b"7bit", b"quoted-printable"),
        "data_headers": DATA_HEADERS.replace(b"7bit", b"quoted-printable"),
        "armour": ARMOUR.replace(b"=", b"=3D"),
    },
    "a charset of the type": {
        "content_type": CONTENT_TYPE.replace(b"; protocol", b"; charset=utf-8; protocol")
    },
    "a digest of the type": {
        "content_type": CONTENT_TYPE.replace(b"; protocol", b"; micalg=pgp-sha512; protocol")
    },
}
# What is accepted both ways: nothing of it says anything about a person.
BOTH_WAYS = {
    "Thunderbird and Enigmail": ENIGMAIL,
    "Mailvelope": ENIGMAIL
    | {"armour": armoured(seipd(), headers=b"Version: Mailvelope v5.1.0\r\n", checksum=b"")},
    "Proton": {"armour": armoured(seipd(), headers=b"Version: ProtonMail\r\n")},
    "GnuPG": {"armour": armoured(seipd(), headers=b"Version: GnuPG v1.4.12 (GNU/Linux)\r\n")},
    "GPGTools": {
        "headers": HEADERS.replace(b"Version: 1.0", b"Version: 1.0 (Mac OS X Mail 7.3)")
        + b"X-Pgp-Agent: GPGMail\r\nContent-Description: OpenPGP encrypted message\r\n"
        b"Content-Transfer-Encoding: 7bit\r\n",
        "preamble": b"This is an OpenPGP/MIME encrypted message (RFC 2440 and 3156)\r\n",
        "version_headers": b"Content-Transfer-Encoding: 7bit\r\n"
        b"Content-Type: application/pgp-encrypted\r\n"
        b"Content-Description: PGP/MIME Versions Identification\r\n",
        "data_headers": b"Content-Transfer-Encoding: 7bit\r\nContent-Disposition: inline;\r\n"
        b"\tfilename=encrypted.asc\r\nContent-Type: application/octet-stream;\r\n"
        b"\tname=encrypted.asc\r\nContent-Description: OpenPGP encrypted message\r\n",
        "armour": armoured(seipd(), headers=b"Comment: GPGTools - https://gpgtools.org\r\n"),
    },
    "Mutt through a list": MUTT | {"preamble": b"This is a MIME-encapsulated message.\r\n\r\n"},
    "K-9": ENIGMAIL | {"preamble": b""},
    "FairEmail": {
        "version_headers": b"Content-Type: application/pgp-encrypted\r\n"
        b"Content-Transfer-Encoding: 7bit\r\n",
        "data_headers": b'Content-Type: application/octet-stream; name="encrypted.asc"\r\n'
        b'Content-Disposition: inline; filename="encrypted.asc"\r\n'
        b"Content-Transfer-Encoding: 7bit\r\n",
    },
    "Mutt": MUTT,
    "Evolution": {
        "data_headers": b'Content-Type: application/octet-stream; name="encrypted.asc"\r\n'
        b"Content-Description: This is a digitally encrypted message part\r\n",
    },
    "Python's email": {
        "version_headers": b"Content-Type: application/pgp-encrypted\r\nMIME-Version: 1.0\r\n"
        b"Content-Description: PGP/MIME version identification\r\n",
        "version": b"Version: 1\r\n",
    },
    "no checksum": {"armour": armoured(seipd(), checksum=b"")},
}


def refused(reply: Reply | None) -> None:
    assert reply is not None
    assert reply.code == 523


@pytest.mark.parametrize("pieces", [*INCOMING_ONLY.values(), *BOTH_WAYS.values()])
@pytest.mark.parametrize("step", [0, 1, 17])
def test_it_may_come_in(pieces: dict[str, bytes], step: int) -> None:
    content = message(**pieces)
    assert judge(content, direction=INCOMING, step=step) == (None, content)


@pytest.mark.parametrize("pieces", BOTH_WAYS.values(), ids=BOTH_WAYS)
def test_what_says_nothing_may_go_out(pieces: dict[str, bytes]) -> None:
    assert judge(message(**pieces))[0] is None


@pytest.mark.parametrize("pieces", INCOMING_ONLY.values(), ids=INCOMING_ONLY)
def test_the_rest_does_not_go_out(pieces: dict[str, bytes]) -> None:
    refused(judge(message(**pieces))[0])


@pytest.mark.parametrize(
    "change",
    [
        {"preamble": TEXT},
        {"preamble": RFC_4880 + TEXT},
        {"preamble": RFC_4880 * 2},
        {"preamble": RFC_4880.replace(b"\r\n", b" " + TEXT)},
        {"armour": armoured(seipd(), headers=b"Subject: secret\r\n")},
        {"armour": armoured(seipd(), headers=b"Comment: " + b"x" * 300 + b"\r\n")},
        {"armour": armoured(seipd(), headers=b"Comment: x\r\n" * 20)},
        {"armour": armoured(seipd(), headers=b"Comment: \xc3\xbc\r\n")},
        {"data_headers": DATA_HEADERS + b'Content-Disposition: inline; filename="secret"\r\n'},
        {"data_headers": DATA_HEADERS + b"Content-Description: " + b"x" * 151 + b"\r\n"},
        {"data_headers": DATA_HEADERS + b"Content-Description: a\x01b\r\n"},
        {"content_type": CONTENT_TYPE.replace(b"; protocol", b"; note=secret; protocol")},
        {"content_type": CONTENT_TYPE.replace(b"; protocol", b"; charset=a!secret; protocol")},
        {"version_headers": VERSION_HEADERS.replace(b"7bit", b"base64")},
        {"data_headers": DATA_HEADERS + b"Content-Disposition: inline\r\n" * 2},
        {"epilogue": RFC_4880},
    ],
)
def test_what_is_no_boiler_plate_does_not_come_in(change: dict[str, bytes]) -> None:
    refused(judge(message(**change), direction=INCOMING)[0])


QUOTED = DATA_HEADERS.replace(b"7bit", b"quoted-printable")
ARMOURS = {
    "lines of 64": ARMOUR,
    "lines of 76, which are broken softly": armoured(seipd(size=500), width=76),
    "padding": armoured(pkesk() + seipd(size=401)),
    "more padding": armoured(pkesk() + seipd(size=402)),
    "a comment": armoured(seipd(), headers=b"Comment: =3D is no text\r\n"),
    "partial lengths": armoured(partial_seipd(10, 12)),
}


def quoted(armour: bytes) -> bytes:
    return quopri.encodestring(armour.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")


def softly_broken(at: int) -> bytes:
    """Armour whose first line of base64 has a soft end after so many octets."""
    head, empty, data = quoted(ARMOUR).partition(b"\r\n\r\n")
    return head + empty + data[:at] + b"=\r\n" + data[at:]


def escaped(count: int) -> bytes:
    """Armour in short lines whose first octets of base64 are escaped, so many of them."""
    head, empty, data = quoted(armoured(seipd(size=100), width=16)).partition(b"\r\n\r\n")
    letters = iter(range(count))

    def escape(letter: re.Match[bytes]) -> bytes:
        return letter[0] if next(letters, None) is None else b"=%02X" % letter[0][0]

    return head + empty + re.sub(rb"[A-Za-z0-9+/]", escape, data)


@pytest.mark.parametrize("armour", ARMOURS.values(), ids=ARMOURS)
@pytest.mark.parametrize("step", [0, 1, 23])
def test_quoted_printable_armour_may_come_in(armour: bytes, step: int) -> None:
    content = message(data_headers=QUOTED, armour=quoted(armour))
    assert judge(content, direction=INCOMING, step=step) == (None, content)


@pytest.mark.parametrize("armour", [softly_broken(60), escaped(64)])
@pytest.mark.parametrize("step", [0, 1, 23])
def test_quoted_printable_may_vary_a_little(armour: bytes, step: int) -> None:
    content = message(data_headers=QUOTED, armour=armour)
    assert judge(content, direction=INCOMING, step=step) == (None, content)


def test_quoted_printable_armour_does_not_go_out() -> None:
    refused(judge(message(data_headers=QUOTED, armour=quoted(ARMOUR)))[0])


HIDING = {
    "text after it": quoted(ARMOUR) + TEXT,
    "text before it": TEXT + quoted(ARMOUR),
    "text in it": quoted(ARMOUR).replace(b"\r\n=3D", b"\r\nthe secret\r\n=3D"),
    "encoded text": quoted(ARMOUR) + b"=74=68=65\r\n",
    "many empty lines": quoted(ARMOUR) + b"\r\n" * 9,
    "white space at the end of a line": quoted(ARMOUR).replace(b"\r\n\r\n", b"\r\n \r\n"),
    "a tab at the end of a line": quoted(ARMOUR).replace(b"-\r\n", b"-\t\r\n"),
    "small hexadecimal digits": quoted(ARMOUR).replace(b"=3D", b"=3d"),
    "an escape that is none": quoted(ARMOUR).replace(b"=3D", b"=ZZ"),
    "8-bit": quoted(ARMOUR) + b"\xc3\xbc\r\n",
    "a soft break at the end": quoted(ARMOUR) + b"=",
    "a soft break in a line of 59": softly_broken(59),
    "an empty line that is broken softly": softly_broken(0),
    "more than 64 escapes": escaped(65),
    "a long line": quoted(ARMOUR).replace(b"-----BEGIN", b"=2D" * 30 + b"BEGIN"),
    "no armour": octets(300).hex().encode() + b"\r\n",
    "a packet behind": quoted(armoured(seipd() + seipd())),
}


@pytest.mark.parametrize("body", HIDING.values(), ids=HIDING)
@pytest.mark.parametrize("step", [0, 23])
def test_quoted_printable_hides_nothing(body: bytes, step: int) -> None:
    content = message(data_headers=QUOTED, armour=body)
    refused(judge(content, direction=INCOMING, step=step)[0])
