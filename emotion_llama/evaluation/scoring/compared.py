"""Two runs over the same samples -> a paired test.

Knows: which rows belong together. Does not know: how runs are compared.
"""

from collections.abc import Sequence

from emotion_llama.evaluation.blocks import Row
from emotion_llama.evaluation.comparison import Run, compare_runs
from emotion_llama.evaluation.protocol import Protocol
from emotion_llama.evaluation.scoring.table import Section, Table


def compare(protocol: Protocol, rows: Sequence[Row], others: Sequence[Row], name: str) -> Section:
    """Test a run against another one over the same samples.

    Raises:
        ValueError: the runs have other samples or truths
    """
    table, other = Table(protocol, rows), Table(protocol, others)
    found = compare_runs(_run(table), _run(other), protocol.labels, groups=table.units)
    return {
        "other": name,
        "figures": {
            key: {
                "this": one.a,
                "other": one.b,
                "difference": one.difference,
                "low": one.interval.low,
                "high": one.interval.high,
                "p": one.p,
            }
            for key, one in found.figures.items()
        },
        "mcnemar_p": found.mcnemar_p,
        "table": {
            "both": found.both_right,
            "only_this": found.only_a_right,
            "only_other": found.only_b_right,
            "neither": found.both_wrong,
        },
    }


def _run(table: Table) -> Run:
    return Run([row["sample_id"] for row in table.rows], table.truths, table.answers())
