"""Checks of the host itself. Pure."""

from postern.host.preflight.facts import Facts
from postern.host.preflight.findings import Finding, Outcome

RELEASES = {"12": "bookworm", "13": "trixie"}
ARCHITECTURES = ("x86_64", "aarch64")
"""Those that our libraries are ready-made for."""
MB = 1 << 20
LEAST_MEMORY = 400 * MB
"""What a host sold with 512 MB shows at least; the whole relay takes some 200 MB."""
LEAST_DISK, GOOD_DISK = 1 << 30, 3 << 30
"""An installation takes 400 MB, and accounts are refused below `min_free_disk_space` (1 GB)."""
FAR_CLOCK, OFF_CLOCK = 300.0, 30.0
"""Seconds that a clock may be wrong: before TLS and ACME fail, and before it is worth a word."""
PORTS = {25: "SMTP", 80: "HTTP", 143: "IMAP", 443: "HTTPS", 465: "submission", 587: "submission"}
PORTS |= {993: "IMAP"}
OURS = ("master", "smtpd", "dovecot", "imap-login", "nginx", "systemd", "init")
"""Processes that listen on these ports on a host that is a relay already."""


def release(facts: Facts) -> Finding:
    """Debian 12 or 13, with systemd, on a processor that libraries are ready-made for."""
    check, system = "release", facts.system
    said = f"{system.name} on {system.architecture}"
    if system.id != "debian" or system.version not in RELEASES:
        text = (
            "A relay is made of the Postfix and Dovecot of Debian 12 or 13; other versions read "
            "other configurations. Install Debian 13 on this host, or rent one that has it."
        )
        return Finding(check, Outcome.ERROR, said, text)
    if system.architecture not in ARCHITECTURES:
        text = (
            f"Python's libraries are ready-made for {' and '.join(ARCHITECTURES)} only, so that "
            "the installation would have to compile them and fail. Take a host with one of these."
        )
        return Finding(check, Outcome.ERROR, said, text)
    if not system.has_systemd:
        text = (
            "systemd does not run here, as in many containers, and it is what starts and guards "
            "the relay. Use a virtual machine, or a container that boots systemd."
        )
        return Finding(check, Outcome.ERROR, f"{said}, without systemd", text)
    return Finding(check, Outcome.OK, said)


def memory(facts: Facts) -> Finding:
    """Enough memory for the relay and some hundred clients."""
    said = f"{facts.memory // MB:,} MB"
    if facts.memory < LEAST_MEMORY:
        text = (
            "The relay takes some 200 MB at rest, and each hundred clients a few more. With so "
            "little the kernel ends Dovecot or a daemon of ours under load, and mail waits. Take "
            "a host with 512 MB or more."
        )
        return Finding("memory", Outcome.ERROR, said, text)
    return Finding("memory", Outcome.OK, said)


def disk(facts: Facts) -> Finding:
    """Room for the programs and for mail."""
    least = min(facts.disks, key=lambda each: each.free)
    said = f"{least.free // MB:,} MB free at {least.path}"
    if least.free < LEAST_DISK:
        text = (
            "The installation takes some 400 MB, and below 1 GB (min_free_disk_space) no account "
            "is made. Free some room, or take a larger disk."
        )
        return Finding("disk", Outcome.ERROR, said, text)
    if least.free < GOOD_DISK:
        text = (
            "It is enough to begin, but a hundred active accounts keep some gigabytes of mail "
            "(delete_mails_after and max_mailbox_size bound it). Plan for a larger disk."
        )
        return Finding("disk", Outcome.WARNING, said, text)
    return Finding("disk", Outcome.OK, said)


def clock(facts: Facts) -> Finding:
    """A clock that others agree with."""
    if not facts.clocks:
        text = "No server could be reached to compare it with."
        return Finding("clock", Outcome.SKIPPED, "not compared", text)
    # One server may be wrong: the reading that is best for this host counts.
    best = min(facts.clocks, key=lambda reading: abs(reading.offset))
    off = abs(best.offset)
    if off < OFF_CLOCK:
        return Finding("clock", Outcome.OK, f"as at {best.source}")
    way = "ahead of" if best.offset > 0 else "behind"
    said = f"{off:,.0f} s {way} {best.source}"
    text = (
        "Certificates are not valid yet or no longer for such a clock, signatures are dated "
        "wrongly, and messages are deleted too early or too late. Turn on time synchronisation: "
        "apt install systemd-timesyncd, then timedatectl set-ntp true."
    )
    return Finding("clock", Outcome.ERROR if off >= FAR_CLOCK else Outcome.WARNING, said, text)


def ports(facts: Facts) -> Finding:
    """The relay's ports, free or held by the relay itself."""
    taken = {
        each.port: each.process or "a process that cannot be seen"
        for each in facts.listeners
        if each.port in PORTS and not (facts.installed and each.process in OURS)
    }
    if not taken:
        return Finding("ports", Outcome.OK, ", ".join(map(str, sorted(PORTS))))
    said = ", ".join(f"{port} is taken by {process}" for port, process in sorted(taken.items()))
    uses = ", ".join(f"{port} for {PORTS[port]}" for port in sorted(taken))
    text = (
        f"The relay needs {uses}. Two programs cannot listen on one port, so that one of them "
        "would not start. Stop and disable the other program, or move it to another host."
    )
    return Finding("ports", Outcome.ERROR, said, text)


def mail_system(facts: Facts) -> Finding:
    """No other mail system that the installation would break."""
    if not facts.mail_systems:
        return Finding("mail-system", Outcome.OK, "no other one")
    text = (
        "The installation replaces the configuration of Postfix, Dovecot and nginx, so that what "
        "is there stops working. Take a host of its own for the relay; or, if nobody needs the "
        "other system, remove it with its packages (apt purge)."
    )
    return Finding("mail-system", Outcome.ERROR, ", ".join(facts.mail_systems), text)
