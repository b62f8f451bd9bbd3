"""The outcome of a check, and how it is shown. Pure."""

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

WIDTH = 79


class Outcome(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    """The installation goes on."""
    ERROR = "error"
    """It stops, unless the check is skipped."""
    SKIPPED = "skipped"
    """Nothing could be found out, or the operator does not want to know."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check has found."""

    check: str
    """Its name, for `--skip`."""
    outcome: Outcome
    said: str
    """One line: what is so."""
    text: str = ""
    """What it means, what breaks, and what to do; empty for OK."""


def stops(findings: Iterable[Finding]) -> bool:
    """Whether an installation must not go on."""
    return any(finding.outcome is Outcome.ERROR for finding in findings)


def in_words(finding: Finding) -> str:
    """A line that ends in OK, or a line and a short paragraph."""
    if finding.outcome is Outcome.OK:
        return f"{finding.check}: {finding.said} OK"
    line = f"{finding.check}: {finding.said} {finding.outcome.upper()}"
    if not finding.text:
        return line
    text = finding.text
    if finding.outcome is Outcome.ERROR:
        text += f" (--skip {finding.check} goes on regardless.)"
    wrapped = textwrap.fill(
        text, WIDTH, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False
    )
    return f"{line}\n{wrapped}"
