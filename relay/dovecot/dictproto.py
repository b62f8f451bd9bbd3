r"""The Dovecot dict protocol, server side, without any I/O: bytes in, events out.

Theory of operation. Dovecot's `proxy` dict driver writes one command a line; the first
character is the command, the rest are fields separated by tabs. Within a field the bytes NUL,
\x01, tab, CR and LF are written as \x01 followed by one of `01trn` (Dovecot: lib/strescape.h).
Lookups and iterations are answered at once, in the order asked. Changes come in transactions:
begin, any number of set and unset, then commit or roll back; ids are the client's and several
may be open at a time. So the machine keeps open transactions, and a caller sees a transaction
only as one `Commit` event that carries its changes: what was rolled back never shows.

The user of a command is in the command itself (Dovecot >= 2.3.17) or, before that, in the
hello line. Source: Dovecot src/lib-dict/dict-client.h and dict-client.c of 2.3.19;
captured from 2.3.19 and 2.4.1.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

MAX_LINE = 64 * 1024 + 1024
"""Octets of a line: Dovecot's DICT_CLIENT_MAX_LINE_LENGTH, and room for what escaping adds."""
MAX_OPEN = 256
"""Transactions open at a time on one connection."""
MAX_CHANGES = 1024
"""Changes in one transaction."""
MAX_OCTETS = 1 << 20
"""Octets of keys and values in all open transactions of one connection."""
MAJOR_VERSIONS = ("2", "3", "4")
"""What Dovecot speaks: 2 from 2.1 on; 3 from 2.3.17 on, which names the user in each command; 4 in
2.4, where a transaction may also carry a time after which its values expire (always 0 here)."""


class ProtocolError(Exception):
    """The peer does not speak the dict protocol; the connection is to be closed.

    The message names the fault, never the peer's data.
    """


@dataclass(frozen=True, slots=True)
class Lookup:
    """Dovecot asks for the value of `key`, on behalf of `user` (empty: of no one)."""

    key: str
    user: str


@dataclass(frozen=True, slots=True)
class Iterate:
    """Dovecot asks for all keys under `path`, at most `max_rows` of them (0: all)."""

    path: str
    flags: int
    max_rows: int
    user: str


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a transaction; `value` is None for an unset."""

    key: str
    value: str | None

    @property
    def size(self) -> int:
        """What it counts for towards `MAX_OCTETS`, however empty it is."""
        return 64 + len(self.key) + len(self.value or "")


@dataclass(frozen=True, slots=True)
class Commit:
    """A transaction is to take effect, all of it or nothing."""

    id: str
    user: str
    changes: tuple[Change, ...]
    asynchronous: bool = False


Event = Lookup | Iterate | Commit

_UNESCAPES = {b"\x010": b"\0", b"\x011": b"\x01", b"\x01t": b"\t", b"\x01r": b"\r", b"\x01n": b"\n"}
_ESCAPES = {plain: escaped for escaped, plain in _UNESCAPES.items()}
_ESCAPED = re.compile(rb"\x01(?:.|$)", re.DOTALL)
_SPECIAL = re.compile(rb"[\0\x01\t\r\n]")


def unescape(raw: bytes) -> str:
    """A field's text; bytes that are not UTF-8 survive as surrogates. Raises ProtocolError."""
    if b"\x01" in raw:
        try:
            raw = _ESCAPED.sub(lambda match: _UNESCAPES[match[0]], raw)
        except KeyError:
            raise ProtocolError("an escape that is none of 0 1 t r n") from None
    return raw.decode("utf-8", "surrogateescape")


def escape(text: str) -> bytes:
    """The form of `text` that may stand in a field."""
    raw = text.encode("utf-8", "surrogateescape")
    return _SPECIAL.sub(lambda match: _ESCAPES[match[0]], raw)


@dataclass(slots=True)
class _Transaction:
    user: str
    changes: list[Change] = field(default_factory=list)


