"""`postern` as an operator types it, in this process: to start an interpreter takes long."""

import contextlib
import io
import sys
from typing import NamedTuple
from unittest import mock

from postern.__main__ import main


class Done(NamedTuple):
    """What a command has said, and how it ended."""

    returncode: int
    stdout: str
    stderr: str


def postern(*arguments: str, typed: str = "") -> Done:
    """Run `postern ARGUMENTS` with `typed` on its standard input; no stream is a terminal."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "argv", ["postern", *arguments]),
        mock.patch.object(sys, "stdin", io.StringIO(typed)),
    ):
        try:
            main()
        except SystemExit as end:
            if isinstance(end.code, str):
                # As the interpreter does it (sys.exit).
                print(end.code, file=err)
                code = 1
            else:
                code = end.code or 0
    return Done(code, out.getvalue(), err.getvalue())
