"""The facts of a host, out of a made-up root, real sockets, and name servers of ours."""

import asyncio
import contextlib
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from email.utils import formatdate
from ipaddress import ip_address
from pathlib import Path

import pytest

from postern.host.dns import lookup
from postern.host.preflight import look_machine, look_network
from postern.host.preflight.facts import Disk, Listener, Outgoing, System
from postern.host.preflight.findings import Outcome
from postern.host.preflight.judge import judge
from postern.host.preflight.look import Options, look
from sandbox.certificate import ensure_certificate
from tests.postern.host.dns.server import NameServer, serving

DOMAIN = "chat.example.org"
IPV4 = ip_address("192.0.2.1")
ZONE = f"""\
$ORIGIN .
@ 3600 IN SOA ns hostmaster 1 7200 600 86400 300
example.org 60 IN NS ns.example.org
ns.example.org 60 IN A 127.0.0.1
{DOMAIN} 60 IN A 192.0.2.1
mx.example.net 60 IN A 127.0.0.1
nowhere.example.net 60 IN TXT "no address"
1.2.0.192.in-addr.arpa 60 IN PTR {DOMAIN}
1.2.0.192.bad.example 60 IN A 127.0.0.3
1.2.0.192.closed.example 60 IN A 127.255.255.254
"""
RESOLVER = "127.0.0.1"
RELEASE = """\
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
VERSION_ID="12"
ID=debian
"""
HOSTS = """\
127.0.0.1 localhost
# 127.0.1.1 no
127.0.1.1 VM.example vm # own

bad line
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The part of a file system that is looked at."""
    files = {
        "etc/os-release": RELEASE,
        "etc/hosts": HOSTS,
        "etc/resolv.conf": f"search x\nnameserver {RESOLVER}\n",
        "proc/meminfo": "MemTotal:         495616 kB\nMemFree: 1 kB\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def resolver() -> Iterator[tuple[NameServer, lookup.Options]]:
    """A resolver that knows everything; it also has the zone."""

    class Everything(NameServer):
        """Answers whether or not it is asked to recurse."""

    server = Everything(ZONE)
    with serving({RESOLVER: server}) as port:
        yield server, lookup.Options(resolvers=(RESOLVER,), port=port, timeout=1)


def test_the_system(root: Path) -> None:
    found = look_machine.system(root)
    assert found == System(
        "debian", "12", "Debian GNU/Linux 12 (bookworm)", os.uname().machine, has_systemd=True
    )
    (root / "run/systemd/system").rmdir()
    (root / "etc/os-release").unlink()
    assert look_machine.system(root) == System(
        "", "", "an unknown system", os.uname().machine, has_systemd=False
    )


def test_memory_is_what_a_container_may_have(root: Path) -> None:
    assert look_machine.memory(root) == 495616 << 10
    (root / "sys/fs/cgroup").mkdir(parents=True)
    (root / "sys/fs/cgroup/memory.max").write_text("max\n")
    assert look_machine.memory(root) == 495616 << 10
    (root / "sys/fs/cgroup/memory.max").write_text("314572800\n")
    assert look_machine.memory(root) == 300 << 20
    assert look_machine.memory() > 1 << 20


def test_disks(root: Path) -> None:
    found = look_machine.disks(root)
    there = os.statvfs(root)
    assert [each.path for each in found] == ["/"]
    assert abs(found[0].free - there.f_bfree * there.f_frsize) < 1 << 30
    (root / "home").mkdir()
    assert [each.path for each in look_machine.disks(root)] == ["/", "/home"]
    assert isinstance(found[0], Disk)


def test_names_of_hosts(root: Path) -> None:
    assert look_machine.names(root) == {
        "localhost": ("127.0.0.1",),
        "vm.example": ("127.0.1.1",),
        "vm": ("127.0.1.1",),
    }
    (root / "etc/hosts").unlink()
    assert look_machine.names(root) == {}


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_who_has_a_port(address: str) -> None:
    code = f"import socket; s = socket.create_server(({address!r}, 0), family=socket.AF_INET6 if "
    code += (
        f"':' in {address!r} else socket.AF_INET); print(s.getsockname()[1], flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        name = Path(f"/proc/{process.pid}/comm").read_text().strip()
        assert Listener(port, address, name) in look_machine.listeners()
        process.communicate("\n")
    assert not any(each.port == port for each in look_machine.listeners())


def test_a_process_that_cannot_be_seen(root: Path) -> None:
    entry = "0: 0100007F:0050 00000000:0000 0A 0:0 0:0 0 0 0 4711 1\n"
    (root / "proc/net").mkdir()
    (root / "proc/net/tcp").write_text("head\n" + entry + entry.replace(" 0A ", " 01 "))
    assert look_machine.listeners(root) == (Listener(80, "127.0.0.1", ""),)
    (root / "proc/9/fd").mkdir(parents=True)
    (root / "proc/9/comm").write_text("apache2\n")
    (root / "proc/9/fd/3").symlink_to("socket:[4711]")
    assert look_machine.listeners(root) == (Listener(80, "127.0.0.1", "apache2"),)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("usr/sbin/exim4", "exim"),
        ("etc/mail/sendmail.cf", "sendmail"),
        ("etc/mailinabox.conf", "Mail-in-a-Box"),
        ("usr/local/lib/chatmaild", "another chatmail relay"),
        ("etc/postfix/main.cf", "a Postfix with a configuration of its own"),
    ],
)
def test_other_mail_systems(root: Path, path: str, name: str) -> None:
    assert look_machine.mail_systems(root) == ()
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text("mydestination = example.org\n")
    assert look_machine.mail_systems(root) == (f"{name} (/{path})",)


