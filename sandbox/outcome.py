"""How one step of a check went."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """A step's result; `seconds` is how long it took."""

    title: str
    ok: bool
    seconds: float
    detail: str = ""
