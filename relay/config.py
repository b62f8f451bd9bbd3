"""The configuration: one frozen structure read from `chatmail.ini`, section `[params]`.

Keys and defaults are those of existing chatmail relays, so that their file is read as it is;
the keys that only Postern knows stand at the end. A key is added in one place, the `Config`
structure: its annotation says how its text is read and what it allows.
"""

import contextlib
import ipaddress
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import iniconfig

from relay.address import Address, InvalidAddress, parse_domain

log = logging.getLogger(__name__)

SECTION = "params"
MAX_MESSAGE_SIZE = 31457280
"""Bytes, unless the file says otherwise."""
IGNORED = {
    "passthrough_senders": "a relay lets encrypted mail out only",
    "passthrough_recipients": "a relay lets encrypted mail out only",
}
"""Keys of old files that have no effect any more, and why."""


class ConfigError(Exception):
    """The file cannot be used; the message names file, line, key and what is allowed."""


class Kind(NamedTuple):
    """How the text of a value is read, and in words what is allowed."""

    parse: Callable[[str], Any]
    allowed: str


def _number(low: int, high: int | None = None) -> Kind:
    def parse(text: str) -> int:
        value = int(text)
        if value < low or (high is not None and value > high):
            raise ValueError(text)
        return value

    return Kind(parse, f"a whole number from {low}" + (f" to {high}" if high is not None else ""))


def _bytes(text: str) -> int:
    match = re.fullmatch(r"([0-9]+)\s*([KMGT]?)B?", text, re.IGNORECASE)
    if match is None:
        raise ValueError(text)
    return int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[match[2].upper()]


def _switch(text: str) -> bool:
    return {"true": True, "yes": True, "false": False, "no": False}[text.lower()]


def _load(text: str) -> float:
    value = float(text)
    if not 0 < value < 1_000_000:
        raise ValueError(text)
    return value


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError(text)
    return text


class Mend(ValueError):
    """A value that is not allowed, and what to write in its place."""


def _mail_domain(text: str) -> str:
    try:
        return f"[{ipaddress.IPv4Address(text)}]"  # as existing relays take a bare address
    except ValueError:
        domain = parse_domain(text)
    if not domain.isascii():
        # No address beyond ASCII can have a mailbox.
        with contextlib.suppress(UnicodeError):
            raise Mend(f"write it as {domain.encode('idna').decode('ascii')}")
        raise ValueError(text)
    return domain


def _address(text: str) -> str:
    Address.parse(text)
    if not text.isascii() or '"' in text:
        raise ValueError(text)
    return text


def _one_of(*choices: str) -> Kind:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(text)
        return text

    return Kind(parse, " or ".join(choices))


def _path(text: str) -> Path:
    if not text.startswith("/") or "\0" in text:
        raise ValueError(text)
    return Path(text)


class CertificateFiles(NamedTuple):
    """A certificate chain and its private key, each a PEM file."""

    certificate: Path
    key: Path


def _certificate_files(text: str) -> CertificateFiles:
    certificate, key = (_path(word) for word in text.split())
    return CertificateFiles(certificate, key)


def _optional(kind: Kind) -> Kind:
    return Kind(lambda text: kind.parse(text) if text else None, kind.allowed + ", or nothing")


_COUNT = _number(1)
_DAYS = _number(1, 36500)
_PORT = _number(1, 65535)
_SIZE = Kind(_bytes, "a size such as 31457280, 500K, 30M or 1G")
_SWITCH = Kind(_switch, "true or false")
_TEXT = Kind(str, "any text")
_PATH = Kind(_path, "an absolute path")
_URL = Kind(_url, "an http:// or https:// URL")
_ADDRESS = Kind(_address, "a mail address such as operator@example.org")
_CERTIFICATE = Kind(
    _certificate_files,
    "two absolute paths, of a certificate chain and its key, with a blank between",
)
_DOMAIN = Kind(_mail_domain, "a host name or an address literal such as [192.0.2.1]")

