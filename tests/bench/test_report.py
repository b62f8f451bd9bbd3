"""What is printed and written of a run."""

import pytest

from bench.figures import Target, Verdict
from bench.report import Table, markdown, number, section, targets_table, written_into

TABLE = Table("Sizes", ("size", "ms"), [["1 KB", "2.00"], ["1 MB", "30.0"]])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0"),
        (0.4562, "0.456"),
        (0.979, "0.979"),
        (9.99, "9.99"),
        (45.67, "45.7"),
        (100, "100"),
        (1234.5, "1,234"),
    ],
)
def test_numbers_have_three_significant_digits(value: float, expected: str) -> None:
    assert number(value) == expected


def test_a_table_in_markdown() -> None:
    assert markdown(TABLE) == (
        "### Sizes\n\n| size | ms |\n| --- | ---: |\n| 1 KB | 2.00 |\n| 1 MB | 30.0 |\n"
    )


def test_targets_show_limit_measurement_and_outcome() -> None:
    verdicts = [
        Verdict(target=Target(what="CPU", unit="ms", at_most=0.6), measured=0.5),
        Verdict(target=Target(what="rate", unit="", at_least=1 / 3), measured=0.25),
        Verdict(target=Target(what="peak", unit="MB", at_most=12), measured=None),
        Verdict(target=Target(what="lookups", unit="", at_least=12_000), measured=12_345),
    ]
    assert targets_table(verdicts).rows == [
        ["CPU", "≤ 0.6 ms", "0.500 ms", "reached"],
        ["rate", "≥ 0.33", "0.250", "missed"],
        ["peak", "≤ 12 MB", "–", "not measured"],
        ["lookups", "≥ 12,000", "12,345", "reached"],
    ]


def test_a_run_replaces_its_own_section_alone() -> None:
    def text(name: str, fact: str) -> str:
        return section(name, "Notes.", {"CPU": fact}, [TABLE])

    both = written_into(
        written_into("", "filter", text("filter", "old")), "auth", text("auth", "A")
    )
    renewed = written_into(both, "filter", text("filter", "new"))
    assert renewed.startswith("# Results\n")
    assert renewed.count("## filter\n") == renewed.count("## auth\n") == 1
    assert "- CPU: new\n" in renewed
    assert "- CPU: A\n" in renewed
    assert "old" not in renewed
    assert written_into(renewed, "filter", text("filter", "new")) == renewed
