"""`postern dns`: what it prints, and how it ends."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from postern.host.dns.records import mta_sts_id
from tests.postern.commandline import Done, postern
from tests.postern.host.dns.zones import DOMAIN, HEAD, PRIMARY, RESOLVER, World, world

KNOWN = ("--address", "192.0.2.1", "--address", "2001:db8::1")
ZONE = f"""\
{HEAD}
chat 60 IN A 192.0.2.1
chat 60 IN AAAA 2001:db8::1
chat 60 IN MX 10 chat
"""
REST = f"""\
chat 60 IN TXT "v=spf1 a ~all"
_dmarc.chat 60 IN TXT "v=DMARC1;p=reject;adkim=s;aspf=s"
_submission._tcp.chat 60 IN SRV 0 1 587 chat
_submissions._tcp.chat 60 IN SRV 0 1 465 chat
_imap._tcp.chat 60 IN SRV 0 1 143 chat
_imaps._tcp.chat 60 IN SRV 0 1 993 chat
_mta-sts.chat 60 IN TXT "v=STSv1; id={mta_sts_id(DOMAIN)}"
mta-sts.chat 60 IN CNAME chat
autoconfig.chat 60 IN CNAME chat
"""


@pytest.fixture
def servers() -> Iterator[World]:
    with world(ZONE) as made:
        yield made


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "chatmail.ini"
    path.write_text(f"[params]\nmail_domain = {DOMAIN}\n")
    return path


def ask(config: Path, servers: World, *arguments: str) -> Done:
    asked = ("--resolver", RESOLVER, "--port", str(servers.port), *arguments)
    return postern("dns", "--config", str(config), *KNOWN, *asked)


def test_prints_a_zone_file_lines_and_fields(config: Path, servers: World) -> None:
    zone = ask(config, servers)
    assert zone.stdout == ask(config, servers, "--zone").stdout
    assert f"\n{DOMAIN}. 3600 IN MX 10 {DOMAIN}.\n" in zone.stdout
    assert f"\n{DOMAIN} MX 10 {DOMAIN}.\n" in ask(config, servers, "--lines").stdout
    assert "Name:     chat\nPriority: 10\n" in ask(config, servers, "--form").stdout
    assert "Name:     @\n" in ask(config, servers, "--form", "--apex", DOMAIN).stdout
    assert ask(config, servers, "--form", "--zone").returncode == 2
    assert zone.returncode == 0


def test_without_an_answer_the_domain_is_taken_for_the_zone(config: Path, servers: World) -> None:
    servers.resolver.silent = True
    done = ask(config, servers, "--form", "--timeout", "0.3")
    assert "name it with --apex" in done.stderr
    assert "Name:     @\nPriority: 10\n" in done.stdout


def test_required_alone(config: Path, servers: World) -> None:
    assert "Recommended" not in ask(config, servers, "--required").stdout
    done = ask(config, servers, "--required", "--check")
    assert done.stdout == (f"OK  A {DOMAIN}\nOK  AAAA {DOMAIN}\nOK  MX {DOMAIN}\nAll is right.\n")


def test_warnings_end_well_and_errors_do_not(config: Path, servers: World) -> None:
    done = ask(config, servers, "--check")
    assert done.returncode == 0
    assert f"OK  MX {DOMAIN}\n!   TXT {DOMAIN}\n    Missing: without it large" in done.stdout
    assert "    publish: v=spf1 a ~all\n" in done.stdout
    assert "All is right" not in done.stdout
    servers.publish(ZONE.replace("MX 10 chat", "MX 10 other"))
    done = ask(config, servers, "--check")
    assert done.returncode == 1
    assert f"!!  MX {DOMAIN}\n" in done.stdout


def test_json(config: Path, servers: World) -> None:
    done = ask(config, servers, "--json")
    printed = json.loads(done.stdout)
    assert (printed["domain"], done.stderr) == (DOMAIN, "")
    assert printed["records"][2]["value"] == f"10 {DOMAIN}."
    assert "DKIM" in printed["remarks"][0]
    checked = json.loads(ask(config, servers, "--json", "--check").stdout)
    assert checked["right"] is True
    assert {each["state"] for each in checked["findings"]} == {"ok", "warning"}


def test_nobody_answers(config: Path, servers: World) -> None:
    done = postern(
        "dns", "--config", str(config), "--check", "--resolver", "127.0.0.99", "--timeout", "0.3"
    )
    assert done.returncode == 75
    assert "No name server answers" in done.stdout


def test_watch_waits_until_all_is_right(config: Path, servers: World) -> None:
    def mend() -> None:
        time.sleep(0.5)
        servers.publish(ZONE + REST)

    mending = threading.Thread(target=mend)
    mending.start()
    done = ask(config, servers, "--watch", "--every", "0.1", "--ask", PRIMARY)
    mending.join()
    assert done.returncode == 0
    assert done.stdout.endswith("All is right.\n")
    assert f"OK  TXT _dmarc.{DOMAIN}\n" in done.stdout
    assert servers.primary.asked


def test_watch_does_not_wait_for_a_server_that_cannot_be_reached(
    config: Path, servers: World
) -> None:
    servers.publish(ZONE + REST)
    servers.ns2.silent = True
    done = ask(config, servers, "--watch", "--timeout", "0.5", "--resolver", "127.0.0.98")
    assert done.returncode == 0
    assert "?   127.0.0.98\n    It does not answer: " in done.stdout
    assert "?   ns2.example.org\n" in done.stdout
    assert done.stdout.endswith("All is right.\n")


def test_an_address_literal_is_answered_in_words(config: Path, servers: World) -> None:
    config.write_text("[params]\nmail_domain = 192.0.2.1\n")
    for arguments in ((), ("--check",), ("--watch",), ("--form", "--apex", "x")):
        done = ask(config, servers, *arguments)
        assert (done.returncode, done.stdout) == (0, "")
        assert "needs no DNS records" in " ".join(done.stderr.split())


def test_what_is_no_address(config: Path) -> None:
    done = postern("dns", "--config", str(config), "--address", "host")
    assert done.returncode == 2
    assert "'host' does not appear to be an IPv4 or IPv6 address" in " ".join(done.stderr.split())
