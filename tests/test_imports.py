"""The direction of imports: what may know of what, read off the source itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "relay": {"relay"},
    "filtermail": {"filtermail", "relay"},
    "doveauth": {"doveauth", "relay"},
    "metadata": {"metadata", "relay"},
    "postern": {"postern", "filtermail", "doveauth", "metadata", "relay"},
    "sandbox": {"sandbox", "postern", "filtermail", "doveauth", "metadata", "relay"},
}
"""Down from sandbox to relay; the daemons never import each other."""
LIFELESS = ["relay/smtp", "relay/dovecot", "relay/mailbox"]
"""Rooms of relay that know nothing of the daemons' life cycle."""
PURE = [
    "relay.address",
    "relay.dovecot.dictproto",
    "doveauth.networks",
    "doveauth.policy",
    "filtermail.gate.armour",
    "filtermail.gate.bounce",
    "filtermail.gate.content",
    "filtermail.gate.grammar",
    "filtermail.gate.headers",
    "filtermail.gate.mediatype",
    "filtermail.gate.message",
    "filtermail.gate.trial",
    "filtermail.gate.mime",
    "filtermail.gate.outgoing",
    "filtermail.gate.packets",
    "filtermail.gate.reader",
    "filtermail.gate.sessionkeys",
    "filtermail.gate.standard",
    "filtermail.gate.verdict",
    "relay.smtp.commands",
    "relay.smtp.datastream",
    "relay.smtp.path",
    "relay.smtp.reply",
    "metadata.push.backoff",
    "metadata.push.breaker",
    "metadata.dictkeys",
    "metadata.tokens.tokenset",
    "metadata.entries.turn",
    "relay.ratelimit",
    "postern.host.dns.answers",
    "postern.host.dns.check",
    "postern.host.dns.compare",
    "postern.host.dns.forms",
    "postern.host.dns.records",
    "postern.host.dkim.rotation",
    "postern.host.preflight.facts",
    "postern.host.preflight.findings",
    "postern.host.preflight.judge",
    "postern.host.preflight.machine",
    "postern.host.preflight.network",
    "postern.host.certificates.wanted",
]
"""Protocols and policies: no I/O, no clock, no chance; all of that is passed to them."""
IMPURE = {
    "aiohttp",
    "aiosmtpd",
    "asyncio",
    "concurrent",
    "multiprocessing",
    "os",
    "random",
    "secrets",
    "select",
    "selectors",
    "smtplib",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "uvloop",
}
LEAN_ON = {*PURE, "relay.config"}
"""What of ours a pure module may import: pure ones, and the structure of the configuration."""


def imported(source: str, package: str) -> Iterator[str]:
    """The absolute name of every module that a source imports, at any depth of it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], *filter(None, [base])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def names_any(module: str, forbidden: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in forbidden)


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports_of(path: Path) -> set[str]:
    package = ".".join(path.relative_to(ROOT).parent.parts)
    return set(imported(path.read_text(encoding="utf-8"), package))


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_go_one_way(package: str) -> None:
    assert sources(package), f"{package} has no source"
    forbidden = set(MAY_IMPORT) - MAY_IMPORT[package] | {"tests"}
    wrong = {
        (str(path.relative_to(ROOT)), module)
        for path in sources(package)
        for module in imports_of(path)
        if names_any(module, forbidden)
    }
    assert wrong == set()


@pytest.mark.parametrize("room", LIFELESS)
def test_a_protocol_knows_nothing_of_the_life_cycle(room: str) -> None:
    assert sources(room), f"{room} has no source"
    found = {module for path in sources(room) for module in imports_of(path)}
    assert {module for module in found if names_any(module, {"relay.life"})} == set()


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_has_neither_world_nor_clock_nor_chance(module: str) -> None:
    path = ROOT / Path(*module.split(".")).with_suffix(".py")
    found = imports_of(path)
    assert {name for name in found if names_any(name, IMPURE)} == set()
    ours = {name for name in found if names_any(name, set(MAY_IMPORT)) and "." in name}
    assert {name for name in ours if not names_any(name, LEAN_ON)} == set()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import a.b as c, d", {"a.b", "d"}),
        ("from a import b", {"a", "a.b"}),
        ("def f():\n    import socket", {"socket"}),
        ("if x:\n    from . import y", {"relay", "relay.y"}),
        ("from .x import y", {"relay.x", "relay.x.y"}),
    ],
)
def test_every_way_to_import_is_seen(source: str, expected: set[str]) -> None:
    assert set(imported(source, "relay")) == expected


def test_a_name_is_of_a_package_by_its_whole_parts() -> None:
    assert names_any("time", {"time"})
    assert names_any("os.path", {"os"})
    assert not names_any("timeit", {"time"})
