"""What a preset writes: the label in free words, the form of its reasons, whether they are true.

Knows: which answers are asked for. Does not know: how a sentence is judged (`sentences`) or held
against measures (`faithful`).
"""

import random
from collections import Counter
from collections.abc import Iterable, Sequence

from emotion_llama import Prediction
from emotion_llama.merr.records import MerrRecord

from . import faithful, sentences
from .bench import Bench, ask
from .faithful import Told
from .items import Item, ItemSet, thinned
from .rows import Row, mean_row

MOST = 150
"""Items of a set: writing and measuring take most of the time."""
NUM_EXAMPLES = 8
ALL = "all"


def measure(bench: Bench) -> list[Row]:
    """Judge what is written about recordings, pictures, lines and clips, and about all together."""
    rows = []
    every: list[MerrRecord] = []
    for chosen in chosen_sets(bench):
        predictor = bench.of(chosen, greedy=True)
        results = ask(predictor, chosen, None, with_reason=True)
        pairs = [
            (item, result)
            for item, result in zip(chosen.items, results, strict=True)
            if isinstance(result, Prediction)
        ]
        told = [
            Told(predictor.read(item.path, item.text), result.reason or "", item.person)
            for item, result in pairs
        ]
        start = len(every)
        records = [
            faithful.record_of(start + number, one, predictor.reader)
            for number, one in enumerate(faithful.shuffled(told))
        ]
        every += records
        row = score([result for _, result in pairs], [item for item, _ in pairs])
        rows.append({"name": chosen.name, **row, "faithfulness": faithful.score(records)})
    if every:
        rows.append({"name": ALL, "n": len(every), "faithfulness": faithful.score(every)})
    return rows


def chosen_sets(bench: Bench, most: int = MOST) -> list[ItemSet]:
    """Draw items of every kind; the same share of each data set of speech."""
    sets = [bench.faces, bench.lines, bench.clips]
    if bench.speech:
        each = -(-most // len(bench.speech))
        sets.insert(0, joined("speech, all sets", bench.speech, each))
    return [thinned(one, most) for one in sets if len(one)]


def joined(name: str, sets: Iterable[ItemSet], each: int) -> ItemSet:
    """Put so many items of each set into one; its labels are not scored."""
    items = tuple(item for one in sets for item in thinned(one, each).items)
    mixed = list(items)
    random.Random(0).shuffle(mixed)
    return ItemSet(name, tuple(mixed), ())


def score(results: Sequence[Prediction], items: Sequence[Item]) -> Row:
    """Judge answers by themselves.

    Args:
        results: greedy answers, whose probabilities give the scored label as well
        items: what they are about
    """
    people = [item.person for item in items]
    scored = [max(r.probabilities, key=lambda label: r.probabilities[label]) for r in results]
    reasons = [result.reason or "" for result in results]
    frames = Counter(map(sentences.frame, reasons))
    pairs = list(zip(reasons, scored, strict=True))
    return {
        "n": len(results),
        "labels": "the preset's own list",
        "greedy_is_scored": mean_row(
            [r.label == best for r, best in zip(results, scored, strict=True)], people
        ),
        "greedy_without_label": mean_row([r.label is None for r in results], people),
        "well_formed": mean_row(
            [
                sentences.is_well_formed(reason, present(result))
                for reason, result in zip(reasons, results, strict=True)
            ],
            people,
        ),
        "finished": mean_row([sentences.is_finished(reason) for reason in reasons], people),
        "repeats": mean_row([sentences.repeats_itself(reason) for reason in reasons], people),
        "speaks_of_absent": mean_row(
            [
                not sentences.mentioned(reason) <= present(result)
                for reason, result in zip(reasons, results, strict=True)
            ],
            people,
        ),
        "names_another": mean_row([sentences.names_another(*pair) for pair in pairs], people),
        "concludes_another": mean_row(
            [sentences.concludes_another(*pair) for pair in pairs], people
        ),
        "concludes_truly": mean_row([sentences.concludes_truly(*pair) for pair in pairs], people),
        "frames": len(frames),
        "commonest_frames": [f"{count} x {text}" for text, count in frames.most_common(5)],
        "different_reasons": len(set(reasons)),
        "words": mean_row([sentences.num_words(reason) for reason in reasons], people),
        "examples": reasons[:NUM_EXAMPLES],
    }


def present(result: Prediction) -> set[str]:
    """Name what an answer had to go on: face, voice, words."""
    used = set(result.modalities)
    kinds = {"face": {"local", "temporal"}, "voice": {"audio"}, "words": {"text"}}
    return {kind for kind, names in kinds.items() if used & names}
