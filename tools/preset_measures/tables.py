"""The figures of `tools/measure_mini.py` as Markdown tables.

Knows: the form of its JSON file. Does not know: pages, how anything was measured. A part that was
not measured gives no table.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from emotion_llama.terminal import percent

Row = Mapping[str, Any]


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Render a table; no rows give no text."""
    if not rows:
        return ""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def ranged(value: float | None, interval: Sequence[float] | None) -> str:
    """Write a figure with its interval; a dash where there is none."""
    if value is None:
        return "-"
    return (
        f"{value:.3f}"
        if interval is None
        else f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"
    )


def share(row: Row | None) -> str:
    """Write a share in percent with its interval; a dash where there is none."""
    if row is None or row["value"] is None:
        return "-"
    text = percent(row["value"])
    if row["interval_95"] is None:
        return text
    low, high = row["interval_95"]
    return f"{text} [{100 * low:.0f}, {100 * high:.0f}]"


def people(row: Row) -> str:
    """Write the number of people."""
    known = row["groups"] is not None and row["groups"] != row["n"]
    return str(row["groups"]) if known else "unknown"


def figure_table(figures: Sequence[Row]) -> str:
    """Render one row for each data set; chance is one over the number of labels."""
    columns = "data,n,people,labels,UAR [95 %],chance,accuracy [95 %],weighted F1,interval over"
    return table(
        columns.split(","),
        [
            [
                row["name"],
                str(row["n"]),
                people(row),
                str(row["labels"]),
                ranged(row["uar"], row["uar_95"]),
                f"{1 / row['labels']:.3f}",
                ranged(row["accuracy"], row["accuracy_95"]),
                ranged(row["weighted_f1"], row.get("weighted_f1_95")),
                row["resampled"],
            ]
            for row in figures
        ],
    )


def recall_table(figures: Sequence[Row]) -> str:
    """Render the recall of each label."""
    labels = list(dict.fromkeys(label for row in figures for label in row["recalls"]))
    return table(
        ["data", *labels],
        [
            [
                row["name"],
                *(f"{row['recalls'][x]:.2f}" if x in row["recalls"] else "" for x in labels),
            ]
            for row in figures
        ],
    )


def clip_table(clips: Sequence[Row]) -> str:
    """Render what is seen beside the label of clips with face and voice."""
    return table(
        ["shown", "n", "truth among the top two [95 %]", "valence right [95 %]", "interval over"],
        [
            [
                row["name"],
                str(row["n"]),
                ranged(row["top_2"], row["top_2_95"]),
                f"{share(row['valence'])} (n {row['valence']['n']})",
                row["resampled"],
            ]
            for row in clips
        ],
    )


def baseline_table(baselines: Sequence[Row], figures: Sequence[Row]) -> str:
    """Render the baselines beside the preset on the same items."""
    own = {row["name"]: row for row in figures}
    return table(
        ["data", "method", "n", "UAR [95 %]", "weighted F1 [95 %]", "mini: UAR", "weighted F1"],
        [
            [
                row["name"],
                row["method"],
                str(row["n"]),
                ranged(row["uar"], row["uar_95"]),
                ranged(row["weighted_f1"], row["weighted_f1_95"]),
                *(
                    ranged(own[row["name"]][key] if row["name"] in own else None, None)
                    for key in ("uar", "weighted_f1")
                ),
            ]
            for row in baselines
        ],
    )


def calibration_table(calibration: Sequence[Row]) -> str:
    """Render errors of calibration beside those that perfect probabilities would show."""
    columns = (
        "data;n;ECE [95 %];of perfect ones;NLL [95 %];Brier [95 %];"
        "share answered at 80 % precision [95 %];interval over"
    )
    return table(
        columns.split(";"),
        [
            [
                row["name"],
                str(row["n"]),
                ranged(row["ece"], row["ece_95"]) if row["ece"] is not None else "n below 1000",
                ranged(row["perfect_ece"], None),
                ranged(row["nll"], row["nll_95"]),
                ranged(row["brier"], row["brier_95"]),
                ranged(row["answered_at_80"], row["answered_at_80_95"]),
                row["resampled"],
            ]
            for row in calibration
        ],
    )


