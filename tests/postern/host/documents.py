"""The files of a host as `docs/host/` shows them.

`python -m tests.postern.host.documents` writes them again, after a change of a template.
"""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from postern.host.dovecot import SERIES
from postern.host.files import HOST_FILES
from postern.host.rendering import render
from postern.host.wiring import host_wiring
from relay.config import parse_config

DOCUMENTS = Path(__file__).parents[3] / "docs" / "host"
PRIVACY = DOCUMENTS.parent / "privacy.md"
CONFIG = """\
[params]
mail_domain = chat.example.org
postfix_reinject_sockets = /var/spool/postfix/public
"""


def host_files() -> Iterator[tuple[str, str]]:
    """The name and text of each."""
    config, _ = parse_config(CONFIG, "chatmail.ini")
    wiring = host_wiring(config, mailboxes_uid=999, mailboxes_group="vmail")
    yield "chatmail.ini", CONFIG
    for file in HOST_FILES:
        name = document_name(file.path)
        if "{series}" in file.template:
            for series in SERIES:
                stem, _, suffix = name.partition(".")
                yield (
                    f"{stem}-{series}.{suffix}",
                    wiring.render(file.template.format(series=series)),
                )
        else:
            yield name, wiring.render(file.template)


def document_name(path: str) -> str:
    """The name of a host's file in `docs/host/`: a drop-in is named after its unit."""
    *_, directory, name = Path(path).parts
    if name in ("postern.conf", "60-postern.conf"):
        return f"{directory.removesuffix('.d')}.conf"
    return name


def privacy() -> str:
    """`docs/privacy.md`: what `postern privacy` prints with the defaults."""
    config, _ = parse_config(CONFIG, "chatmail.ini")
    return render("privacy.md", asdict(config))


if __name__ == "__main__":
    PRIVACY.write_text(privacy())
    DOCUMENTS.mkdir(exist_ok=True)
    for name, text in host_files():
        (DOCUMENTS / name).write_text(text)
