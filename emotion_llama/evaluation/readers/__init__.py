"""Files of a data set -> samples; one function for each form that data sets are published in."""

from collections.abc import Callable, Mapping
from pathlib import Path

from emotion_llama.evaluation.protocol import Protocol
from emotion_llama.evaluation.readers import (
    dfew,
    emer,
    ferv39k,
    iemocap,
    mafw,
    meld,
    mer,
    mmsa,
)
from emotion_llama.evaluation.readers.data_folder import read_pictures, read_set
from emotion_llama.evaluation.readers.file_names import read_crema_d, read_ravdess
from emotion_llama.evaluation.readers.table import own_labels, read_folder, read_manifest
from emotion_llama.evaluation.samples import Reading

Reader = Callable[[Path, Protocol, Path], Reading]
"""Folder of the data, protocol, folder where pictures may be unpacked -> samples."""

READERS: Mapping[str, Reader] = {
    "crema-d": read_crema_d,
    "data-folder": read_set,
    "data-folder-pictures": read_pictures,
    "dfew": dfew.read,
    "emer": emer.read,
    "ferv39k": ferv39k.read,
    "folder": read_folder,
    "iemocap": iemocap.read,
    "mafw": mafw.read,
    "manifest": read_manifest,
    "meld": meld.read,
    "mer": mer.read,
    "mmsa": mmsa.read,
    "ravdess": read_ravdess,
}
"""``reader`` of a protocol -> function."""

__all__ = ["READERS", "Reader", "own_labels"]
