"""Records -> the forms in which others read data sets, with a card that says their terms."""

from emotion_llama.merr.export.conversation import (
    Exchange,
    check_conversations,
    read_conversations,
    write_conversations,
)
from emotion_llama.merr.export.hugging_face import read_hugging_face, write_hugging_face
from emotion_llama.merr.export.published import write_published
from emotion_llama.merr.export.selection import ExportReport
from emotion_llama.merr.export.webdataset import read_webdataset, write_webdataset

__all__ = [
    "Exchange",
    "ExportReport",
    "check_conversations",
    "read_conversations",
    "read_hugging_face",
    "read_webdataset",
    "write_conversations",
    "write_hugging_face",
    "write_published",
    "write_webdataset",
]
