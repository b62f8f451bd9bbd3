"""Records as a zone file, as one line each, and as the fields of a provider's form. Pure."""

from collections.abc import Sequence

from postern.host.dns.records import TTL, Need, Record

MAX_STRING = 255
"""Octets of one character-string: a longer TXT record consists of several (RFC 1035, 3.3)."""
_FIELDS = {
    "MX": ("Priority", "Value"),
    "SRV": ("Priority", "Weight", "Port", "Value"),
    "CAA": ("Flags", "Tag", "Value"),
}
"""The fields of a form, for the types whose value has more than one."""
_HEADINGS = {Need.REQUIRED: "Required", Need.RECOMMENDED: "Recommended"}


def strings(text: str) -> str:
    """The text of a TXT record as the quoted strings of a zone file."""
    pieces = [text[at : at + MAX_STRING] for at in range(0, len(text), MAX_STRING)] or [""]
    return " ".join('"' + piece.replace("\\", r"\\").replace('"', r"\"") + '"' for piece in pieces)


def as_zone(records: Sequence[Record]) -> str:
    """Lines of a zone file (RFC 1035, 5.1) with absolute names, so that $ORIGIN does not matter."""
    lines: list[str] = []
    for need, heading in _HEADINGS.items():
        chosen = [record for record in records if record.need is need]
        if chosen:
            lines += ["", f"; {heading}"] if lines else [f"; {heading}"]
        for record in chosen:
            value = strings(record.value) if record.type == "TXT" else record.value
            lines.append(f"{record.name}. {TTL} IN {record.type} {value}")
    return "".join(f"{line}\n" for line in lines)


def as_lines(records: Sequence[Record]) -> str:
    """One line per record: its name, its type, and the value whole and without quotes."""
    return "".join(f"{record.name} {record.type} {record.value}\n" for record in records)


def as_form(records: Sequence[Record], apex: str) -> str:
    """The fields to paste into a form, one block per record; names are relative to the zone.

    Providers split long TXT themselves and refuse quotes, so the text is whole. `apex` is the name
    of the zone.
    """
    return "\n".join(
        "".join(f"{name + ':':10}{value}\n" for name, value in fields(record, apex))
        for record in records
    )


def fields(record: Record, apex: str) -> list[tuple[str, str]]:
    """The name and content of each field for one record."""
    names = _FIELDS.get(record.type, ("Value",))
    values = record.value.split(" ", len(names) - 1)
    if record.type == "CAA":
        values[-1] = values[-1].strip('"')
    named = [("Type", record.type), ("Name", relative(record.name, apex))]
    return [*named, *zip(names, values, strict=True), ("TTL", str(TTL))]


def relative(name: str, apex: str) -> str:
    """A name as it is within a zone: `@` for the zone itself."""
    if name == apex:
        return "@"
    return name.removesuffix(f".{apex}")
