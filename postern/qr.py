"""QR codes on a terminal, in colours of their own: dark on light whatever the terminal's are."""

_DARK_ON_LIGHT, _PLAIN = "\033[38;5;16;48;5;231m", "\033[0m"
_HALVES = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}
QUIET_ZONE = 2
"""Modules of margin. ISO 18004 says 4; readers do with 2, and a login's code fits 24 lines."""


def qr_code(text: str) -> str:
    """The lines of a QR code, two modules per character cell."""
    import segno

    # The least correction: a screen is clean, and small codes fit on it.
    code = segno.make(text, error="l", boost_error=False, micro=False)
    rows = [[bool(module) for module in row] for row in code.matrix_iter(border=QUIET_ZONE)]
    if len(rows) % 2:
        rows.append([False] * len(rows[0]))
    lines = (
        "".join(_HALVES[pair] for pair in zip(upper, lower, strict=True))
        for upper, lower in zip(rows[::2], rows[1::2], strict=True)
    )
    return "".join(f"{_DARK_ON_LIGHT}{line}{_PLAIN}\n" for line in lines)
