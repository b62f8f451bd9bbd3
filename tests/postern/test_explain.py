"""`postern explain`: the verdict, the place, the packets."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from filtermail.gate.grammar import Direction
from postern.__main__ import app
from postern.explain.explanation import explain
from postern.explain.packets import list_packets
from relay.address import Address
from tests.filtermail.gate.building import (
    LIMIT,
    armoured,
    message,
    packet,
    partial_seipd,
    pkesk,
    seipd,
)

SAMPLES = Path(__file__).parents[1] / "samples"
OUTGOING = Direction.OUTGOING


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.eml")), ids=lambda path: path.stem)
@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_captured_mail(path: Path, line_end: bytes) -> None:
    content = path.read_bytes().replace(b"\r\n", line_end)
    explanation = explain(content, OUTGOING, LIMIT)
    assert explanation.accepted == (path.stem != "unencrypted-chat-text")


def test_the_packets_are_listed() -> None:
    content = message(armour=armoured(pkesk(3) + pkesk(6) + partial_seipd(9, 10)))
    explanation = explain(content, OUTGOING, LIMIT)
    assert explanation.accepted
    listed = [(packet.name, packet.version) for packet in explanation.packets]
    assert listed == [("PKESK", 3), ("PKESK", 6), ("SEIPD", 2)]
    assert explanation.packets[1].octets == len(pkesk(6))


def test_a_line_is_named() -> None:
    content = message(armour=armoured(seipd()).replace(b"\r\n=vJ9s", b"\r\nhello there\r\n=vJ9s"))
    explanation = explain(content, OUTGOING, LIMIT)
    assert explanation.reply.code == 523
    number = content.split(b"\r\n").index(b"hello there") + 1
    assert explanation.place == f"line {number}: hello there"


def test_the_header_is_named() -> None:
    explanation = explain(b"From: a@b.example\nSubject: hi\n\nhello\n", OUTGOING, LIMIT)
    assert explanation.place == "the header"
    assert explanation.packet_fault


def test_who_sends_it_and_which_way_it_goes() -> None:
    content = message(armour=armoured(seipd(), headers=b"Comment: hello\r\n"))
    assert not explain(content, OUTGOING, LIMIT).accepted
    assert explain(content, Direction.INCOMING, LIMIT).accepted
    other = explain(message(), OUTGOING, LIMIT, Address.parse("mallory@relay.example"))
    assert other.reply.code == 553


def test_its_size() -> None:
    content = message()
    assert explain(content, OUTGOING, len(content)).accepted
    assert explain(content, OUTGOING, len(content) - 1).reply.code == 552


@pytest.mark.parametrize("content", [b"", b"\n", b"\0\xff", b"From: \xff\n\n", b"-----BEGIN PGP"])
def test_anything_is_explained(content: bytes) -> None:
    explanation = explain(content, OUTGOING, LIMIT)
    assert not explanation.accepted
    assert explanation.packets == ()


@pytest.mark.parametrize(
    ("octets", "listed", "fault"),
    [
        (pkesk(3) + b"\x00rest", ["PKESK"], f"at octet {len(pkesk(3))} no packet begins"),
        (pkesk(3) + seipd()[:-1], ["PKESK"], f"the packet at octet {len(pkesk(3))} is cut short"),
        (b"\xd2\xe9" + bytes(512), [], "the packet at octet 0 is cut short"),
        (b"\xd2", [], "the packet at octet 0 is cut short"),
        (b"\xa3\x01\x02", ["compressed data"], ""),
        (b"\x85\x00\x03\x03\x00\x00" + packet(60, b"x"), ["PKESK", "unknown"], ""),
    ],
)
def test_packets_of_any_kind_are_listed_as_far_as_they_can_be(
    octets: bytes, listed: list[str], fault: str
) -> None:
    found = explain(message(armour=armoured(octets)), OUTGOING, LIMIT)
    assert [each.name for each in found.packets] == listed
    assert found.packet_fault == fault


@given(octets=st.binary(max_size=2000))
def test_any_octets_are_listed_to_an_end(octets: bytes) -> None:
    found, fault = list_packets(message(armour=armoured(octets)))
    assert sum(each.octets for each in found) <= len(octets)
    assert fault or sum(each.octets for each in found) == len(octets)


def test_the_null_sender_is_not_the_author() -> None:
    """A bounce comes from `<>` (RFC 3464); judged with its From as its sender it is refused."""
    bounce = b"""From: MAILER-DAEMON@relay.example
Auto-Submitted: auto-replied
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b

not delivered
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; relay.example

Final-Recipient: rfc822; someone12@relay.example
Action: failed
Status: 5.1.1
--b--
"""
    for sender in ("", "<>"):
        command = ["explain", "-", "--incoming", "--sender", sender]
        result = CliRunner().invoke(app, command, input=bounce)
        assert (result.exit_code, "as a delivery report" in result.output) == (0, True)
    assert CliRunner().invoke(app, ["explain", "-", "--incoming"], input=bounce).exit_code == 1


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("encrypted-five-pkesk", "an encrypted message"),
        ("vc-request-cleartext", "a request to join"),
    ],
)
def test_what_it_passes_as(name: str, kind: str) -> None:
    path = next(path for path in sorted(SAMPLES.glob("*.eml")) if name in path.stem)
    assert f"It passes as {kind}" in CliRunner().invoke(app, ["explain", str(path)]).output


@pytest.mark.parametrize(("name", "code"), [("broadcast-skesk", 0), ("unencrypted-chat-text", 1)])
def test_the_command(name: str, code: int) -> None:
    path = SAMPLES / f"{name}.eml"
    result = CliRunner().invoke(app, ["explain", str(path)])
    assert result.exit_code == code
    assert ("SEIPD" in result.output) == (code == 0)
    assert ("523" in result.output) == (code == 1)


def test_the_command_for_machines_and_from_standard_input() -> None:
    command = [sys.executable, "-m", "postern", "explain", "--json", "-"]
    result = subprocess.run(command, input=message(), capture_output=True, check=False)
    assert result.returncode == 0
    told = json.loads(result.stdout)
    assert told["accepted"] is True
    assert told["packets"][-1]["name"] == "SEIPD"


@pytest.mark.parametrize("arguments", [["/nowhere"], ["--sender", "x", __file__]])
def test_what_cannot_be_judged(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, ["explain", *arguments]).exit_code == 2
