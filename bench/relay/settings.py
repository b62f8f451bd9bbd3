"""The settings that a message's processor time depends on, each against the relay without it.

Each variant takes one decision back. It runs in a sandbox beside the relay as it is, and both are
loaded at the same time, so that whatever else the machine does falls on both.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable, Sequence

import msgspec
import uvloop

from bench.figures import Ratio, ratio
from bench.problem import BenchProblem
from bench.relay.load import Load, deliver
from bench.relay.stand import relay
from sandbox.layout import Layout


class Edit(msgspec.Struct, frozen=True):
    """A replacement in one of a sandbox's files: a regular expression, and the text for it."""

    file: str
    old: str
    new: str


class Variant(msgspec.Struct, frozen=True):
    """A relay that differs in one setting."""

    name: str
    load: Load
    edits: Sequence[Edit]


_SLOW = Load(size=1500, messages=80, kept=True, per_s=5)
_LARGE = Load(size=1_000_000, messages=24, kept=True)
VARIANTS = (
    Variant(
        "LMTP connections not kept, at 5 messages/s",
        _SLOW,
        [Edit("postfix/main.cf", "lmtp_connection_cache_destinations = static:all", "")],
    ),
    Variant(
        "a process for each IMAP session, at 5 messages/s",
        _SLOW,
        [
            Edit(
                "dovecot/dovecot.conf",
                r"service_count = 1000|service_restart_request_count = 1000",
                "",
            )
        ],
    ),
    Variant(
        "gz in place of zstd, at 1 MB",
        _LARGE,
        [
            Edit(
                "dovecot/dovecot.conf",
                r"(zlib_save|mail_compress_write_method) = zstd",
                r"\1 = gz",
            )
        ],
    ),
)


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """A variant's processor time per message beside the relay's own, over several rounds."""

    name: str
    load: Load
    plain: list[float]
    """Milliseconds, one value per round."""
    varied: list[float]

    @property
    def cpu(self) -> Ratio:
        """The variant's of the relay's."""
        return ratio(self.varied, self.plain)


def compare(variant: Variant, rounds: int) -> Compared:
    """Load a relay and its variant at the same time. Raises BenchProblem."""
    with contextlib.ExitStack() as stack:
        plain, varied = (
            stack.enter_context(relay(adapt))
            for adapt in (lambda _layout: None, adaptation(variant.edits))
        )

        async def both() -> tuple[float, float]:
            loads = (deliver(sandbox, variant.load) for sandbox in (plain, varied))
            one, other = await asyncio.gather(*loads)
            return one.cpu_ms, other.cpu_ms

        pairs = [uvloop.run(both()) for _ in range(rounds)]
    return Compared(
        name=variant.name,
        load=variant.load,
        plain=[pair[0] for pair in pairs],
        varied=[pair[1] for pair in pairs],
    )


def adaptation(edits: Sequence[Edit]) -> Callable[[Layout], None]:
    """Return what changes a sandbox's files so; raises BenchProblem where a text is not there."""

    def adapt(layout: Layout) -> None:
        for edit in edits:
            path = layout.root / edit.file
            text, found = re.subn(edit.old, edit.new, path.read_text())
            if not found:
                raise BenchProblem(f"{edit.file} has nothing like {edit.old!r}")
            path.write_text(text)

    return adapt
