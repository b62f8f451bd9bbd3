"""The fuzz targets in every test run: over the kept inputs, and a few seconds of Hypothesis."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from filtermail.gate import armour, mediatype, mime, packets, reader, sessionkeys
from filtermail.gate import grammar as gate
from relay.smtp import datastream as wire
from tests.fuzz.keeping import MOST_FILES, MOST_OCTETS
from tests.fuzz.targets import CORPUS, NAMES, check_of, inputs, kept

pytestmark = pytest.mark.slow

INPUTS = [(name, path) for name in NAMES for path in kept(name)]


@pytest.mark.parametrize(("name", "path"), INPUTS, ids=lambda value: getattr(value, "name", value))
def test_kept_inputs(name: str, path: Path) -> None:
    check_of(name)(path.read_bytes())


@pytest.mark.parametrize("name", NAMES)
def test_new_inputs(name: str) -> None:
    check = check_of(name)

    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
    @given(inputs())
    def holds(data: bytes) -> None:
        check(data)

    holds()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_chosen_is_something(name: str) -> None:
    check_of(name)(b"")


def test_the_kept_inputs_are_few_and_small() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(NAMES)
    for name in NAMES:
        files = kept(name)
        assert 3 <= len(files) <= MOST_FILES
        assert sum(path.stat().st_size for path in files) <= MOST_OCTETS


def _pass_headers(read: Any, *, strict: bool) -> Any:
    while (yield from read.line()):
        pass


def _pass_text(read: Any) -> Any:
    while not (line := (yield from read.line())).startswith(b"--"):
        pass
    return line


def _wrong_dots(self: Any, data: bytes) -> wire.Piece:
    return wire.Piece(data, data.replace(b"\r\n.", b"\r\n"), data.endswith(wire.END), b"")


_ANY = sessionkeys._Size(0, 1 << 20)
_NO_LIMIT = dict.fromkeys(sessionkeys._WHOLE, (0, 1 << 20))
_NO_NUMBER = {**sessionkeys._ALGORITHMS, 1: sessionkeys._Size(66, 1026)}
DEFECTS: dict[str, tuple[object, str, object]] = {
    "any headers of the armour": (armour, "_headers", _pass_headers),
    "any number of empty lines": (reader, "MAX_EMPTY", 99),
    "any text before the parts": (mime, "_after_empty", _pass_text),
    "session keys of any size": (sessionkeys, "_WHOLE", _NO_LIMIT),
    "encrypted data that is short": (packets, "SEIPD_SMALLEST", {1: 1, 2: 1}),
    "more versions of it": (packets, "SEIPD_SMALLEST", {0: 9, 1: 33, 2: 52, 3: 52}),
    "any size for an algorithm": (sessionkeys, "_UNKNOWN", _ANY),
    "any number in an RSA key": (sessionkeys, "_ALGORITHMS", _NO_NUMBER),
    "small chunks": (packets, "MIN_CHUNK", 1),
    "lines of any width": (armour, "MIN_WIDTH", 1),
    "any padding": (armour, "_PADDED", re.compile(rb"([^-]{0,75}?)(={0,2})")),
    "any author": (gate, "_check_sender", lambda headers, envelope: None),
    "any boundary": (mediatype, "BOUNDARY", re.compile(rb".*")),
    "dots as they come": (wire.DataStream, "feed", _wrong_dots),
}


@pytest.mark.parametrize(("where", "what", "instead"), DEFECTS.values(), ids=DEFECTS)
def test_the_targets_see_a_gate_that_takes(
    where: object, what: str, instead: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kept inputs are worth their place: a gate with a hole does not get past them."""
    monkeypatch.setattr(where, what, instead)
    assert any(_fails(name, path) for name, path in INPUTS)


def _fails(name: str, path: Path) -> bool:
    try:
        check_of(name)(path.read_bytes())
    except Exception:  # noqa: BLE001 - each target has its own way to fail
        return True
    return False
