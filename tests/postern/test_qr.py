"""QR codes for terminals of any colours and of 24 lines."""

import re

from postern.qr import qr_code
from sandbox.login import fresh_login


def test_a_sandbox_login_fits_24_lines_and_sets_its_colours() -> None:
    lines = qr_code(fresh_login("[127.0.0.1]").link({"imaps": 10993, "smtps": 10465})).splitlines()
    assert len(lines) < 24
    for line in lines:
        match = re.fullmatch("\033\\[38;5;16;48;5;231m([ ▀▄█]+)\033\\[0m", line)
        assert match
        assert len(match[1]) < 80
        assert match[1].startswith("  "), "no quiet zone"
