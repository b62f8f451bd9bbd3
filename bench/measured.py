"""What every benchmark's result has: verdicts on its targets, tables, and a form for machines."""

from typing import Any

import msgspec

from bench.figures import Verdict
from bench.report import Table


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What a run has measured; each benchmark adds its figures, its targets and its tables."""

    not_run: str = ""
    """What could not be measured here, and why; empty where nothing was left out."""

    def verdicts(self) -> list[Verdict]:
        """The targets."""
        raise NotImplementedError

    def tables(self) -> list[Table]:
        """All that was measured, the targets first."""
        raise NotImplementedError

    def as_json(self) -> dict[str, Any]:
        """All that was measured, for machines."""
        told: dict[str, Any] = msgspec.to_builtins(self, str_keys=True)
        told["targets"] = [
            {**msgspec.to_builtins(verdict), "reached": verdict.reached}
            for verdict in self.verdicts()
        ]
        return told
