"""The result of a benchmark: verdicts on its targets, tables, and JSON."""

from typing import Any

import msgspec

from bench.figures import Verdict
from bench.report import Table


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """The base of every result; each benchmark adds its figures, its targets and its tables."""

    not_run: str = ""
    """Which part could not be measured here, and why; empty if none was left out."""

    def verdicts(self) -> list[Verdict]:
        """The targets."""
        raise NotImplementedError

    def tables(self) -> list[Table]:
        """Everything that was measured, the targets first."""
        raise NotImplementedError

    def as_json(self) -> dict[str, Any]:
        """Everything that was measured, as values that json can write."""
        values: dict[str, Any] = msgspec.to_builtins(self, str_keys=True)
        values["targets"] = [
            {**msgspec.to_builtins(verdict), "reached": verdict.reached}
            for verdict in self.verdicts()
        ]
        return values
