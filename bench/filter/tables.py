"""The tables that the filter's benchmark prints."""

from bench.base import HERE
from bench.figures import medians
from bench.filter.beside import Beside
from bench.filter.grid import Case, Row
from bench.filter.postfix import Chain
from bench.filter.versus import Versus, idle, over_idle, typical
from bench.report import FIGURES, Table, cells, number


def ratios(versuses: list[Versus], base: str) -> Table:
    """The comparison in one figure per size: processor time per message."""
    return Table(
        f"CPU ms per message, of the {base}'s",
        ("size", "here", "base", "ratio", "least", "most", "rounds"),
        [
            [
                versus.size,
                number(typical(versus.here).cpu_ms),
                number(typical(versus.base).cpu_ms),
                *map(number, versus.cpu),
                str(len(versus.here)),
            ]
            for versus in versuses
        ],
    )


def sides(versuses: list[Versus], base: str) -> Table:
    """Everything else that the comparison measured."""
    return Table(
        "Between generator and sink in turns, 8 at a time, one connection per message",
        ("size", "", *FIGURES, "idle MB", "peak MB"),
        [
            row
            for versus in versuses
            for row in (
                *(
                    [
                        versus.size,
                        name,
                        *cells(typical(rounds)),
                        number(idle(rounds)),
                        f"+{number(over_idle(rounds))}",
                    ]
                    for name, rounds in ((HERE.name, versus.here), (base, versus.base))
                ),
                [versus.size, "sink alone", *cells(medians(versus.alone)), "", ""],
            )
        ],
    )


def connections(case: Case) -> str:
    """How a case uses connections."""
    return "re-used" if case.reuse else "one per message"


def grid(rows: list[Row]) -> Table:
    """Every load between generator and sink but those of the comparison."""
    columns = ("size", "× at once", "connections", *FIGURES, "peak MB", "alone MB/s", "ratio")
    return Table(
        "Between generator and sink",
        columns,
        [
            [
                row.case.size,
                str(row.case.at_a_time),
                connections(row.case),
                *cells(row.filtered),
                f"+{number(row.over_idle)}",
                number(row.alone.mb_per_s),
                number(row.ratio),
            ]
            for row in rows
        ],
    )


def beside(measured: Beside) -> Table:
    """What a small message waits for large ones."""
    small, alone, large = measured.filtered, measured.alone, measured.large
    # What the filter spends is spent on both; only the rates and latencies are of either.
    rows = [
        ["1.5 KB", *cells(small)[:-1]],
        ["1.5 KB, straight into the sink", *cells(alone)[:-1]],
        ["the 30 MB that went by", *cells(large)[:-1]],
    ]
    return Table(
        "One small message at a time beside two senders of 30 MB", ("", *FIGURES[:-1]), rows
    )


def postfix(chains: list[Chain]) -> Table:
    """Both chains through Postfix."""
    return Table(
        "Postfix → filter → Postfix, beside Postfix → pass-through proxy → Postfix",
        ("size", "through", *FIGURES, "ratio", "least", "most"),
        [
            [chain.size, name, *cells(medians(rounds)), *ratio_cells]
            for chain in chains
            for name, rounds, ratio_cells in (
                ("the filter", chain.filtered, map(number, chain.ratio)),
                ("pass-through", chain.passed, ("", "", "")),
            )
        ],
    )
