"""`docs/hookup.md` and `docs/dovecot-2.4.md` show what the templates say, to the letter."""

import re
from pathlib import Path

import pytest

from postern.host.wiring import SNIPPETS, Wiring, host_wiring
from relay.config import parse_config

REPO = Path(__file__).parents[3]
TEMPLATES = REPO / "postern" / "host" / "templates"
DOCUMENTS = {
    name: re.findall(
        r"^```(?:lua)?\n(.*?)^```$", (REPO / "docs" / name).read_text(), re.MULTILINE | re.DOTALL
    )
    for name in ("hookup.md", "dovecot-2.4.md")
}
"""The blocks of each."""


@pytest.fixture
def wiring() -> Wiring:
    config, _ = parse_config("[params]\nmail_domain = chat.example.org\n", "here")
    return host_wiring(config, mailboxes_uid=999, mailboxes_group="vmail")


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_each_snippet_is_a_block_of_the_document(wiring: Wiring, snippet: str) -> None:
    document = "dovecot-2.4.md" if snippet.startswith("dovecot-2.4/") else "hookup.md"
    assert wiring.render(snippet) in DOCUMENTS[document]


def test_every_hookup_template_is_listed() -> None:
    found = {str(path.relative_to(TEMPLATES)) for path in TEMPLATES.glob("*/hookup-*")}
    assert found == {snippet for snippet in SNIPPETS if "/hookup-" in snippet}


@pytest.mark.parametrize(
    ("whole", "left_out"),
    [
        # The sandbox filters before the queue.
        ("postfix", {"postfix/hookup-content-filter.cf"}),
        ("dovecot-2.3", set()),
        ("dovecot-2.4", set()),
    ],
)
def test_the_sandbox_is_made_of_the_same_snippets(whole: str, left_out: set[str]) -> None:
    text = "".join(path.read_text() for path in (TEMPLATES / whole).iterdir())
    included = set(re.findall(r'{% include "([^"]+)" %}', text))
    of_this = {name for name in SNIPPETS if name.startswith(f"{whole}/hookup-")}
    assert included == of_this - left_out