def test_our_own_postfix_is_no_other_mail_system(root: Path) -> None:
    from tests.postern.host.documents import host_files

    (root / "etc/postfix").mkdir()
    (root / "etc/postfix/main.cf").write_text(dict(host_files())["main.cf"])
    assert look_machine.mail_systems(root) == ()


@contextlib.asynccontextmanager
async def answering(
    answer: Callable[[], bytes], tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """A server that says one thing to each client; its port."""

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer())
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


def http(seconds: float, more: str = "") -> bytes:
    """An HTTP answer from a clock that is off by so many seconds."""
    date = formatdate(time.time() + seconds, usegmt=True)
    return f"HTTP/1.1 301 Moved\r\nServer: x\r\nDate: {date}\r\n{more}\r\n".encode()


@pytest.mark.parametrize(
    ("ahead", "more", "offset"),
    [(0, "", 0), (-3600, "", 3600), (90, "", -90), (-500, "Age: 500\r\n", 0)],
)
async def test_the_clock_by_http(ahead: float, more: str, offset: float) -> None:
    async with answering(lambda: http(ahead, more)) as port:
        reading = await look_network.clock(f"http://127.0.0.1:{port}/", 9)
    assert reading.source == "127.0.0.1"
    assert reading.offset == pytest.approx(offset, abs=3)


async def test_the_clock_by_https_even_where_no_certificate_is_valid(tmp_path: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*ensure_certificate(tmp_path / "tls", "elsewhere.example"))
    async with answering(lambda: http(-1000), context) as port:
        reading = await look_network.clock(f"https://127.0.0.1:{port}/directory", 9)
    assert reading.offset == pytest.approx(1000, abs=3)


async def test_clocks_that_say_nothing_are_left_out() -> None:
    async with (
        answering(lambda: b"HTTP/1.1 200 OK\r\n\r\n") as dateless,
        answering(lambda: b"HTTP/1.1 200 OK\r\nDate: noon\r\n\r\n") as wrong,
        answering(lambda: b"") as dumb,
        answering(lambda: http(0)) as right,
    ):
        urls = [f"http://127.0.0.1:{port}/" for port in (dateless, wrong, dumb, 9, right)]
        assert len(await look_network.clocks(urls, 9)) == 1


@pytest.mark.parametrize(
    ("greeting", "failure"),
    [
        (b"220 mx.example.net ESMTP\r\n", ""),
        (b"554 go away\r\n", ""),
        (b"HTTP/1.1 400 Bad\r\n", "what answers at 127.0.0.1 is no mail server"),
        (b"", "what answers at 127.0.0.1 is no mail server"),
    ],
)
async def test_the_way_out(
    resolver: tuple[NameServer, lookup.Options], greeting: bytes, failure: str
) -> None:
    async with answering(lambda: greeting) as port:
        found = await look_network.outgoing("mx.example.net", port, 9, resolver[1])
    assert found == Outgoing("mx.example.net", failure)


