"""After mail, logins and refusals no address and no client's IP is left outside the mailboxes."""

import json
import smtplib

import pytest

from sandbox import letters
from sandbox.login import Login
from tests.hosts.relay import CONFIG, DOMAIN, PORTS, Relay
from tests.support import poll

ACCOUNTS, MESSAGES = 20, 500
PENDING = "metadata_pushes_owed"


def test_nothing_names_anybody(relay: Relay) -> None:
    logins = [relay.login() for _ in range(ACCOUNTS)]
    for login in logins:
        with relay.imap(login) as imap:
            imap.set_metadata("INBOX", "/private/devicetoken", f"token-of-{login.address}")
    for number in range(ACCOUNTS):
        chat(relay, logins[number], logins, MESSAGES // ACCOUNTS)
    refused(relay, logins[0])
    queue_is_empty(relay)
    names = [login.address.partition("@")[0] for login in logins]
    words = [*names, relay.host.network.here]
    poll(lambda: pushes_are_delivered(relay), "the delivery of all pushes")
    # That is where the host knows the push gateway of the tests from, and Postfix' copy of it.
    assert set(found_on_disk(relay, words)) - {"/var/spool/postfix/etc/hosts"} == {"/etc/hosts"}
    assert found_in_journal(relay, words) == []


def pushes_are_delivered(relay: Relay) -> bool:
    """As the metadata service says; what it has delivered is overwritten."""
    said = relay.host.run("postern", "status", "--json", "--config", CONFIG, check=False)
    figures = json.loads(said)["parts"]["metadata"]["figures"]
    (pending,) = [each["value"] for each in figures if each["name"] == PENDING]
    return bool(pending == 0)


def chat(relay: Relay, sender: Login, logins: list[Login], count: int) -> None:
    with relay.smtp(sender) as smtp:
        for number in range(count):
            receiver = logins[number % len(logins)].address
            letter = letters.encrypted(sender.address)
            assert smtp.transact(sender.address, [receiver], letter)[0] == 250


def refused(relay: Relay, login: Login) -> None:
    """Cleartext, a wrong password, a stranger's letter to nobody."""
    with relay.smtp(login) as smtp:
        smtp.transact(login.address, [login.address], letters.cleartext(login.address))
    with pytest.raises(smtplib.SMTPAuthenticationError):
        relay.smtp(Login(login.address, "a-wrong-password-of-theirs"))
    with smtplib.SMTP(relay.address, PORTS["smtp"], timeout=30) as smtp:
        smtp.mail("someone@far.example")
        smtp.rcpt(f"nobody999@{DOMAIN}")


def queue_is_empty(relay: Relay) -> None:
    relay.host.shell(
        "for i in $(seq 100); do"
        ' [ -z "$(postqueue -j)" ] && exit 0; sleep 0.2;'
        " done; postqueue -p; exit 1"
    )


def found_on_disk(relay: Relay, words: list[str]) -> list[str]:
    """Files that have one of the words in them, or in their own name.

    Not the mailboxes, and not what is in memory only: the mail servers' complaints of a day.
    """
    relay.host.write("/run/words", "\n".join(words) + "\n")
    return relay.host.shell(
        "for place in /etc /home /opt /root /srv /tmp /usr/local /var; do"
        " grep -rlaF -f /run/words $place --exclude-dir=mail 2>/dev/null || true; done;"
        "find / -xdev -path /home/vmail -prune -o -path /proc -prune -o -print |"
        " grep -F -f /run/words || true"
    ).split()


def found_in_journal(relay: Relay, words: list[str]) -> list[str]:
    """Lines of the system's own journal."""
    said = relay.host.journal("--output=cat")
    return [line for line in said.splitlines() if any(word in line for word in words)]
