"""The operator's own lines for files that are generated: in `/etc/postern/local`, they survive.

Dovecot and nginx include their files from there by themselves. Postfix has no include, so that its
lines are merged into what is generated. Pure.
"""

import re

LOCAL = "/etc/postern/local"
MERGED = {"main.cf": r"(\S+?)\s*=", "master.cf": r"(\S+\s+\S+)"}
"""Files whose local lines are merged, and what names a logical line: postconf(5), master(5)."""


def with_local_lines(name: str, text: str, local: str) -> str:
    """The text of a file with the operator's lines at its end, in place of those they redefine."""
    if name not in MERGED or not local.strip():
        return text
    redefined = {_defines(name, line) for line in _logical_lines(local)} - {None}
    kept = [line for line in _logical_lines(text) if _defines(name, line) not in redefined]
    return "".join([*kept, f"\n# From {LOCAL}/{name}:\n", local.rstrip("\n"), "\n"])


def _defines(name: str, line: str) -> str | None:
    """What a logical line defines; None for comments and empty lines."""
    match = re.match(MERGED[name], line)
    return " ".join(match[1].split()) if match and not line.startswith("#") else None


def _logical_lines(text: str) -> list[str]:
    """Lines with those that continue them: a continuation begins with a blank."""
    return re.findall(r"[^\n]*\n(?:[ \t]+[^\n]*\n)*", text if text.endswith("\n") else text + "\n")
