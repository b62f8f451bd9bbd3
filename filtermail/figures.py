"""What became of the messages of one instance, counted since its start.

The counts are written in Prometheus' text format by hand: its client library would be 4 MB of a
daemon of 25. No address and no text of a message is counted by, only the kind of the answer.
"""

from collections import Counter

from relay.smtp.reply import Reply

PASSED = "passed"
LATER = "sent_again_later"
"""Something of the relay's own failed, or Postfix could not take the message now."""
BY_POSTFIX = "refused_by_postfix"
REFUSALS = {
    450: "refused_too_many",
    523: "refused_not_encrypted",
    550: "refused_recipient_or_foreign_author",
    552: "refused_too_big",
    553: "refused_false_sender",
    554: "refused_malformed",
}
"""The kinds of refusals of our own, by the code of the answer."""
OTHERWISE = "refused_otherwise"
_NAME = "filtermail_messages_total"
_HEAD = f"# HELP {_NAME} Messages, by what became of them.\n# TYPE {_NAME} counter\n"


class Figures:
    """Counts outcomes; `rendered` shows them."""

    def __init__(self) -> None:
        self._counts = Counter(
            dict.fromkeys((PASSED, LATER, BY_POSTFIX, *REFUSALS.values(), OTHERWISE), 0)
        )

    def answered(self, reply: Reply) -> None:
        """Count a message by Postfix' own reply to it."""
        accepts = PASSED if reply.accepts else BY_POSTFIX
        self._counts[LATER if reply.code // 100 == 4 else accepts] += 1

    def refused(self, code: int) -> None:
        """Count a message that the filter refused with `code`."""
        self._counts[REFUSALS.get(code, OTHERWISE)] += 1

    def put_off(self) -> None:
        """Count a message that could not be passed on now."""
        self._counts[LATER] += 1

    def rendered(self) -> bytes:
        """All counts, in Prometheus' text format 0.0.4."""
        lines = (f'{_NAME}{{outcome="{name}"}} {n}\n' for name, n in self._counts.items())
        return (_HEAD + "".join(lines)).encode()
