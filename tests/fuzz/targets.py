"""The fuzz targets by name, and the inputs that are kept for each."""

import importlib
from collections.abc import Callable
from pathlib import Path

from hypothesis import strategies as st

NAMES = ("wire", "headers", "packets", "armour", "mime", "standard", "gate")
CORPUS = Path(__file__).parent / "corpus"


def check_of(name: str) -> Callable[[bytes], None]:
    """What holds one input against the invariants of a target; raises on a defect."""
    check: Callable[[bytes], None] = importlib.import_module(f"tests.fuzz.fuzz_{name}").check
    return check


def kept(name: str) -> list[Path]:
    """The inputs that are kept for a target."""
    return sorted(CORPUS.joinpath(name).iterdir())


def inputs() -> st.SearchStrategy[bytes]:
    """Octets of which many are zero: a zero is the plain choice (tests/fuzz/choices.py)."""
    octet = st.just(0) | st.integers(0, 255)
    return st.lists(octet, max_size=400).map(bytes) | st.binary(max_size=400)
