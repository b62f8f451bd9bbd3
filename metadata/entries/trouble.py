"""Warns of what keeps an entry from being answered, once and not each time a client asks."""

import logging

log = logging.getLogger(__name__)


class Trouble:
    """The trouble of one METADATA entry; its texts hold no secret and name nobody."""

    def __init__(self, entry: str) -> None:
        self._entry = entry
        self._last = ""

    def report(self, what: str) -> None:
        """Warn, unless this very trouble was the last that was told of."""
        if what != self._last:
            log.warning("METADATA entry %s is in trouble: %s", self._entry, what)
        self._last = what

    def over(self) -> None:
        """All is well: the next trouble is news again."""
        if self._last:
            log.info("METADATA entry %s is well again", self._entry)
        self._last = ""
