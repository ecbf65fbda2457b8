"""Records <-> conversations in the ShareGPT form, registered for LLaMA-Factory.

Knows: placeholders and media lists, which always have the same length, and ``dataset_info.json``.
Does not know: how a model reads media. Questions come from `emotion_llama.prompt`.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from emotion_llama.labels import MERR
from emotion_llama.merr.draw import choose
from emotion_llama.merr.export.card import UNSPLIT, Card, write_card
from emotion_llama.merr.export.folder import files_below, whole_folder
from emotion_llama.merr.export.selection import ExportReport, Selection, is_machine_path
from emotion_llama.merr.records import MerrRecord
from emotion_llama.prompt import REASON_QUESTIONS, character_line, question
from emotion_llama.records import Task

Layout = Literal["conversations", "messages"]
"""Names of the turns: ``conversations`` with from/value (human, gpt), or ``messages`` with
role/content (user, assistant)."""

Medium = Literal["video", "audio", "image"]

MEDIA: Mapping[Medium, str] = {"video": "videos", "audio": "audios", "image": "images"}
"""Kind of file -> the list of a row that names the files."""

INFO_FILE = "dataset_info.json"
TASKS: tuple[Task, ...] = ("emotion", "reason")

_TURN_KEYS: Mapping[Layout, tuple[str, str]] = {
    "conversations": ("from", "value"),
    "messages": ("role", "content"),
}
_SPEAKERS: Mapping[Layout, tuple[str, str]] = {
    "conversations": ("human", "gpt"),
    "messages": ("user", "assistant"),
}


@dataclass(frozen=True)
class Exchange:
    """One question and its answer, read back."""

    clip_id: str
    task: Task
    answer: str


class ConversationRow(BaseModel):
    """One row, as it is written; rows of others may lack ``id`` and ``task``."""

    model_config = ConfigDict(extra="ignore", strict=True)

    id: str | None = None
    task: Task | None = None
    conversations: list[dict[str, str]] | None = None
    messages: list[dict[str, str]] | None = None
    videos: list[str] = Field(default_factory=list)
    audios: list[str] = Field(default_factory=list)
    images: list[str] = Field(default_factory=list)
    system: str | None = None

    @property
    def layout(self) -> Layout:
        """Which of the two names its turns have."""
        return "messages" if self.conversations is None else "conversations"

    def turns(self) -> list[tuple[str, str]]:
        """Give speaker and words of each turn; what is not there is empty."""
        who, what = _TURN_KEYS[self.layout]
        found = self.conversations if self.messages is None else self.messages
        return [(turn.get(who, ""), turn.get(what, "")) for turn in found or []]

    def paths(self, medium: Medium) -> list[str]:
        """Give the files of one kind."""
        return {"video": self.videos, "audio": self.audios, "image": self.images}[medium]

    def to_record(self) -> Exchange:
        """Give the exchange.

        Raises:
            ValueError: it does not say which clip or task it is of
        """
        if self.id is None or self.task is None:
            msg = (
                f"found id {self.id!r} and task {self.task!r}, expected both, as exports write them"
            )
            raise ValueError(msg)
        return Exchange(self.id, self.task, self.turns()[-1][1])


def write_conversations(
    records: Iterable[MerrRecord],
    out_dir: Path,
    *,
    own_use: bool = False,
    kept_only: bool = True,
    tasks: Sequence[Task] = TASKS,
    labels: Sequence[str] = MERR.labels,
    questions: Mapping[Task, Sequence[str]] | None = None,
    sounds: Mapping[str, str] | None = None,
    layout: Layout = "conversations",
    name: str = "merr",
    seed: int = 0,
    citations: Sequence[str] = (),
) -> ExportReport:
    """Write a row a record and task, a file a split, and the registration for LLaMA-Factory.

    A row asks about one file: ``<video>``, ``<audio>`` or ``<image>`` by its ending. Paths begin
    at the folder that was built from: give it as ``media_dir``.

    Args:
        records: of a data set
        out_dir: a new or an empty folder
        own_use: the export is not passed on, so records whose terms forbid that may be in it
        kept_only: leave out what the build rejected
        tasks: ``emotion`` asks for the label, ``reason`` for the fine caption
        labels: offered by the question of ``emotion``, in this order
        questions: pools of own wordings; those of `emotion_llama.prompt` by default
        sounds: clip id -> file with its sound, from the same folder, where video and sound are
            separate; adds ``<audio>``
        layout: names of the turns
        name: of the data set in the registration; each split appends its own
        seed: another seed draws other questions
        citations: further works that the card names

    Raises:
        ValueError: terms forbid the export, nothing is left, the folder is not empty, or the path
            of a sound begins elsewhere
    """
    _require_relative(sounds or {})
    chosen = Selection(records, kept_only=kept_only)
    pools = _pools(labels, questions)
    rows: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    written: set[str] = set()
    for record in chosen:
        for task in tasks:
            row = _row(record, task, pools[task], labels, sounds or {}, layout, seed)
            if isinstance(row, str):
                chosen.count(row)
            else:
                rows[record.split or UNSPLIT].append(row)
                written.add(record.clip_id)
    chosen.keep_only(written)
    chosen.require_terms(own_use=own_use)
    with whole_folder(out_dir) as folder:
        info = {}
        for split, members in sorted(rows.items()):
            file = f"{name}_{split}.json"
            used = [key for key in MEDIA.values() if any(row[key] for row in members)]
            _write_rows(folder / file, members, used)
            info[f"{name}_{split}"] = _registration(file, layout, used)
        text = json.dumps(info, ensure_ascii=False, indent=2) + "\n"
        (folder / INFO_FILE).write_text(text, encoding="utf-8", newline="\n")
        card = _card([*info], citations)
        write_card(folder, card, list(chosen), chosen.left_out, own_use=own_use)
        files = files_below(folder)
    return ExportReport(sum(map(len, rows.values())), chosen.left_out, files)


def check_conversations(path: Path) -> tuple[str, ...]:
    """Check conversations: each placeholder has its file, and each file its placeholder.

    Also checked: two or more turns, taken in turns, none empty; no absolute path; and, for a
    folder, that the registration names the lists that the rows have.

    Args:
        path: a file with a JSON list, or a folder with ``dataset_info.json``

    Returns:
        the faults, each with file and row; none where all is well

    Raises:
        ValueError: it cannot be read
    """
    faults = []
    for file, registered in _files(path):
        for number, row in enumerate(_read_rows(file), start=1):
            where = f"{file.name}, row {number}"
            faults += [f"{where}: {fault}" for fault in _faults(row, registered)]
    return tuple(faults)


def read_conversations(path: Path) -> list[Exchange]:
    """Read back clip, task and answer of every row.

    Args:
        path: a file or a folder that `write_conversations` wrote

    Raises:
        ValueError: a row breaks the form, or does not say which clip and task it is of
    """
    faults = check_conversations(path)
    if faults:
        msg = f"{faults[0]} ({len(faults)} faults in all); export the conversations again"
        raise ValueError(msg)
    exchanges = []
    for file, _ in _files(path):
        for number, row in enumerate(_read_rows(file), start=1):
            try:
                exchanges.append(row.to_record())
            except ValueError as error:
                msg = f"{file.name}, row {number}: {error}"
                raise ValueError(msg) from error
    return exchanges


def _require_relative(sounds: Mapping[str, str]) -> None:
    for clip_id, path in sounds.items():
        if is_machine_path(path):
            msg = (
                f"sounds, clip {clip_id!r}: found {path!r}, expected a path below the folder of "
                "the clips; give it without the part that only this machine has"
            )
            raise ValueError(msg)


def _pools(
    labels: Sequence[str], questions: Mapping[Task, Sequence[str]] | None
) -> Mapping[Task, Sequence[str]]:
    own: Mapping[Task, Sequence[str]] = {
        "emotion": [question("emotion", labels)],
        "reason": REASON_QUESTIONS,
    }
    return {**own, **(questions or {})}


def _row(
    record: MerrRecord,
    task: Task,
    pool: Sequence[str],
    labels: Sequence[str],
    sounds: Mapping[str, str],
    layout: Layout,
    seed: int,
) -> dict[str, Any] | str:
    """Write a row, or say why there is none."""
    answer = _answer(record, task, labels)
    medium = medium_of(record.path)
    if medium is None:
        return f"{task}: file of no known kind"
    if isinstance(answer, tuple):
        return f"{task}: {answer[0]}"
    media: list[tuple[Medium, str]] = [(medium, record.path)]
    if record.clip_id in sounds and medium != "audio":
        media.append(("audio", sounds[record.clip_id]))
    spoken = " ".join((record.transcript or "").split())
    asked = choose(pool, record.clip_id, task, seed)
    words = f"{character_line(spoken) if spoken else ''}{asked}"
    if any(_placeholder(kind) in words + answer for kind in MEDIA):
        return f"{task}: its text holds a placeholder"
    marks = "".join(_placeholder(kind) for kind, _ in media)
    who, what = _TURN_KEYS[layout]
    asker, answerer = _SPEAKERS[layout]
    lists = {key: [path for kind, path in media if kind == m] for m, key in MEDIA.items()}
    turns = [{who: asker, what: marks + words}, {who: answerer, what: answer}]
    return {"id": record.clip_id, "task": task, layout: turns, **lists}


def _answer(record: MerrRecord, task: Task, labels: Sequence[str]) -> str | tuple[str]:
    """Give the answer, or the reason (in a tuple) why there is none."""
    if task == "emotion":
        if record.label is None:
            return ("no label",)
        return record.label if record.label in labels else ("label is not offered",)
    caption = record.fine_caption.text if record.fine_caption else ""
    return caption or ("no fine caption",)


def medium_of(path: str) -> Medium | None:
    """Tell by the ending of a file whether it is a video, sound or a picture."""
    from emotion_llama.media import manifest

    ending = PurePosixPath(path).suffix.lower()
    if ending in manifest.VIDEO_SUFFIXES:
        return "video"
    if ending in manifest.SOUND_SUFFIXES:
        return "audio"
    return "image" if ending in manifest.PICTURE_SUFFIXES else None


def _placeholder(medium: Medium) -> str:
    return f"<{medium}>"


def _write_rows(path: Path, rows: Sequence[Mapping[str, Any]], used: Sequence[str]) -> None:
    # a list that is empty in every row has no type that a reader of the file could tell
    unused = set(MEDIA.values()) - set(used)
    lines = [
        json.dumps({k: v for k, v in row.items() if k not in unused}, ensure_ascii=False)
        for row in rows
    ]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8", newline="\n")


def _registration(file: str, layout: Layout, used: Sequence[str]) -> dict[str, Any]:
    """Write the entry of LLaMA-Factory's ``dataset_info.json``."""
    entry: dict[str, Any] = {
        "file_name": file,
        "formatting": "sharegpt",
        "columns": {"messages": layout, **{key: key for key in used}},
    }
    if layout == "messages":
        who, what = _TURN_KEYS[layout]
        asker, answerer = _SPEAKERS[layout]
        entry["tags"] = {
            "role_tag": who,
            "content_tag": what,
            "user_tag": asker,
            "assistant_tag": answerer,
        }
    return entry