def language_table(language: Sequence[Row]) -> str:
    """Render the form of answers."""
    columns = (
        "data;n;free answer is the scored label;well-formed reasons;name another label;"
        "conclusions that follow;sentence frames;words"
    )
    return table(
        columns.split(";"),
        [
            [
                row["name"],
                str(row["n"]),
                share(row["greedy_is_scored"]),
                share(row["well_formed"]),
                share(row["names_another"]),
                share(row["concludes_truly"]),
                str(row["frames"]),
                f"{row['words']['value']:.1f}",
            ]
            for row in language
            if "frames" in row
        ],
    )


def faithfulness_table(language: Sequence[Row]) -> str:
    """Render whether the stated clues are those that were measured."""
    columns = "data;n;clues stated;true [95 %];true of the next clip;points lost;telling answers"
    rows = []
    for row in language:
        truth = row["faithfulness"]
        lost = truth["drop_points"]
        rows.append(
            [
                row["name"],
                str(row["n"]),
                str(truth["stated"]),
                share(truth["own"]),
                share(truth["other"]),
                "-"
                if lost is None
                else "{:.0f} [{:.0f}, {:.0f}]".format(lost["value"], *lost["interval_95"]),
                share(truth["telling"]),
            ]
        )
    return table(columns.split(";"), rows)


def following_table(following: Mapping[str, Sequence[Row]]) -> str:
    """Render whether reasons follow what was changed in a clip."""
    rows = []
    for row in following.get("voice", []):
        along, against = row["moves_along"], row["moves_against"]
        rows.append([row["name"], str(along["n"]), share(along), f"against: {share(against)}"])
    for row in following.get("face", []):
        for source, word in (("stated", "reason"), ("measured", "measures")):
            planted, rest = row[f"{source}_planted"], row[f"{source}_at_rest"]
            name = f"{row['name'].replace('_', ' ')} planted, {word}"
            rows.append([name, str(planted["n"]), share(planted), f"at rest: {share(rest)}"])
    return table(["change", "n", "follows [95 %]", "otherwise"], rows)


def effect_table(effects: Mapping[str, Row]) -> str:
    """Render what leaving out or swapping a modality changes."""
    columns = ["change", "clips", "probabilities change", "label changes", "mean total variation"]
    rows = []
    for name, effect in effects.items():
        labels, variation = effect["labels changed"], effect["mean total variation"]
        if effect["clips"] == 0:
            continue
        if "over" in effect:
            changed = share({"value": labels, "interval_95": effect["labels changed 95"]})
            distance = ranged(variation, effect["mean total variation 95"])
        else:
            changed, distance = f"{labels:.0%}", f"{variation:.3f}"
        anything = f"{effect['clips with any change']:.0%}"
        rows.append([name, str(effect["clips"]), anything, changed, distance])
    return table(columns, rows)


def sound_sentence(effects: Mapping[str, Row]) -> str:
    """Say where a swapped soundtrack takes the answer."""
    found = effects.get("audio swapped", {}).get("towards the sound")
    if found is None or found["value"] is None:
        return ""
    differing = effects["audio swapped"]["towards the sound where both sounds differ"]
    return (
        f"With another person's soundtrack the label that this sound gives alone becomes more "
        f"probable in {share(found)} of {found['n']} clips, and in {share(differing)} of the "
        f"{differing['n']} whose own sound gives another label."
    )


def speed_sentence(speed: Row) -> str:
    """Say how long loading and answering take, and how large the files are."""
    return (
        f"Answer with reason for a film of {speed['film_s']:g} s: {speed['answer_s']:.2f} s "
        f"(median of {speed['repeats']}); loading: {speed['load_s']:.2f} s; "
        f"{speed['device']}, {speed['threads']} thread(s). Files: "
        f"{speed['files']['total'] / 1e6:.1f} MB."
    )
