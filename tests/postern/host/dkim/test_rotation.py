"""Keys are made, published, used and retired, in an order that never signs with an unknown key."""

import json
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import dns.rcode
import pytest

from postern.host.dkim.directory import KeyDirectory, NoKeys
from postern.host.dkim.rotation import GRACE_SECONDS, Keys, record_of, selector_of
from postern.host.dns.forms import as_zone
from postern.host.dns.records import DkimKey, Need
from relay.owner import Owner
from tests.postern.commandline import Done, postern
from tests.postern.host.dns.zones import DOMAIN, HEAD, PRIMARY, RESOLVER, World, world

NOW = 1795629600
"""25 November 2026, 18:00 UTC."""
DAY = 86400


@pytest.fixture
def keys(tmp_path: Path) -> KeyDirectory:
    return KeyDirectory(tmp_path / "dkim", DOMAIN, Owner(os.geteuid(), os.getegid()))


@pytest.mark.parametrize(
    ("taken", "selector"),
    [
        ((), "20261125"),
        (("20261125",), "20261125b"),
        (("20261125", "20261125b"), "20261125c"),
        (("20261124",), "20261125"),
    ],
)
def test_a_selector_says_the_day(taken: tuple[str, ...], selector: str) -> None:
    assert selector_of(date(2026, 11, 25), taken) == selector


def test_a_day_has_not_endlessly_many() -> None:
    taken = {f"20261125{letter}" for letter in "bcdefghijklmnopqrstuvwxyz"} | {"20261125"}
    with pytest.raises(ValueError, match="20"):
        selector_of(date(2026, 11, 25), taken)


def test_records_that_belong_into_dns() -> None:
    keys = Keys("b", NOW, "c", ("a",))
    assert keys.published(NOW) == {
        "a": Need.RECOMMENDED,
        "b": Need.REQUIRED,
        "c": Need.RECOMMENDED,
    }
    assert set(keys.published(NOW + GRACE_SECONDS)) == {"b", "c"}


def test_installation_makes_one_key_and_the_table(keys: KeyDirectory) -> None:
    assert keys.ensure(NOW) is True
    assert keys.read() == Keys("20261125", NOW)
    path = keys.path / "20261125.private"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().startswith("-----BEGIN RSA PRIVATE KEY-----")
    assert keys.table.read_text().splitlines()[-1] == f"current {DOMAIN}:20261125:{path}"
    assert re.fullmatch(
        r"MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A[\w+/]+=*", keys.public("20261125").public
    )
    before = {each.name: each.read_bytes() for each in keys.path.iterdir()}
    assert keys.ensure(NOW + DAY) is False
    assert {each.name: each.read_bytes() for each in keys.path.iterdir()} == before


def test_the_private_key_belongs_to_the_signer(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    owner = Owner.named("nobody")
    keys = KeyDirectory(tmp_path / "dkim", DOMAIN, owner)
    keys.ensure(NOW)
    owners = {each.suffix: each.stat().st_uid for each in keys.path.iterdir()}
    assert owners == {".private": owner.uid, ".public": 0, "": 0}


def test_a_run_that_ended_before_the_table_was_written_is_continued(keys: KeyDirectory) -> None:
    keys.path.mkdir()
    (keys.path / ".20261124.private.new").touch()
    (keys.path / "20261124.public").touch()
    selector = keys.make(NOW)
    assert keys.ensure(NOW + DAY) is True
    assert keys.read() == Keys(selector, NOW + DAY)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda keys: keys.table.unlink(), "postern install"),
        (lambda keys: keys.table.write_text("else\n"), "restore it"),
        (lambda keys: (keys.path / "20261125.private").unlink(), "is missing"),
        (
            lambda keys: keys.table.write_text(keys.table.read_text().replace("chat.", "x.")),
            "signs for x.example.org",
        ),
    ],
)
def test_what_cannot_be_used_is_said(keys: KeyDirectory, change, words: str) -> None:  # type: ignore[no-untyped-def]
    keys.ensure(NOW)
    change(keys)
    with pytest.raises(NoKeys, match=words):
        keys.read()
    assert keys.published(NOW) == ()