Count = Annotated[int, _COUNT]
Days = Annotated[int, _DAYS]
Port = Annotated[int, _PORT]
Size = Annotated[int, _SIZE]
Switch = Annotated[bool, _SWITCH]
Text = Annotated[str, _TEXT]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A relay's configuration. Sizes are in bytes, times in the unit that the key names."""

    mail_domain: Annotated[str, _DOMAIN]
    max_user_send_per_minute: Count = 60
    max_user_send_burst_size: Count = 10
    max_mailbox_size: Size = 500 << 20
    max_message_size: Size = MAX_MESSAGE_SIZE
    delete_mails_after: Days = 20
    delete_large_after: Days = 7
    delete_inactive_users_after: Days = 90
    username_min_length: Annotated[int, _number(1, 64)] = 9
    username_max_length: Annotated[int, _number(1, 64)] = 9
    password_min_length: Count = 9
    max_load_1m: Annotated[float, Kind(_load, "a load average above 0, such as 5")] = 5.0
    min_available_memory: Size = 200 << 20
    min_free_disk_space: Size = 1 << 30
    max_imap_connections: Count = 10000
    max_smtp_connections: Count = 1000
    tls_external_cert_and_key: Annotated[CertificateFiles | None, _optional(_CERTIFICATE)] = None
    www_folder: Text = ""
    disable_ipv6: Switch = False
    acme_email: Text = ""
    iroh_relay: Annotated[str | None, _optional(_URL)] = None
    mtail_address: Text = ""
    imap_rawlog: Switch = False
    imap_compress: Switch = False
    privacy_postal: Text = ""
    privacy_mail: Text = ""
    privacy_pdo: Text = ""
    privacy_supervisor: Text = ""
    filtermail_smtp_port: Port = 10080
    filtermail_smtp_port_incoming: Port = 10081
    filtermail_http_port_incoming: Port = 10082
    filtermail_lmtp_port_transport: Port = 10083
    postfix_reinject_port: Port = 10025
    postfix_reinject_port_incoming: Port = 10026
    mailboxes_dir: Annotated[Path, _PATH]
    turn_socket_path: Annotated[Path | None, _optional(_PATH)] = None
    passdb_path: Annotated[Path | None, _optional(_PATH)] = None

    # Postern's own.
    operator_address: Annotated[str | None, _optional(_ADDRESS)] = None
    push_gateway: Annotated[str, _URL] = "https://notifications.delta.chat/notify"
    mailboxes_user: Annotated[str, Kind(str, "a user of this system")] = "vmail"
    nocreate_path: Annotated[Path, _PATH] = Path("/etc/chatmail-nocreate")
    appversions_path: Annotated[Path | None, _optional(_PATH)] = None
    max_smtp_recipients: Annotated[int, _number(1, 1000)] = 1000
    registration: Annotated[str, _one_of("open", "invite", "closed")] = "open"
    registration_state_dir: Annotated[Path, _PATH] = Path("/var/lib/doveauth")
    max_creations_per_hour_per_network: Count = 300
    network_prefix_ipv4: Annotated[int, _number(8, 32)] = 24
    network_prefix_ipv6: Annotated[int, _number(16, 128)] = 64
    push_max_in_flight: Annotated[int, _number(1, 1000)] = 100
    postfix_reinject_sockets: Annotated[Path | None, _optional(_PATH)] = None
    turn_secret_path: Annotated[Path | None, _optional(_PATH)] = None
    turn_port: Port = 3478
    acme_directory: Annotated[str, _URL] = "https://acme-v02.api.letsencrypt.org/directory"


def _kinds() -> dict[str, Kind]:
    """Each key's kind, out of the structure's annotations."""
    hints = get_type_hints(Config, include_extras=True)
    return {
        name: next(arg for arg in get_args(hint) if isinstance(arg, Kind))
        for name, hint in hints.items()
        if get_origin(hint) is Annotated
    }


KINDS = _kinds()


def read_config(path: Path) -> Config:
    """Read a configuration file; raises ConfigError. Keys without effect are logged as warnings."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None
    config, ignored = parse_config(text, str(path))
    for key in ignored:
        log.warning("%s: key %r is ignored: %s", path, key, IGNORED[key])
    return config


def parse_config(text: str, source: str) -> tuple[Config, list[str]]:
    """The configuration in `text` and its keys that are ignored; raises ConfigError.

    `source` names the file in errors.
    """
    ini = _parse_ini(text, source)
    values: dict[str, Any] = {}
    ignored = []
    for key, raw in ini[SECTION].items():
        place = f"{source}:{(ini.lineof(SECTION, key) or 0)}"
        if key in IGNORED:
            ignored.append(key)
        elif key not in KINDS:
            raise ConfigError(f"{place}: unknown key {key!r}; known are: {', '.join(KINDS)}")
        else:
            values[key] = _parse_value(place, key, raw.strip())
    if "mail_domain" not in values:
        raise ConfigError(f"{source}: key 'mail_domain' is missing: {_DOMAIN.allowed}")
    domain = values["mail_domain"]
    values.setdefault("mailboxes_dir", Path(f"/home/vmail/mail/{domain}"))
    config = Config(**values)
    if config.username_min_length > config.username_max_length:
        line = ini.lineof(SECTION, "username_min_length") or ini.lineof(
            SECTION, "username_max_length"
        )
        raise ConfigError(
            f"{source}:{line}: key 'username_min_length' is {config.username_min_length}: "
            f"at most username_max_length, which is {config.username_max_length}"
        )
    return config, ignored


def _parse_ini(text: str, source: str) -> iniconfig.IniConfig:
    try:
        ini = iniconfig.IniConfig(source, data=text)
    except iniconfig.ParseError as error:
        raise ConfigError(f"{source}:{error.lineno + 1}: {error.msg}") from None
    for section in ini.sections:
        if section != SECTION:
            line = ini.lineof(section)
            raise ConfigError(f"{source}:{line}: unknown section [{section}]; known is [{SECTION}]")
    if SECTION not in ini.sections:
        raise ConfigError(f"{source}:1: section [{SECTION}] is missing")
    return ini


def _parse_value(place: str, key: str, raw: str) -> Any:
    kind = KINDS[key]
    try:
        return kind.parse(raw)
    except Mend as mend:
        raise ConfigError(
            f"{place}: key {key!r} is {raw!r}: {kind.allowed} is allowed: {mend}"
        ) from None
    except (ValueError, KeyError, OverflowError, InvalidAddress):
        raise ConfigError(f"{place}: key {key!r} is {raw!r}: {kind.allowed} is allowed") from None