class DictConnection:
    """One connection's state. Feed it what arrives and answer the events in their order."""

    def __init__(self) -> None:
        self._partial = bytearray()
        self._user: str | None = None
        self._open: dict[str, _Transaction] = {}
        self._octets = 0

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes; raises ProtocolError, after which the peer is lost."""
        *lines, rest = data.split(b"\n")
        if lines and self._partial:
            lines[0] = bytes(self._partial) + lines[0]
            self._partial.clear()
        self._partial += rest
        if max(map(len, lines), default=0) > MAX_LINE or len(self._partial) > MAX_LINE:
            raise ProtocolError(f"a line of more than {MAX_LINE} octets")
        return [event for line in lines if (event := self._line(line)) is not None]

    def _line(self, line: bytes) -> Event | None:
        command, fields = line[:1], [unescape(raw) for raw in line[1:].split(b"\t")]
        if self._user is None:
            if command != b"H":
                raise ProtocolError("no hello before the first command")
            self._hello(fields)
            return None
        if command in _NOTHING_TO_DO:
            return None
        try:
            minimum, handle = _COMMANDS[command]
        except KeyError:
            raise ProtocolError("an unknown command") from None
        if len(fields) < minimum:
            raise ProtocolError("a command with too few fields")
        return handle(self, fields)

    def _hello(self, fields: list[str]) -> None:
        # major, minor, value type, user, dict name
        if len(fields) < 4:
            raise ProtocolError("a hello with too few fields")
        if fields[0] not in MAJOR_VERSIONS:
            raise ProtocolError(f"a major version other than {', '.join(MAJOR_VERSIONS)}")
        self._user = fields[3]

    def _user_in(self, fields: list[str], index: int) -> str:
        assert self._user is not None
        return fields[index] if len(fields) > index else self._user

    def _lookup(self, fields: list[str]) -> Lookup:
        return Lookup(fields[0], self._user_in(fields, 1))

    def _iterate(self, fields: list[str]) -> Iterate:
        try:
            flags, max_rows = int(fields[0]), int(fields[1])
        except ValueError:
            raise ProtocolError("an iteration whose flags are no number") from None
        return Iterate(fields[2], flags, max(max_rows, 0), self._user_in(fields, 3))

    def _begin(self, fields: list[str]) -> None:
        identity = fields[0]
        if identity in self._open:
            raise ProtocolError("a transaction that is already open")
        if len(self._open) >= MAX_OPEN:
            raise ProtocolError(f"more than {MAX_OPEN} open transactions")
        self._open[identity] = _Transaction(self._user_in(fields, 1))

    def _set(self, fields: list[str]) -> None:
        self._change(fields[0], Change(fields[1], fields[2]))

    def _unset(self, fields: list[str]) -> None:
        self._change(fields[0], Change(fields[1], None))

    def _change(self, identity: str, change: Change) -> None:
        transaction = self._open.get(identity)
        if transaction is None:
            raise ProtocolError("a change outside a transaction")
        if len(transaction.changes) >= MAX_CHANGES:
            raise ProtocolError(f"more than {MAX_CHANGES} changes in a transaction")
        self._octets += change.size
        if self._octets > MAX_OCTETS:
            raise ProtocolError(f"more than {MAX_OCTETS} octets in open transactions")
        transaction.changes.append(change)

    def _take(self, identity: str) -> _Transaction:
        try:
            done = self._open.pop(identity)
        except KeyError:
            raise ProtocolError("the end of a transaction that is not open") from None
        self._octets -= sum(change.size for change in done.changes)
        return done

    def _rollback(self, fields: list[str]) -> None:
        self._take(fields[0])

    def _commit(self, fields: list[str]) -> Commit:
        done = self._take(fields[0])
        return Commit(fields[0], done.user, tuple(done.changes))

    def _commit_async(self, fields: list[str]) -> Commit:
        done = self._take(fields[0])
        return Commit(fields[0], done.user, tuple(done.changes), asynchronous=True)


# A time for the changes, and whether to log them: nothing that we keep.
_NOTHING_TO_DO = (b"T", b"V")
# Command: least number of fields, what it does.
_COMMANDS: dict[bytes, tuple[int, Callable[[DictConnection, list[str]], Event | None]]] = {
    b"L": (1, DictConnection._lookup),
    b"I": (3, DictConnection._iterate),
    b"B": (1, DictConnection._begin),
    b"S": (3, DictConnection._set),
    b"U": (2, DictConnection._unset),
    b"R": (1, DictConnection._rollback),
    b"C": (1, DictConnection._commit),
    b"D": (1, DictConnection._commit_async),
}


def found(value: str) -> bytes:
    """The answer to a lookup: its value."""
    return b"O" + escape(value) + b"\n"


NOT_FOUND = b"N\n"
"""The answer to a lookup of what is not there."""


def failed(reason: str) -> bytes:
    """The answer to a lookup or iteration that could not be done now: a temporary failure."""
    return b"F" + escape(reason) + b"\n"


def row(key: str, value: str) -> bytes:
    """One row of an iteration's answer."""
    return b"O" + escape(key) + b"\t" + escape(value) + b"\n"


END_OF_ROWS = b"\n"
"""What ends an iteration's rows."""


def committed(commit: Commit) -> bytes:
    """The answer to a commit that took effect."""
    return (b"A" if commit.asynchronous else b"") + b"O" + escape(commit.id) + b"\n"


def commit_failed(commit: Commit, reason: str) -> bytes:
    """The answer to a commit that did not take effect."""
    prefix = b"A" if commit.asynchronous else b""
    return prefix + b"F" + escape(commit.id) + b"\t" + escape(reason) + b"\n"
