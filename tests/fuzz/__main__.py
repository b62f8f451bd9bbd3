"""What scripts/fuzz calls.

    python -m tests.fuzz run TARGET FOLDER SECONDS   look for a defect
    python -m tests.fuzz keep TARGET FOLDER          take what was found into the corpus
    python -m tests.fuzz try TARGET FILE             hold one input against the invariants

FOLDER/found gets the inputs that lead somewhere new, FOLDER/crash-... the one that shows a defect.
"""

import argparse
import importlib
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.keeping import keep
from tests.fuzz.targets import CORPUS, NAMES, check_of, inputs

TOKENS = Path(__file__).parent / "tokens.dict"
LONGEST = 4096
"""Octets of an input."""


def main() -> int:
    """Do as the command line says; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("command", choices=["run", "keep", "try"])
    parser.add_argument("target", choices=NAMES)
    parser.add_argument("path", type=Path, help="a folder; to try, an input")
    parser.add_argument("seconds", type=int, nargs="?", default=60)
    asked = parser.parse_args()
    if asked.command == "try":
        check_of(asked.target)(asked.path.read_bytes())
        return 0
    found = asked.path / "found"
    found.mkdir(parents=True, exist_ok=True)
    if asked.command == "keep":
        before, after = keep(asked.target, found)
        print(f"{asked.target}: {after} inputs kept, before {before}")  # noqa: T201 - its answer
        return 0
    return _run(asked.target, asked.seconds, asked.path)


def _run(target: str, seconds: int, folder: Path) -> int:
    try:
        atheris = importlib.import_module("atheris")
    except ImportError:
        print("No atheris here: Hypothesis tries inputs instead, blindly.")  # noqa: T201 - aloud
        return _by_hypothesis(target, seconds, folder)
    return _by_atheris(atheris, target, seconds, folder)


def _by_atheris(atheris: Any, target: str, seconds: int, folder: Path) -> NoReturn:
    """Let libFuzzer lead; it ends the process itself."""
    with atheris.instrument_imports(include=["filtermail", "relay"]):
        check = check_of(target)
    known = CORPUS / target
    arguments = [sys.argv[0], str(folder / "found"), *([str(known)] if known.is_dir() else [])]
    arguments += [
        f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-artifact_prefix={folder}/",
        f"-dict={TOKENS}", "-timeout=30", "-rss_limit_mb=1024", "-print_final_stats=1",
    ]  # fmt: skip
    atheris.Setup(arguments, check)
    atheris.Fuzz()
    raise AssertionError("libFuzzer does not come back")


def _by_hypothesis(target: str, seconds: int, folder: Path) -> int:
    check, end, last, count = check_of(target), time.monotonic() + seconds, b"", 0

    @settings(
        max_examples=500, deadline=None, database=None, phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(inputs())
    def attempt(data: bytes) -> None:
        nonlocal last, count
        last, count = data, count + 1
        check(data)

    while time.monotonic() < end:
        try:
            attempt()
        except Exception:
            # Hypothesis calls the shortest input that fails last of all.
            place = folder / "crash-by-hypothesis"
            place.write_bytes(last)
            print(f"The input is in {place}")  # noqa: T201 - its answer
            raise
    print(f"Done {count} runs in {seconds} second(s)")  # noqa: T201 - its answer
    return 0


if __name__ == "__main__":
    sys.exit(main())