def test_a_key_that_was_brought_along_is_kept_whatever_its_name(keys: KeyDirectory) -> None:
    keys.path.mkdir()
    made = keys.make(NOW)
    public = keys.public(made).public
    (keys.path / f"{made}.public").unlink()
    (keys.path / f"{made}.private").rename(keys.path / "opendkim.private").chmod(0o644)
    keys.ensure(NOW)
    assert keys.read() == Keys("opendkim", NOW)
    assert keys.public("opendkim").public == public
    assert stat.S_IMODE((keys.path / "opendkim.private").stat().st_mode) == 0o600
    following = keys.make(NOW)
    assert keys.read() == Keys("opendkim", NOW, following)
    keys.sign_with(following, NOW + DAY, ("opendkim",))
    assert keys.read() == Keys(following, NOW + DAY, "", ("opendkim",))


def test_what_was_brought_along_and_is_no_key(keys: KeyDirectory) -> None:
    keys.path.mkdir()
    (keys.path / "opendkim.private").write_text("else")
    with pytest.raises(NoKeys, match="move it away"):
        keys.ensure(NOW)


@dataclass
class Host:
    """A host with a key, and the name servers of its zone."""

    config: Path
    keys: KeyDirectory
    servers: World
    reloads: Path

    def rotate(self, *arguments: str) -> Done:
        asked = ("--resolver", RESOLVER, "--port", str(self.servers.port))
        return self.run("rotate", *asked, *arguments)

    def run(self, name: str, *arguments: str) -> Done:
        named = ("--config", str(self.config), "--keys", str(self.keys.path))
        return postern("dkim", name, *named, *arguments)

    def publish(self, *selectors: str) -> None:
        records = [record_of(DOMAIN, self.keys.public(each)) for each in selectors]
        self.servers.publish(HEAD + as_zone(records))

    @property
    def reloaded(self) -> int:
        """How often the signer was reloaded, and filtermail's kept connections to it ended."""
        text = self.reloads.read_text() if self.reloads.exists() else ""
        once = "reload opendkim\ntry-restart filtermail@outgoing.service\n"
        assert text == once * text.count(once)
        return text.count(once)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    config, reloads = tmp_path / "chatmail.ini", tmp_path / "reloads"
    config.write_text(f"[params]\nmail_domain = {DOMAIN}\n")
    systemctl = tmp_path / "bin" / "systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text(f'#!/bin/sh\necho "$*" >>{reloads}\n')
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", str(systemctl.parent), prepend=os.pathsep)
    keys = KeyDirectory(tmp_path / "dkim", DOMAIN)
    keys.ensure(int(time.time()) - 30 * DAY)
    with world(HEAD) as servers:
        yield Host(config, keys, servers, reloads)


