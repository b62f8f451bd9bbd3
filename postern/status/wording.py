"""Figures in words and units for a person. Pure."""

import math
import re

from postern.status.figures import Figure, Spread

_TIMES = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (0.001, "ms"))
_SIZES = ((float(1 << 30), "GiB"), (float(1 << 20), "MiB"), (float(1 << 10), "KiB"))
_SHOWN = (50, 95)
"""Percentiles that a person is shown."""


def is_worth_showing(figure: Figure) -> bool:
    """Whether it says something: a count of nothing is left out, a gauge at 0 is not."""
    if isinstance(figure.value, Spread):
        return figure.value.count > 0
    return figure.value != 0 or not figure.is_count


def title(figure: Figure) -> str:
    """What it is, without the unit, which stands beside its value."""
    return re.split(", in (?:seconds|bytes)", figure.help.rstrip("."), maxsplit=1)[0]


def value(figure: Figure) -> str:
    """Its value with the unit, which the end of its name tells (`_seconds`, `_bytes`)."""
    if not isinstance(figure.value, Spread):
        return _amount(figure.name, figure.value)
    spread = figure.value
    parts = [f"{spread.count:,}"]
    for percent in _SHOWN:
        if percent in spread.percentiles:
            bound = spread.percentiles[percent]
            text = "beyond all bounds" if math.isinf(bound) else f"< {_amount(figure.name, bound)}"
            parts.append(f"{percent} % {text}")
    return ", ".join(parts)


def labels(figure: Figure) -> str:
    """What tells a figure from others of its name."""
    return ", ".join(value.replace("_", " ") for value in figure.labels.values())


def duration(seconds: float) -> str:
    """A time in the largest unit that fits."""
    return _in_units(seconds, _TIMES, "s")


def _amount(name: str, number: float) -> str:
    if math.isnan(number) or math.isinf(number):
        return "unknown"
    if name.endswith("_seconds"):
        return duration(number)
    if name.endswith("_bytes"):
        return _in_units(number, _SIZES, "B")
    return f"{number:,.0f}" if number == int(number) else f"{number:,.3g}"


def _in_units(number: float, units: tuple[tuple[float, str], ...], least: str) -> str:
    if number == 0:
        return f"0 {least}"
    for size, unit in units:
        if abs(number) >= size:
            return f"{number / size:.3g} {unit}"
    size, unit = units[-1]
    return f"{number / size:.2g} {unit}" if size < 1 else f"{number:.0f} {least}"
