"""The same clip under different names: with and without folder, with and without media ending.

Knows: which names may mean one clip. Does not know: files, features, transcripts.
"""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath

from emotion_llama.feature_store.published_layout import file_stem


class ClipNames:
    """Finds which of some names a clip has.

    The name itself counts before all others. Else two names mean one clip if, without their media
    ending, the shorter is the end of the longer, folder by folder: ``test3/sample_7.avi`` and
    ``sample_7`` do, ``anna/7.wav`` and ``ben/7.wav`` do not, and two different endings do not.

    Args:
        names: among which to look
        what: they are names of, for errors
    """

    def __init__(self, names: Iterable[str], what: str) -> None:
        self.names = frozenset(names)
        self.what = what
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for name in sorted(self.names):
            self._by_stem[file_stem(name)].append(name)
        self._found_for: dict[str, str] = {}

    def find(self, clip_id: str) -> str | None:
        """Give the name of a clip, ``None`` where there is none.

        Raises:
            ValueError: it could be several, or another clip was found to have this name before
        """
        name = clip_id if clip_id in self.names else self._find_other(clip_id)
        if name is None:
            return None
        first = self._found_for.setdefault(name, clip_id)
        if first != clip_id:
            msg = (
                f"clips {first!r} and {clip_id!r} would both be {name!r} in {self.what}; name "
                "clips there by their path, so that they can be told apart"
            )
            raise ValueError(msg)
        return name

    def _find_other(self, clip_id: str) -> str | None:
        likely = self._by_stem.get(file_stem(clip_id), [])
        found = [name for name in likely if _mean_one_clip(name, clip_id)]
        if len(found) > 1:
            msg = (
                f"clip {clip_id!r} could be {found[0]!r} or {found[1]!r} in {self.what}; name the "
                "clip by its path"
            )
            raise ValueError(msg)
        return found[0] if found else None


def _mean_one_clip(one: str, other: str) -> bool:
    """Compare folders and endings of two names with the same stem."""
    endings = {PurePosixPath(name).name.removeprefix(file_stem(name)) for name in (one, other)}
    if len(endings - {""}) > 1:
        return False
    short, long = sorted((PurePosixPath(name).parent.parts for name in (one, other)), key=len)
    return long[len(long) - len(short) :] == short
