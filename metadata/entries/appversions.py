"""The METADATA entry `appversions`: a file that the operator provides, as one line of JSON."""

import asyncio
import json
from typing import Any

from metadata.entries.operatorfile import OperatorFile, Trouble
from relay.config import Config

MAX_OCTETS = 48 * 1024
"""Dovecot reads answers of up to 64 KiB."""


class AppVersions:
    """Answers the entry, and reports its trouble."""

    def __init__(self, config: Config) -> None:
        path = config.appversions_path
        self._file = None if path is None else OperatorFile(path, MAX_OCTETS, _line)
        self._trouble = Trouble("appversions")

    async def entry(self) -> str | None:
        """Return the answer to clients, None if there is none."""
        if self._file is None:
            return None
        try:
            line = await asyncio.to_thread(self._file.read)
        except OSError as error:
            self._trouble.report(f"appversions_path: {error.strerror or type(error).__name__}")
        except ValueError:
            self._trouble.report(
                f"appversions_path is not a JSON object of at most {MAX_OCTETS} octets"
            )
        else:
            self._trouble.over()
            return line
        return None


def _line(content: bytes) -> str:
    """Return the JSON object in `content` without white space; raises ValueError."""
    try:
        versions = json.loads(content, parse_constant=_refused)
    except RecursionError:
        raise ValueError("too deep") from None
    if not isinstance(versions, dict):
        raise ValueError("no object")  # noqa: TRY004 - a file has values, no types
    # Lone surrogates, which JSON can name, have no place on the wire.
    line = json.dumps(versions, separators=(",", ":"), ensure_ascii=False)
    if len(line.encode()) > MAX_OCTETS:
        raise ValueError("too long")
    return line


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
