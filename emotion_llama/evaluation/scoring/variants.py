"""Answers to changed questions and changed clips -> what the change does.

Knows: which rows are compared with which. Does not know: how clips and questions are changed.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from emotion_llama.evaluation.blocks import Row
from emotion_llama.evaluation.disturbance import SUITE
from emotion_llama.evaluation.metrics import label_figures
from emotion_llama.evaluation.modality_shares import modality_shares
from emotion_llama.evaluation.noise import CLEAN
from emotion_llama.evaluation.protocol import Protocol
from emotion_llama.evaluation.scoring.table import Section, Table, figure
from emotion_llama.evaluation.sensitivity import DEFAULT, sensitivity


def score_subsets(protocol: Protocol, rows: Sequence[Row], variants: Sequence[Row]) -> Section:
    """Give the figures of every set of parts that is shown, what each part adds, its share.

    Only samples that have all parts are compared, or the shares would mix clips.

    Args:
        protocol: labels and rules
        rows: of the run's answers
        variants: of the file of subsets
    """
    truths = {row["sample_id"]: row["target"] for row in rows}
    of_variant = by_variant(variants)
    everything = max(of_variant, key=lambda name: len(name.split("+")), default="")
    ids = set(of_variant.get(everything, {}))
    lines, scores = [], {}
    for name, answers in of_variant.items():
        chosen = [one for one in answers if one in ids]
        if not chosen:
            continue
        part = Table(protocol, [{"target": truths[one], "groups": {}} for one in chosen])
        found = figure(part, [answers[one] for one in chosen])
        value = found["figures"]["uar"]
        parts = name.split("+")
        scores[frozenset(parts)] = value["value"]
        lines.append({"modalities": parts, "num_clips": len(chosen), **value})
    section: Section = {"figure": "uar", "rows": lines}
    parts = everything.split("+")
    if len(parts) > 1 and len(scores) == 2 ** len(parts) - 1:
        labels = [truths[one] for one in ids]
        baseline = max(
            label_figures(labels, [label] * len(labels), protocol.labels).uar
            for label in protocol.labels
        )
        shares = modality_shares(parts, scores, baseline)
        section |= {"drop": dict(shares.drops), "shapley": dict(shares.shapley)}
    return section


def score_variants(protocol: Protocol, rows: Sequence[Row], variants: Sequence[Row]) -> Section:
    """Give how far answers depend on the order of labels or on the wording."""
    of_variant = by_variant(variants)
    if DEFAULT not in of_variant:
        return {}
    truths = {row["sample_id"]: str(row["target"]) for row in rows}
    ids = list(of_variant[DEFAULT])
    answers = {name: [found.get(one) for one in ids] for name, found in of_variant.items()}
    return sensitivity(answers, [truths[one] for one in ids], protocol.labels).to_dict()


def score_noise(protocol: Protocol, rows: Sequence[Row], variants: Sequence[Row]) -> Section:
    """Give each disturbance beside the same clips undisturbed."""
    truths = {row["sample_id"]: str(row["target"]) for row in rows}
    of_variant = by_variant([row for row in variants if "left_out" not in row])
    clean = of_variant.get(CLEAN, {})
    lines = [
        {"name": one.name, "level": one.level, "kind": one.kind, **line}
        for one in SUITE
        for line in _noise_line(protocol, truths, clean, of_variant.get(one.title, {}))
    ]
    left_out = Counter(
        f"{row['variant']}: {row['left_out']}" for row in variants if "left_out" in row
    )
    return {"figure": "uar", "rows": lines, "left_out": dict(sorted(left_out.items()))}


def _noise_line(
    protocol: Protocol,
    truths: Mapping[str, str],
    clean: Mapping[str, str | None],
    noisy: Mapping[str, str | None],
) -> Iterator[Section]:
    """Give one line, if any clip was disturbed in that way."""
    ids = [one for one in noisy if one in clean]
    if not ids:
        return
    table = Table(protocol, [{"target": truths[one], "groups": {}} for one in ids])
    before = label_figures(table.truths, [clean[one] for one in ids], protocol.labels).uar
    after = figure(table, [noisy[one] for one in ids])["figures"]["uar"]
    same = sum(clean[one] == noisy[one] for one in ids)
    yield {
        "num_clips": len(ids),
        "clean": before,
        "drop": before - after["value"],
        "same_answer": same / len(ids),
        **after,
    }


def by_variant(rows: Sequence[Row]) -> dict[str, dict[str, str | None]]:
    """Give variant -> sample -> label; a sample without an answer has ``None``."""
    found: dict[str, dict[str, str | None]] = {}
    for row in rows:
        found.setdefault(row["variant"], {})[row["sample_id"]] = row.get("scored_label")
    return found
