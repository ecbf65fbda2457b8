"""Sources of clips -> train, dev and test, so that nobody is in two of them.

Knows: what ties clips together, shares. Does not know: files, labels, what clips show.
Rule: clips that share a speaker or a group of one source hang together, and through them others.
A clip that states neither ties its whole source together: anybody of it may be in that clip.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from emotion_llama.merr.draw import draw_number
from emotion_llama.merr.records import Source

SHARES: Mapping[str, float] = {"train": 0.8, "dev": 0.1, "test": 0.1}
"""Shares of the clips that are aimed at."""
NEAR_ENOUGH = 0.05
"""Share of the clips that may be in another split than aimed at before any is moved: moving makes
a clip's split depend on other clips."""
_NAMED = 3
"""Sources that a note lists before it counts the rest."""

Key = tuple[str, ...]


@dataclass(frozen=True)
class SplitReport:
    """What splits came out as."""

    num_clips: Mapping[str, int]
    """split -> clips"""
    num_bundles: Mapping[str, int]
    """split -> bundles of clips that hang together"""
    shares: Mapping[str, float]
    """split -> share of the clips that was reached"""
    aimed: Mapping[str, float]
    notes: tuple[str, ...]
    """what a person should know: empty splits, shares that were missed, unknown speakers"""


def assign_splits(
    sources: Sequence[tuple[str, Source]],
    shares: Mapping[str, float] | None = None,
    seed: int = 0,
    copies: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Assign every clip to a split, never tearing apart what hangs together.

    1. Bundle the clips (rule above). 2. The hash of a bundle's name decides its split by itself, so
    clips of new speakers move no others. 3. Only where a split stays empty, or the shares are
    missed by more than `NEAR_ENOUGH`: move one bundle after the other, each time the one that
    brings the shares nearest. With fewer bundles than splits the last splits stay empty; nothing
    is torn apart to fill them.

    Args:
        sources: clip id and where it comes from
        shares: split -> share of the clips; together 1. Default: `SHARES`
        seed: draws other splits
        copies: clip id -> clip that shows the same; they hang together too

    Returns:
        clip id -> split, in the order of ``sources``

    Raises:
        ValueError: shares that are no shares, or a clip that comes twice
    """
    aimed = SHARES if shares is None else shares
    _require_shares(aimed)
    bundles = _bundles(sources, copies or {})
    splits = {name: _drawn(name, aimed, seed) for name in bundles}
    _balance(splits, {name: len(clips) for name, clips in bundles.items()}, aimed, seed)
    of_clip = {clip: splits[name] for name, clips in bundles.items() for clip in clips}
    return {clip: of_clip[clip] for clip, _ in sources}


def split_report(
    sources: Sequence[tuple[str, Source]],
    splits: Mapping[str, str],
    shares: Mapping[str, float] | None = None,
    copies: Mapping[str, str] | None = None,
) -> SplitReport:
    """Say what shares were reached, and why not others.

    Args:
        sources: as given to `assign_splits`
        splits: what it gave
        shares: that were aimed at
        copies: as given to `assign_splits`
    """
    aimed = SHARES if shares is None else shares
    bundles = _bundles(sources, copies or {})
    num_clips = {split: 0 for split in aimed} | Counter(splits[clip] for clip, _ in sources)
    of_bundles = Counter(splits[clips[0]] for clips in bundles.values())
    total = len(sources)
    reached = {split: count / total if total else 0.0 for split, count in num_clips.items()}
    return SplitReport(
        num_clips=num_clips,
        num_bundles={split: of_bundles[split] for split in num_clips},
        shares=reached,
        aimed=dict(aimed),
        notes=(*_missed(num_clips, reached, aimed, len(bundles)), *_tied(sources)),
    )


def _missed(
    num_clips: Mapping[str, int],
    reached: Mapping[str, float],
    aimed: Mapping[str, float],
    num_bundles: int,
) -> Iterable[str]:
    wanted = [split for split, share in aimed.items() if share > 0]
    empty = [split for split in wanted if not num_clips[split]]
    if empty:
        yield (
            f"found {num_bundles} bundle{'s' * (num_bundles != 1)} of clips that hang together by "
            f"speaker, group or source, expected at least {len(wanted)}, so nothing is in "
            f"{' and '.join(empty)}; state the speaker of each clip, or add clips of other people"
        )
    elif _distance(reached, aimed) > NEAR_ENOUGH:
        have = ", ".join(f"{split} {reached[split]:.0%} of {aimed[split]:.0%}" for split in wanted)
        yield f"the shares could not be reached without tearing people apart: {have}"


def _tied(sources: Sequence[tuple[str, Source]]) -> Iterable[str]:
    """Name the sources that stay together because of clips of unknown people."""
    clips = Counter(source.name for _, source in sources)
    unknown = Counter(source.name for _, source in sources if _is_unknown(source))
    for name, count in sorted(unknown.items())[:_NAMED]:
        yield (
            f"source {name}: {count} of {clips[name]} clips state neither speaker nor group, so "
            "all of it stays in one split; state one of them for each clip"
        )
    if len(unknown) > _NAMED:
        yield f"the same holds for {len(unknown) - _NAMED} more sources"


def _is_unknown(source: Source) -> bool:
    return source.speaker is None and source.group is None


def _require_shares(shares: Mapping[str, float]) -> None:
    total = sum(shares.values())
    if not shares or min(shares.values()) < 0 or abs(total - 1) > 1e-6:
        msg = (
            f"found shares {dict(shares)} that add up to {total:g}, expected shares from 0 to 1 "
            "that add up to 1; correct split_shares"
        )
        raise ValueError(msg)


def _bundles(
    sources: Sequence[tuple[str, Source]], copies: Mapping[str, str]
) -> dict[str, list[str]]:
    """Bundle clips that hang together; a bundle is named by the first of its keys, in order."""
    twice = [clip for clip, count in Counter(clip for clip, _ in sources).items() if count > 1]
    if twice:
        msg = (
            f"found clip {twice[0]!r} more than once, expected every clip once; give it its own id"
        )
        raise ValueError(msg)
    tied = {source.name for _, source in sources if _is_unknown(source)}
    keys = {clip: _keys(source, whole=source.name in tied) for clip, source in sources}
    links = _Links()
    for clip, own in keys.items():
        for key in own[1:]:
            links.tie(own[0], key)
        if (other := copies.get(clip)) in keys:
            links.tie(own[0], keys[other][0])
    bundles: dict[str, list[str]] = {}
    for clip, own in keys.items():
        bundles.setdefault("\x1f".join(links.first(own[0])), []).append(clip)
    return dict(sorted(bundles.items()))


def _keys(source: Source, *, whole: bool) -> list[Key]:
    """Name what ties a clip to others; speakers and groups are known within their source only."""
    keys: list[Key] = [("source", source.name)] if whole else []
    if source.speaker is not None:
        keys.append(("speaker", source.name, source.speaker))
    if source.group is not None:
        keys.append(("group", source.name, source.group))
    return keys


class _Links:
    """Keys that hang together (disjoint sets), each set named by its first key."""

    def __init__(self) -> None:
        self._above: dict[Key, Key] = {}

    def first(self, key: Key) -> Key:
        """Give the first key of all that hang together with one."""
        top = key
        while (above := self._above.get(top, top)) != top:
            top = above
        while key != top:
            self._above[key], key = top, self._above[key]
        return top

    def tie(self, one: Key, other: Key) -> None:
        """Let two keys hang together."""
        low, high = sorted((self.first(one), self.first(other)))
        self._above[high] = low


def _drawn(name: str, shares: Mapping[str, float], seed: int) -> str:
    """Draw the split of a bundle by its name alone."""
    place = draw_number("split", seed, name) / 2**64
    wanted = [(split, share) for split, share in shares.items() if share > 0]
    for split, share in wanted:
        if place < share:
            return split
        place -= share
    return wanted[-1][0]


def _distance(reached: Mapping[str, float], aimed: Mapping[str, float]) -> float:
    """Give the share of the clips that is in another split than aimed at (total variation)."""
    apart = sum(abs(reached.get(split, 0.0) - share) for split, share in aimed.items())
    return round(apart / 2, 9)


def _balance(
    splits: dict[str, str], sizes: Mapping[str, int], aimed: Mapping[str, float], seed: int
) -> None:
    """Move bundles between splits until the shares are near enough, or no move helps."""
    total = sum(sizes.values())
    wanted = [split for split, share in aimed.items() if share > 0]
    clips = Counter(dict.fromkeys(wanted, 0))
    for name, split in splits.items():
        clips[split] += sizes[name]

    def fault(counts: Mapping[str, int]) -> tuple[int, float]:
        """Empty splits first, then the distance of the shares."""
        empty = sum(not counts[split] for split in wanted)
        reached = {split: counts[split] / total for split in wanted}
        return empty, _distance(reached, aimed)

    # of equally large bundles of a split, the draw says which is moved first
    order = sorted(splits, key=lambda name: draw_number("move", seed, name))
    while total and (now := fault(clips)) > (0, NEAR_ENOUGH):
        movable: dict[tuple[str, int], str] = {}
        for name in order:
            movable.setdefault((splits[name], sizes[name]), name)
        best = min(
            (
                (fault(clips - Counter({a: size}) + Counter({b: size})), a, size, b)
                for a, size in movable
                for b in wanted
                if a != b
            ),
            default=None,
        )
        if best is None or best[0] >= now:
            return
        _, left, size, into = best
        splits[movable[left, size]] = into
        clips[left] -= size
        clips[into] += size