def _files(path: Path) -> list[tuple[Path, set[str] | None]]:
    """Give the files with the lists that are registered for them, ``None`` where none are."""
    if path.is_file():
        return [(path, None)]
    info = path / INFO_FILE
    if not info.is_file():
        msg = (
            f"{path}: found no file and no folder with {INFO_FILE}; give one that "
            "`write_conversations` wrote"
        )
        raise ValueError(msg)
    entries = json.loads(info.read_text(encoding="utf-8"))
    return [
        (path / entry["file_name"], {*entry.get("columns", {})} & {*MEDIA.values()})
        for entry in entries.values()
    ]


def _read_rows(path: Path) -> list[ConversationRow]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{path.name}: expected a JSON list of conversations, found none ({error})"
        raise ValueError(msg) from error
    if not isinstance(content, list):
        msg = f"{path.name}: found a {type(content).__name__}, expected a JSON list of rows"
        raise ValueError(msg)
    rows = []
    for number, plain in enumerate(content, start=1):
        try:
            rows.append(ConversationRow.model_validate(plain))
        except ValidationError as error:
            fault = error.errors()[0]
            place = ".".join(map(str, fault["loc"])) or "the row"
            msg = (
                f"{path.name}, row {number}: {place}: {fault['msg'].lower()}, "
                f"found {fault['input']!r:.80}"
            )
            raise ValueError(msg) from error
    return rows


