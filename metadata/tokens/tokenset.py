"""The push tokens of one address, and the text that they are stored as. Pure.

The file is that of existing chatmail relays: a JSON object whose `devicetoken` maps each token
to the second it was last set. Before, it was a plain list of tokens. What else the object holds
is kept as it is.
"""

import json
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

LIFETIME = 90 * 86400
"""Seconds that a token is good for after it was last set."""
MAX_LENGTH = 4096
"""Characters of a token."""
MAX_TOKENS = 32
"""Tokens of an address; its oldest make room."""
MAX_TOTAL = 60_000
"""Octets of all tokens of an address: they go to Dovecot on one line, which ends at 64 KiB."""

_KEY = "devicetoken"


class InvalidToken(ValueError):
    """The text cannot be a token. Its message never repeats the text."""


class CorruptTokens(ValueError):
    """The stored text is not what this module writes. Its message never repeats the text."""


def check(token: str) -> None:
    """Raise InvalidToken for what cannot be stored, or be told apart once joined by spaces."""
    if not token or token.isspace():
        raise InvalidToken("a device token is not blank")
    if len(token) > MAX_LENGTH:
        raise InvalidToken(f"a device token has at most {MAX_LENGTH} characters")
    if " " in token or not token.isprintable():
        raise InvalidToken("a device token has neither blanks nor control characters")


@dataclass(frozen=True, slots=True)
class TokenSet:
    """Tokens, each with the second since the epoch at which it was last set."""

    times: Mapping[str, int] = field(default_factory=dict)
    others: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, undated: int) -> "TokenSet":
        """Read what is stored; raises CorruptTokens.

        `undated` is the time to take for tokens of the old form, which has none. What could not be
        set is no token, whoever stored it; of too many, the oldest go.
        """
        try:
            stored = json.loads(text)
        except (ValueError, RecursionError):
            raise CorruptTokens("it is not JSON") from None
        if not isinstance(stored, dict):
            raise CorruptTokens("it is no JSON object")
        tokens = stored.pop(_KEY, {})
        if isinstance(tokens, list) and all(isinstance(token, str) for token in tokens):
            tokens = dict.fromkeys(tokens, undated)
        if not isinstance(tokens, dict) or not all(map(_is_time, tokens.values())):
            raise CorruptTokens("its device tokens are no map of tokens to times")
        times = {token: int(time) for token, time in tokens.items() if _is_token(token)}
        return cls(_limited(times), stored)

    def serialise(self) -> str:
        """The text to store."""
        return json.dumps({**self.others, _KEY: dict(self.times)})

    def add(self, token: str, now: int) -> "TokenSet":
        """With `token` set at `now`, and without what is out of date; raises InvalidToken."""
        check(token)
        times = {other: self.times[other] for other in self.valid(now)}
        times[token] = now
        return replace(self, times=_limited(times, keep=token))

    def remove(self, token: str) -> "TokenSet":
        """Without `token`."""
        return replace(self, times={k: v for k, v in self.times.items() if k != token})

    def valid(self, now: int) -> tuple[str, ...]:
        """The tokens that still hold at `now`, in the order they first came."""
        return tuple(token for token, time in self.times.items() if now - time < LIFETIME)


def _is_token(text: str) -> bool:
    try:
        check(text)
    except InvalidToken:
        return False
    return True


def _limited(times: dict[str, int], keep: str | None = None) -> dict[str, int]:
    """As many as an address may have, the newest and `keep`."""
    if len(times) <= MAX_TOKENS and _octets(times) <= MAX_TOTAL:
        return times
    # Of those that were set in the same second, the later ones in the file are newer.
    newest = list(times)[::-1]
    newest.sort(key=lambda token: (token == keep, times[token]), reverse=True)
    room = list(accumulate(len(token.encode()) + 1 for token in newest))
    kept = set(newest[: min(MAX_TOKENS, bisect_right(room, MAX_TOTAL))])
    return {token: time for token, time in times.items() if token in kept}


def _is_time(value: object) -> bool:
    # JSON knows Infinity and NaN in Python's reading: neither is a time.
    return isinstance(value, int | float) and abs(value) < 1e15


def _octets(times: Mapping[str, int]) -> int:
    return sum(len(token.encode()) + 1 for token in times)