async def test_no_way_out(resolver: tuple[NameServer, lookup.Options]) -> None:
    server, options = resolver
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        late = await look_network.outgoing("mx.example.net", port, 0.2, options)
        assert late.failure == "no answer from 127.0.0.1 within 0.2 s"
    refused = await look_network.outgoing("mx.example.net", port, 9, options)
    assert "127.0.0.1 cannot be reached (" in refused.failure
    assert refused.tried
    unknown = await look_network.outgoing("nowhere.example.net", 25, 9, options)
    server.silent = True
    unanswered = await look_network.outgoing("mx.example.net", 25, 9, options)
    for each in (unknown, unanswered):
        assert (each.tried, each.failure) == (False, "its address cannot be looked up")


async def test_ipv6() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        port = listener.getsockname()[1]
        targets = [("::1", 9), ("::1", port)]
        assert await look_network.ipv6_failure(targets, 9) == ""
    failure = await look_network.ipv6_failure(targets, 9)
    assert failure.count("::1 cannot be reached (") == 2


def test_the_systems_resolvers(root: Path) -> None:
    assert look_network.system_resolvers(root) == (RESOLVER,)
    (root / "etc/resolv.conf").unlink()
    assert look_network.system_resolvers(root) == ()


async def test_the_whole_look(root: Path, resolver: tuple[NameServer, lookup.Options]) -> None:
    server, dns = resolver
    async with answering(lambda: http(0)) as web, answering(lambda: b"220 hello\r\n") as smtp:
        options = Options(
            root=root,
            dns=dns,
            own_addresses=lambda: (IPV4,),
            host_name=lambda: "VM",
            clocks=(f"http://127.0.0.1:{web}/",),
            mail_servers=(("mx.example.net", smtp),),
            block_lists=("good.example", "bad.example", "closed.example"),
            seconds=9,
        )
        facts = await look(DOMAIN, options)
        found = {each.check: each for each in judge(facts)}
        bad = {name: each for name, each in found.items() if each.outcome is not Outcome.OK}
        assert set(bad) == {"block-lists"}
        assert bad["block-lists"].said == (
            "192.0.2.1 is on bad.example (127.0.0.3) (closed.example cannot be asked from here)"
        )
        assert found["ipv6"].said == "none here, and none published"
        server.text = ZONE.replace("A 192.0.2.1", "A 192.0.2.9")
        (root / "var/lib/postern/install").mkdir(parents=True)
        (root / "var/lib/postern/install/manifest.json").touch()
        facts = await look(DOMAIN, options)
        assert facts.installed
        (addresses,) = (each for each in judge(facts) if each.check == "addresses")
        assert addresses.outcome is Outcome.ERROR
    literal = await look("[192.0.2.1]", Options(root=root, dns=dns, mail_servers=(), clocks=()))
    assert literal.views == ()
    assert set(literal.reverse) >= {IPV4}


async def test_a_stated_address_is_taken_for_the_hosts_own(
    root: Path, resolver: tuple[NameServer, lookup.Options]
) -> None:
    nothing = {"clocks": (), "mail_servers": (), "block_lists": ()}
    options = Options(root=root, dns=resolver[1], addresses=(IPV4,), **nothing)  # type: ignore[arg-type]
    assert (await look(DOMAIN, options)).local == (IPV4,)


async def test_without_any_network_every_check_still_has_an_outcome(
    root: Path, resolver: tuple[NameServer, lookup.Options]
) -> None:
    server, dns = resolver
    server.silent = True
    options = Options(
        root=root,
        dns=lookup.Options(resolvers=dns.resolvers, port=dns.port, timeout=0.1),
        own_addresses=lambda: (IPV4,),
        clocks=("http://127.0.0.1:9/",),
        mail_servers=(("mx.example.net", 25),),
        host_name=lambda: "vm",
    )
    found = {each.check: each.outcome for each in judge(await look(DOMAIN, options))}
    skipped = {name for name, outcome in found.items() if outcome is Outcome.SKIPPED}
    assert skipped == {"clock", "addresses", "reverse-name", "port-25", "block-lists"}
    assert Outcome.ERROR not in found.values()
