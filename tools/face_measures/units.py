"""Whether action units go with the expressions they belong to, on stills and on clips.

Knows: FER+ test faces and the acted clips with their labels, which unit goes with which expression.
Does not know: how units are measured.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from emotion_llama.config import MediaConfig
from emotion_llama.face import measure_action_units, peak_frame, whole_frame_track
from emotion_llama.face.action_units import FEWEST_FRAMES_FOR_NEUTRAL, MIN_SCORE
from emotion_llama.records import ActionUnitTable

from . import figures
from .figures import Cell, Table
from .sources import ActedClip, Pixels, Sources, acted_clips, packaged_networks, sampled, tracks_of

FRAMES_PER_SECOND = 10.0


@dataclass(frozen=True)
class Contrast:
    """Units that are summed, and two expressions: one has them, the other has not."""

    units: tuple[str, ...]
    shown: str
    not_shown: str

    @property
    def name(self) -> str:
        """The units' names."""
        return " + ".join(self.units)

    def values(self, units: Mapping[str, NDArray[np.floating]]) -> NDArray[np.float64]:
        """Sum the units [n]; NaN where one was not measured."""
        return np.asarray(np.sum([units[unit] for unit in self.units], axis=0), dtype=np.float64)


SURPRISE = ("AU01", "AU02", "AU05", "AU26")
STILLS = (
    Contrast(("AU12",), "happy", "sad"),
    *(
        Contrast((unit,), "surprise", "neutral")
        for unit in ("AU01", "AU02", "AU05", "AU25", "AU26")
    ),
    Contrast(SURPRISE, "surprise", "neutral"),
    Contrast(("AU04",), "angry", "happy"),
)
CLIPS = (
    Contrast(("AU12",), "happy", "sad"),
    Contrast(("AU04",), "angry", "happy"),
    Contrast(SURPRISE, "surprise", "neutral"),
)


@dataclass(frozen=True)
class Stills:
    """Action units of pictures of different people, a row a picture."""

    labels: NDArray[np.str_]
    """[n]"""
    scores: NDArray[np.float64]
    """probability that the picture shows a face, [n]"""
    units: Mapping[str, NDArray[np.float64]]
    """NaN where not measured, [n]"""


def area_row(
    contrast: Contrast, values: NDArray[np.float64], labels: NDArray[np.str_]
) -> tuple[Cell, ...]:
    """Give counts, rows that were not measured, and the area under the curve.

    Args:
        contrast: what is told apart
        values: [n]
        labels: expression of each row, [n]
    """
    chosen = np.isin(labels, (contrast.shown, contrast.not_shown))
    measured = chosen & ~np.isnan(values)
    positive = labels[measured] == contrast.shown
    # every picture or clip is drawn by itself
    area = figures.area_figure(positive, values[measured], np.flatnonzero(measured))
    return int(positive.sum()), int((~positive).sum()), int((chosen & ~measured).sum()), area


def read_stills(sources: Sources, wanted: Sequence[str]) -> tuple[list[Pixels], NDArray[np.str_]]:
    """Read FER+ test faces whose most frequent vote is wanted: RGB [48 x 48 x 3] and labels."""
    with np.load(sources.data_dir / "faces" / "ferplus.npz", allow_pickle=False) as file:
        data, offsets, votes = file["webp"], file["offset"], file["votes"]
        labels, splits = file["vote_order"][votes.astype(int).argmax(axis=1)], file["split"]
    rows = np.flatnonzero((splits == "test") & np.isin(labels, wanted))
    pictures = [
        Image.open(io.BytesIO(data[offsets[row] : offsets[row + 1]].tobytes())) for row in rows
    ]
    return [np.asarray(picture.convert("RGB")) for picture in pictures], labels[rows]


