"""How long a small message takes beside senders of large ones."""

import msgspec

from bench.figures import Figures
from bench.filter.grid import SIZES
from bench.filter.stand import Server, Stand, summed_up

LARGE_SENDERS = 2
SMALL, LARGE = SIZES["1.5KB"], SIZES["30MB"]
_UNTIL_STOPPED = 600.0


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """Small messages one after the other, and the large ones that passed meanwhile.

    Processor time is known for both together only.
    """

    filtered: Figures
    alone: Figures
    """The same, straight into the sink."""
    large: Figures
    """The large messages through the filter."""


def measure(stand: Stand, seconds: float) -> Beside:
    """Send small messages for `seconds`, one connection each, beside two permanent senders."""
    with stand.sink() as sink:
        with stand.filter(sink.port) as tested:
            filtered, large = _together(stand, tested, seconds)
        alone, _ = _together(stand, sink, seconds)
    return Beside(filtered=filtered, alone=alone, large=large)


def _together(stand: Stand, target: Server, seconds: float) -> tuple[Figures, Figures]:
    order = stand.order(LARGE, [target], at_a_time=LARGE_SENDERS, seconds=_UNTIL_STOPPED)
    cpu = target.meter.cpu()
    with stand.sending(order) as process:
        small = stand.load(SMALL, target, at_a_time=1, seconds=seconds)
        (sent,) = stand.stop(process, order)
    return small, summed_up(sent, LARGE, target.meter.cpu() - cpu)
