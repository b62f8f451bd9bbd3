"""Figures in words and units for a person. Pure."""

import math

from postern.status.figures import Figure, Spread

_TIMES = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (0.001, "ms"))
_SIZES = ((float(1 << 30), "GiB"), (float(1 << 20), "MiB"), (float(1 << 10), "KiB"))


def value(figure: Figure) -> str:
    """A figure's value with its unit, which the end of its name tells (`_seconds`, `_bytes`)."""
    if not isinstance(figure.value, Spread):
        return _amount(figure.name, figure.value)
    spread = figure.value
    parts = [f"{spread.count:,}"]
    for percent, bound in spread.percentiles.items():
        told = "above all bounds" if math.isinf(bound) else _amount(figure.name, bound)
        parts.append(f"{percent} % {told}")
    return ", ".join(parts)


def labels(figure: Figure) -> str:
    """What tells a figure from others of its name."""
    return ", ".join(value.replace("_", " ") for value in figure.labels.values())


def _amount(name: str, number: float) -> str:
    if math.isnan(number) or math.isinf(number):
        return "unknown"
    if name.endswith("_seconds"):
        return _in_units(number, _TIMES, "s")
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
