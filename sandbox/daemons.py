"""The daemons of a sandbox: their command lines, addresses and probes."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from sandbox.layout import MAILBOXES_USER, Layout
from sandbox.ports import LOOPBACK
from sandbox.probes import Probe, answers_dict, answers_http, greets, greets_on_socket
from sandbox.process import Spec


def interpreter_user() -> str | None:
    """The user that our daemons run as: the mailboxes' own one, or None (ours) where it cannot.

    It cannot where the interpreter or the checkout lies in a directory closed to others, such as
    /root. Tried rather than reasoned: what counts is that the imports work.
    """
    modules = "import doveauth, filtermail, metadata, postern, relay, aiohttp, uvloop"
    try:
        done = subprocess.run(
            [sys.executable, "-c", modules],
            user=MAILBOXES_USER,
            group=MAILBOXES_USER,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            check=False,
        )
    except PermissionError:
        return None
    return MAILBOXES_USER if done.returncode == 0 else None


def specs(layout: Layout, ports: Mapping[str, int], user: str | None) -> list[Spec]:
    """All daemons, in the order in which they are started."""
    config = ("--config", str(layout.config))
    sockets = layout.sockets

    def ours(name: str, arguments: tuple[str, ...], address: str, probe: Probe) -> Spec:
        return Spec(
            name=name,
            command=(sys.executable, "-m", *arguments),
            address=address,
            log=layout.logs / f"{name}.log",
            probe=probe,
            user=user,
            # Postfix' own group for its public sockets; only filtermail connects there.
            groups=("postdrop",) if name.startswith("filtermail") else (),
        )

    def filtermail(direction: str) -> Spec:
        port = ports[name := f"filtermail@{direction}"]
        figures = ("--metrics-socket", str(layout.metrics_socket(name)))
        arguments = ("filtermail", direction, *config, *figures)
        return ours(name, arguments, f"{LOOPBACK}:{port}", greets(port, b"220 "))

    def unix(name: str, arguments: tuple[str, ...], *paths: Path) -> Spec:
        address = ", ".join(path.name for path in paths)
        return ours(name, (name, *config, *arguments), address, answers_dict(*paths))

    last_login = sockets / "last-login.socket"
    over_http = [
        part
        for name in ("lookups", "new")
        for part in (f"--{name}-socket", str(sockets / f"{name}.socket"))
    ]
    over_http += ["--metrics-socket", str(layout.metrics_socket("doveauth"))]
    metadata, notify = sockets / "metadata.socket", sockets / "notify.socket"
    its_metrics = ("--metrics-socket", str(layout.metrics_socket("metadata")))
    return [
        _postfix(layout, ports),
        _dovecot(layout, ports),
        unix(
            "doveauth",
            ("--last-login-socket", str(last_login), *over_http),
            last_login,
        ),
        unix(
            "metadata",
            (
                *("--socket", str(metadata), "--notify-socket", str(notify)),
                *("--state", str(layout.state), *its_metrics),
            ),
            metadata,
            notify,
        ),
        filtermail("outgoing"),
        filtermail("incoming"),
        ours(
            "gateway",
            ("sandbox.gateway", "--port", str(ports["gateway"])),
            f"{LOOPBACK}:{ports['gateway']}",
            answers_http(ports["gateway"]),
        ),
    ]


def _postfix(layout: Layout, ports: Mapping[str, int]) -> Spec:
    command = ("postfix", "-c", str(layout.postfix))
    probes = [greets(ports[name], b"220 ") for name in ("smtp", "submission")]
    probes.append(greets_on_socket(layout.reinject_sockets / "reinject-outgoing", b"220 "))
    probes.append(greets(ports["smtps"], b"220 ", tls=True))
    return Spec(
        name="postfix",
        command=(*command, "start-fg"),
        stop_command=(*command, "stop"),
        address=f"{LOOPBACK}:{ports['smtps']} TLS, {ports['submission']} STARTTLS, {ports['smtp']}",
        log=layout.logs / "postfix.log",
        probe=lambda: all(probe() for probe in probes),
    )


def _dovecot(layout: Layout, ports: Mapping[str, int]) -> Spec:
    greeting = b"* OK "
    imap, imaps = greets(ports["imap"], greeting), greets(ports["imaps"], greeting, tls=True)
    return Spec(
        name="dovecot",
        command=("dovecot", "-c", str(layout.dovecot / "dovecot.conf"), "-F"),
        address=f"{LOOPBACK}:{ports['imaps']} TLS, {ports['imap']} STARTTLS",
        log=layout.logs / "dovecot.log",
        probe=lambda: imaps() and imap(),
    )