def _faults(row: ConversationRow, registered: set[str] | None) -> list[str]:
    turns = row.turns()
    faults = []
    for medium, key in MEDIA.items():
        mark, paths = _placeholder(medium), row.paths(medium)
        count = sum(words.count(mark) for _, words in turns)
        if count != len(paths):
            faults.append(f"found {count} x {mark} for {len(paths)} files in {key!r}")
        if paths and registered is not None and key not in registered:
            faults.append(f"{INFO_FILE} registers no column {key!r}, though the row has files")
        faults += [
            f"found the path {path!r}, expected one below the media folder"
            for path in paths
            if is_machine_path(path)
        ]
    expected = [_SPEAKERS[row.layout][number % 2] for number in range(len(turns))]
    speakers = [who for who, _ in turns]
    if len(turns) < 2 or len(turns) % 2 or speakers != expected:
        asker, answerer = _SPEAKERS[row.layout]
        faults.append(f"found turns of {speakers}, expected {asker} and {answerer} in turn")
    faults += [f"turn {n} is empty" for n, (_, w) in enumerate(turns, start=1) if not w.strip()]
    return faults


def _card(names: Sequence[str], citations: Sequence[str]) -> Card:
    files = {f"{name}.json": "conversations, a row a clip and task" for name in names}
    return Card(
        title="MERR conversations",
        form=(
            "The ShareGPT form, registered for LLaMA-Factory; paths begin at the folder of the "
            "clips (media_dir). The number of placeholders is that of the files in every row."
        ),
        files={**files, INFO_FILE: "registration"},
        citations=citations,
    )
