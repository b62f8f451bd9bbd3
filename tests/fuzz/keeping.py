"""Which inputs are kept: without them some way from line to line is not gone.

A file whose name is not a hash was put there by a person, for a defect that it once showed; it
always stays.
"""

import hashlib
import re
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz.targets import CORPUS, check_of

MOST_FILES, MOST_OCTETS = 30, 160_000
"""What a target's corpus may take: it is read in every test run, and it is in the repository."""
_HASH = re.compile(r"[0-9a-f]{16}")
Way = tuple[str, int, int, int]
"""A file, from which line to which, and how often, as a power of two."""


def ways(name: str, data: bytes) -> set[Way]:
    """Which ways through the gate's code this input leads, and how often."""
    found: Counter[tuple[str, int, int]] = Counter()

    def enter(frame: FrameType, _event: str, _argument: Any) -> Any:
        file = frame.f_code.co_filename
        if not ("/filtermail/" in file or "/relay/smtp/" in file) or "/tests/" in file:
            return None
        last = frame.f_lineno

        def step(frame: FrameType, _event: str, _argument: Any) -> Any:
            nonlocal last
            found[file, last, frame.f_lineno] += 1
            last = frame.f_lineno
            return step

        return step

    check = check_of(name)
    before = sys.gettrace()
    sys.settrace(enter)
    try:
        check(data)
    finally:
        sys.settrace(before)
    return {(*way, times.bit_length()) for way, times in found.items()}


def keep(name: str, found: Path) -> tuple[int, int]:
    """Add what a run has found and is worth it; how many files there were, and how many are now."""
    folder = CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    before = list(folder.iterdir())
    by_hand = [path for path in before if not _HASH.fullmatch(path.name)]
    generated = [path for path in before if _HASH.fullmatch(path.name)]
    reached: set[Way] = set().union(*(ways(name, path.read_bytes()) for path in by_hand))
    offered = {path.read_bytes() for path in [*generated, *found.iterdir()]}
    room = MOST_OCTETS - sum(path.stat().st_size for path in by_hand)
    wanted = _fewest(name, offered, reached, MOST_FILES - len(by_hand), room)
    for path in generated:
        path.unlink()
    for data in wanted:
        folder.joinpath(hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    return len(before), len(by_hand) + len(wanted)


def _fewest(
    name: str, offered: set[bytes], reached: set[Way], files: int, octets: int
) -> list[bytes]:
    """Those that reach most of what is not yet reached, the best first, of equals the smallest."""
    left = {data: ways(name, data) for data in sorted(offered, key=lambda data: (len(data), data))}
    wanted: list[bytes] = []
    while left and len(wanted) < files:
        best = max(left, key=lambda data: len(left[data] - reached))
        new = left.pop(best) - reached
        if not new:
            break
        if len(best) <= octets:
            wanted.append(best)
            octets -= len(best)
            reached = reached | new
    return wanted