def test_a_whole_rotation(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    old = host.keys.read().signing
    made = host.rotate()
    new = host.keys.read().following
    assert (made.returncode, new != "") == (0, True)
    assert f"{new}._domainkey.{DOMAIN} TXT {host.keys.public(new).text}\n" in made.stdout
    host.publish(old)
    early = host.rotate()
    assert early.returncode == 1
    assert f"{RESOLVER}: the record is missing (cached for 300 s)" in early.stdout
    assert (host.keys.read().signing, host.reloaded) == (old, 0)
    host.publish(old, new)
    switched = host.rotate()
    assert (switched.returncode, host.reloaded) == (0, 1)
    keys = host.keys.read()
    assert (keys.signing, keys.following, keys.retired) == (new, "", (old,))
    assert f"The key {new} signs now." in switched.stdout
    assert f"Leave {old}._domainkey.{DOMAIN} in DNS until " in switched.stdout
    assert "ends on" in host.rotate().stdout
    assert host.keys.read() == keys
    later = time.time() + GRACE_SECONDS + 60
    monkeypatch.setattr(time, "time", lambda: later)
    ended = host.rotate("--finish")
    assert f"Delete the record {old}._domainkey.{DOMAIN} now" in ended.stdout
    assert host.keys.read() == Keys(new, keys.since)
    assert {each.name for each in host.keys.path.iterdir()} == {
        "KeyTable",
        f"{new}.private",
        f"{new}.public",
    }


def test_every_server_that_answers_has_to_show_the_key(host: Host) -> None:
    old = host.keys.read().signing
    host.rotate()
    new = host.keys.read().following
    before = host.servers.ns1.text
    host.publish(old, new)
    host.servers.ns2.text = before
    assert "ns2.example.org: the record is missing" in host.rotate().stdout
    host.publish(old, new)
    host.servers.primary.text = before
    assert f"{PRIMARY}: the record is missing" in host.rotate("--ask", PRIMARY).stdout
    host.publish(old, new)
    wrong = host.servers.ns1.text.replace(host.keys.public(new).public[:100], "A" * 100)
    host.servers.resolver.text = wrong
    assert f"{RESOLVER}: The key differs from character 1 " in host.rotate().stdout
    host.publish(old, new)
    host.servers.resolver.code = dns.rcode.SERVFAIL
    assert "SERVFAIL" in host.rotate("--ask", PRIMARY).stdout
    assert host.keys.read().signing == old
    host.servers.resolver.code = None
    host.servers.ns2.silent = True
    assert f"The key {new} signs now." in host.rotate("--timeout", "0.5").stdout


def test_without_an_answer_nothing_changes(host: Host) -> None:
    host.rotate()
    for server in host.servers.servers:
        server.silent = True
    done = host.rotate("--timeout", "0.2")
    assert (done.returncode, "no name server answers" in done.stdout) == (1, True)


def test_finish_begins_nothing(host: Host) -> None:
    done = host.rotate("--finish")
    assert (done.returncode, done.stdout) == (0, "No rotation is under way.\n")
    assert host.keys.read().following == ""


def test_a_signer_that_does_not_reload(host: Host, tmp_path: Path) -> None:
    host.rotate()
    keys = host.keys.read()
    host.publish(keys.signing, keys.following)
    (tmp_path / "bin" / "systemctl").write_text("#!/bin/sh\necho not running >&2; exit 5\n")
    done = host.rotate()
    assert done.returncode == 1
    assert "does not reload (not running)" in done.stderr
    assert host.keys.read().signing == keys.following


def test_show(host: Host) -> None:
    old = host.keys.read().signing
    host.rotate()
    new = host.keys.read().following
    shown = host.run("show").stdout
    assert f"{old}: signs since " in shown
    assert f"{new}: made; " in shown
    assert f"\n{old}._domainkey.{DOMAIN}. 3600 IN TXT " in shown
    printed = json.loads(host.run("show", "--json").stdout)
    assert (printed["signing"], printed["following"], printed["retired"]) == (old, new, [])
    assert set(printed["records"]) == {f"{each}._domainkey.{DOMAIN}" for each in (old, new)}
    host.publish(old, new)
    assert json.loads(host.rotate("--json").stdout)["signing"] == new
    assert f"{old}: signed before; leave its record until " in host.run("show").stdout


def test_dns_prints_the_keys(host: Host) -> None:
    done = postern("dns", "--config", str(host.config), "--keys", str(host.keys.path), "--lines")
    selector = host.keys.read().signing
    assert f"{selector}._domainkey.{DOMAIN} TXT {host.keys.public(selector).text}\n" in done.stdout


def test_a_host_without_a_key(host: Host) -> None:
    host.keys.table.unlink()
    for private in host.keys.path.glob("*.private"):
        private.unlink()
    for done in (host.run("show"), host.rotate("--finish")):
        assert (done.returncode, "`postern install` makes a key" in done.stderr) == (1, True)
    done = host.rotate()
    key = host.keys.public(host.keys.read().signing)
    assert f"{key.selector}._domainkey.{DOMAIN} TXT {key.text}\n" in done.stdout
    assert (done.returncode, host.reloaded) == (0, 0)


def test_a_record_of_one_key() -> None:
    record = record_of(DOMAIN, DkimKey("s", "AAAA"))
    assert (record.name, record.type) == (f"s._domainkey.{DOMAIN}", "TXT")
    assert record.value == "v=DKIM1; k=rsa; s=email; t=s; p=AAAA"
