"""What the checks judge. Pure: `look` fills it in. None is what could not be found out."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from postern.host.dns.answers import Answer, View

IPAddress = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class System:
    """What runs here, as os-release(5) and uname(2) name it."""

    id: str
    version: str
    name: str
    architecture: str
    has_systemd: bool
    """Whether systemd is the init system that runs."""


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system."""

    path: str
    free: int
    """Bytes that root can still write."""


@dataclass(frozen=True, slots=True)
class ClockReading:
    """How far this host's clock is from another one."""

    source: str
    offset: float
    """Seconds; positive where this host is ahead."""


@dataclass(frozen=True, slots=True)
class Listener:
    """A TCP port that is taken."""

    port: int
    address: str
    process: str
    """The name of the program; empty where it cannot be seen."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An attempt to reach another mail server."""

    server: str
    failure: str
    """Why it failed; empty if it answered as a mail server does."""
    tried: bool = True
    """False where its address is not known, so that nothing was tried."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What a block list says of one address."""

    block_list: str
    address: IPAddress
    answer: Answer
    """To the question for A records; none means that it is not listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that is judged."""

    domain: str
    installed: bool
    """Whether Postern is on this host already."""
    system: System
    memory: int
    """Bytes that programs here can have at most."""
    disks: tuple[Disk, ...]
    clocks: tuple[ClockReading, ...]
    """Empty where no server could be reached."""
    listeners: tuple[Listener, ...]
    host_name: str
    names: dict[str, tuple[str, ...]]
    """/etc/hosts: the addresses of each name."""
    local: tuple[IPAddress, ...]
    """Public addresses of this host, one per family: those that connections from here have."""
    others: tuple[IPAddress, ...]
    """Further ones."""
    views: tuple[View, ...]
    """The domain's A and AAAA, as the name servers and resolvers answer."""
    reverse: dict[IPAddress, Answer]
    """The PTR records of each public address."""
    outgoing: tuple[Outgoing, ...]
    ipv6_failure: str | None
    """Why nothing can be reached by IPv6; empty if something can; None without an address."""
    listings: tuple[Listing, ...]
    mail_systems: tuple[str, ...]
    """Other mail systems that were found, in words."""
