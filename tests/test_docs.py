"""What the documents say, held against the code."""

import dataclasses
import re
from pathlib import Path

import pytest

from relay.config import IGNORED, Config
from relay.mailbox.directory import METADATA

REPO = Path(__file__).parents[1]
DOCUMENTS = [*REPO.glob("*.md"), *REPO.glob("docs/*.md"), *REPO.glob("systemd/*.md")]


def test_there_are_documents() -> None:
    assert len(DOCUMENTS) >= 6


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())
    missing = [target for target in targets if not (document.parent / target).exists()]
    assert missing == []


def test_every_document_can_be_found_from_the_readme() -> None:
    found, left = set(), [REPO / "README.md"]
    while left:
        document = left.pop()
        if document not in found:
            found.add(document)
            targets = re.findall(r"\]\((?!https?:)([^)#]+\.md)", document.read_text())
            left += [(document.parent / target).resolve() for target in targets]
    assert set(DOCUMENTS) - found == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_modules_that_are_named_exist(document: Path) -> None:
    pattern = r"`((?:filtermail|doveauth|metadata|relay)(?:\.[a-z]+)+)`"
    for name in re.findall(pattern, document.read_text()):
        if name == METADATA or name.endswith((".socket", ".service", ".lua", ".conf")):
            continue  # a file's name
        path = REPO / name.replace(".", "/")
        parent = path.parent.with_suffix(".py")
        found = path.is_dir() or path.with_suffix(".py").exists()
        assert found or (parent.exists() and path.name in parent.read_text()), name


def test_every_key_is_documented_with_its_default() -> None:
    rows = [
        line for line in (REPO / "docs/configuration.md").read_text().split("\n") if "|" in line
    ]
    documented = "\n".join(row.split("|")[1] for row in rows)
    for field in dataclasses.fields(Config):
        assert f"`{field.name}`" in documented
        row = next(row for row in rows if f"`{field.name}`" in row.split("|")[1])
        if isinstance(field.default, int) and not isinstance(field.default, bool):
            assert {str(field.default), f"{field.default >> 20}M", f"{field.default >> 30}G"} & {
                word.strip() for word in row.split("|")[2].split(",")
            }, row
    for key in IGNORED:
        assert f"`{key}`" in documented