def measure_pictures(pictures: Sequence[Pixels], labels: NDArray[np.str_]) -> Stills:
    """Measure each picture by itself.

    A few pictures go together as the rows of one track: too few for a person's own neutral, so
    that each is held against many people's as a single picture would be.
    """
    size = MediaConfig().face_crop_size
    together = FEWEST_FRAMES_FOR_NEUTRAL - 1
    tables: list[ActionUnitTable] = []
    scores = []
    for start in range(0, len(pictures), together):
        part = np.stack(pictures[start : start + together])
        track = whole_frame_track(part, np.arange(len(part)) / 1.0, size, packaged_networks()[1])
        assert track.scores is not None
        scores.append(track.scores)
        tables.append(measure_action_units(track))
        assert tables[-1].scope == "population"
    units = {
        unit: np.concatenate([table.intensity[unit] for table in tables]).astype(np.float64)
        for unit in tables[0].intensity
    }
    return Stills(labels, np.concatenate(scores).astype(np.float64), units)


def measure_stills(sources: Sources) -> list[Table]:
    """Measure on FER+ test faces."""
    wanted = sorted({label for c in STILLS for label in (c.shown, c.not_shown)})
    stills = measure_pictures(*read_stills(sources, wanted))
    rows: list[tuple[Cell, ...]] = []
    for contrast in STILLS:
        values = contrast.values(stills.units)
        is_face = stills.scores >= MIN_SCORE
        chosen = np.isin(stills.labels, (contrast.shown, contrast.not_shown))
        shown, not_shown, missing, area = area_row(contrast, values, stills.labels)
        what = f"{contrast.shown} above {contrast.not_shown}"
        no_face = int((chosen & ~is_face).sum())
        rows.append((contrast.name, what, shown, not_shown, no_face, int(missing) - no_face, area))
    note = (
        "FER+ test pictures (official split, persons unknown), label: most frequent vote; each by "
        "itself, against many people's neutral. No face: the points' score is under "
        f"{MIN_SCORE:g}; not measured: turned too far, or the part is covered. Chance is 0.5. "
        "AU01, AU02, AU04 and AU05 of stills read the pixels of the brows as well, which was "
        "learned on the expression labels of FER+ training faces; the other units were not. "
        "Intervals draw pictures."
    )
    columns = ("units", "expressions", "n shown", "n not", "no face", "not measured", "AUC")
    return [Table("Action units of stills and their expressions", columns, rows, note)]


def clip_table(clip: ActedClip) -> ActionUnitTable | None:
    """Measure the main person of a clip; ``None`` when nobody is found."""
    film = sampled(clip.path, FRAMES_PER_SECOND)
    tracks = tracks_of(film.frames, film.times_s)
    return measure_action_units(tracks[0]) if tracks else None


def at_peak(contrast: Contrast, table: ActionUnitTable | None) -> float:
    """Give the sum in the frame with the strongest expression."""
    peak = None if table is None else peak_frame(table)
    if table is None or peak is None:
        return float("nan")
    return float(contrast.values(table.intensity)[peak.row])


def over_clip(contrast: Contrast, table: ActionUnitTable | None) -> float:
    """Give the mean sum over the frames in which it was measured."""
    values = np.array([]) if table is None else contrast.values(table.intensity)
    measured = values[~np.isnan(values)]
    return float(measured.mean()) if len(measured) else float("nan")


def measure_clips(sources: Sources) -> list[Table]:
    """Measure on the acted clips."""
    clips = acted_clips(sources.data_dir)
    tables = [clip_table(clip) for clip in clips]
    labels = np.array([clip.label for clip in clips])
    rows: list[tuple[Cell, ...]] = []
    for contrast in CLIPS:
        what = f"{contrast.shown} above {contrast.not_shown}"
        for where, value in (("peak frame", at_peak), ("mean of the clip", over_clip)):
            values = np.array([value(contrast, table) for table in tables])
            rows.append((contrast.name, what, where, *area_row(contrast, values, labels)))
    note = (
        f"{len(clips)} acted clips of {len({clip.actor for clip in clips})} people, "
        f"{FRAMES_PER_SECOND:g} frames a second; development clips. n is small: a dozen clips an "
        "expression, of people who also speak. Chance is 0.5. Intervals draw clips, so they hold "
        "for these people only."
    )
    columns = ("units", "expressions", "value", "n shown", "n not", "not measured", "AUC")
    return [Table("Action units of acted clips and their expressions", columns, rows, note)]
