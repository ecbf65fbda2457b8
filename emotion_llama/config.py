"""Settings of a run, checked when they are made: a wrong value or an unknown name is an error.

Knows: every setting, its unit and its default. Does not know: how a setting is carried out.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


class FramePolicy(NamedTuple):
    """A key-frame policy, taken apart."""

    name: Literal["first", "middle", "peak", "uniform"]
    num_frames: int
    """frames that the policy chooses; 1 but for ``uniform``"""


def parse_frame_policy(policy: str) -> FramePolicy:
    """Read a key-frame policy from its written form.

    Args:
        policy: ``first``, ``middle``, ``peak`` or ``uniform:n`` with n of at least 1

    Raises:
        ValueError: another form
    """
    if policy == "first":
        return FramePolicy("first", 1)
    if policy == "middle":
        return FramePolicy("middle", 1)
    if policy == "peak":
        return FramePolicy("peak", 1)
    uniform = re.fullmatch(r"uniform:([1-9][0-9]{0,3})", policy)
    if uniform:
        return FramePolicy("uniform", int(uniform[1]))
    msg = (
        f"key_frame={policy!r} is no key-frame policy; choose 'first', 'middle', 'peak' or "
        "'uniform:n' with n from 1 to 9999"
    )
    raise ValueError(msg)


def _checked_policy(policy: str) -> str:
    parse_frame_policy(policy)
    return policy


class MediaConfig(BaseModel):
    """How a file becomes a `Clip`: sampling of sound and frames, and where the face comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    sample_rate_hz: int = Field(default=16000, ge=1000, le=192_000)
    """Samples per second of the mono waveform; speech encoders are trained at 16 kHz."""

    frames_per_second: float = Field(default=5.0, gt=0, allow_inf_nan=False)
    """Frames kept per second of picture, spread evenly over the presentation time."""

    max_frames: int = Field(default=64, ge=1)
    """Most frames kept of one clip; a longer clip is sampled more thinly over its whole length."""

    max_frame_px: int = Field(default=1280, ge=16)
    """Longest side of a kept frame in pixels; a larger frame is shrunk, which bounds the memory."""

    min_audio_s: float = Field(default=0.025, gt=0, allow_inf_nan=False)
    """Shortest usable sound in seconds: one analysis window of the speech encoders."""

    max_duration_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Seconds of sound to keep from the start; ``None`` keeps all. Frames are not affected."""

    key_frame: Annotated[str, AfterValidator(_checked_policy)] = "middle"
    """The frame that the global encoder sees: ``first``, ``middle``, ``peak``, or ``uniform:n``.

    ``peak`` is the sampled frame with the strongest facial action units of the person; where
    nobody's can be measured it is the middle one, and the answer says so.

    ``uniform:n`` samples exactly n frames, one from the middle of each of n equal parts of the
    clip, in place of ``frames_per_second`` and ``max_frames``; the middle one is the key frame.
    """

    face_source: Literal["detect", "whole-frame"] = "detect"
    """``detect`` looks for a face; ``whole-frame`` is the user's statement that every picture is a
    face crop already, as in data sets of face crops."""

    align_whole_frames: bool = False
    """With ``whole-frame``: turn and scale each picture on the eyes as a detected face is, where
    points are found. For encoders that were trained on aligned faces."""

    person: int = Field(default=1, ge=1)
    """Whose face: 1 is the main person (size x presence x centrality), 2 the next one, ..."""

    face_crop_size: int = Field(default=112, ge=16)
    """Side of the square face crop in pixels."""


PUBLISHED_MEDIA: Mapping[str, Any] = {
    "key_frame": "peak",
    "face_crop_size": 224,
    "frames_per_second": 25.0,
    "max_frames": 160,
}
"""How files are read for the published encoders, where that differs from the defaults.

Every frame of a clip of up to 6.4 s at 25 frames a second (those of MER2023 last 2 to 5 s), crops
as large as the towers take them, and the peak frame (Cheng et al. 2024, figure 2); the published
evaluation read the first: ``--key-frame first``.
"""


PEAK_SMOOTHING_S = 0.4
"""Seconds over which action units are smoothed before their peak: talking lips move four to five
times a second."""

Keep = Literal["agreeing", "undisputed", "all"]
"""Which clips stay by what the rule table says to their label: those whose rule fired (as
published), those whose rule did not fail to, or all."""


class BuildConfig(BaseModel):
    """How a data set is built from raw clips (`emotion_llama.merr.build`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    rules: str = "merr"
    """Table that is asked whether action units fit the label: ``merr``, ``mer-factory``, ``facs``
    or a YAML file."""

    keep: Keep = "agreeing"
    """Which clips stay; see `Keep`."""

    frames_per_second: float = Field(default=30.0, gt=0, allow_inf_nan=False)
    """Most frames looked at for action units; expressions can be as short as 0.1 s."""

    peak_reading: Literal["all", "frequent"] = "all"
    """Units summed at the peak, see `emotion_llama.face.peak`."""

    peak_speech: Literal["unless-talking", "count"] = "unless-talking"
    """Whether parted lips and a dropped jaw count at the peak: only where nobody is heard or seen
    to talk, or always, as published."""

    peak_weights: Literal["confidence", "none"] = "confidence"
    """How units weigh in the sum at the peak: by how surely they are measured, or all alike, as
    published."""

    peak_smoothing_s: float = Field(default=PEAK_SMOOTHING_S, ge=0, allow_inf_nan=False)
    """Width of the running median over action units before the peak is looked for; 0 takes single
    frames, as published."""

    seed: int = Field(default=0, ge=0)
    """Changes which of several phrasings is drawn, and which side of a split a person falls on."""

    text_model: str = "offline"
    """What writes the fine captions: ``offline``, ``hf:ID`` or ``http://host:port/v1#model``."""

    picture_model: str = "offline"
    """What describes the peak frame; ``offline`` states measured facts only."""

    voice_model: str = "offline"
    """What describes the voice; ``offline`` words its measures."""

    allow_remote: bool = False
    """Lets endpoints be on another machine, which is then sent faces, voices and words."""

    fine_tries: int = Field(default=3, ge=1, le=20)
    """Answers that the text model may give before a clip is dropped."""

    split_shares: Mapping[str, float] = {"train": 0.8, "dev": 0.1, "test": 0.1}
    """Shares of the clips that each split aims at; people are never torn apart for them."""

    min_face_coverage: float = Field(default=0.5, ge=0, le=1)
    """Smallest share of the frames that show the main person's face."""

    min_face_score: float = Field(default=0.6, ge=0, le=1)
    """Smallest mean probability that what was followed is a face."""

    min_snr_db: float = Field(default=6.0, allow_inf_nan=False)
    """Smallest level of speech over that of the pauses, in dB."""

    min_speech_share: float = Field(default=0.1, ge=0, le=1)
    """Smallest share of a clip with sound in which somebody speaks."""

    min_transcript_agreement: float = Field(default=0.5, ge=0, le=1)
    """Smallest share of words in which a given transcript and a recognised one agree."""

    max_contradiction: float = Field(default=1.0, ge=0, le=1)
    """Largest share of what the clues say of the label that may speak against it; 1: any."""

    drop_duplicates: bool = True
    """Whether only the first of clips that show the same recording stays."""

    max_per_label: int | None = Field(default=None, ge=1)
    """Most clips that stay of each label, drawn by hash; ``None``: all."""


PUBLISHED_BUILD: Mapping[str, Any] = {
    "rules": "merr",
    "keep": "agreeing",
    "peak_reading": "all",
    "peak_speech": "count",
    "peak_weights": "none",
    "peak_smoothing_s": 0.0,
}
"""Settings of the published construction where they are known: single frames, every unit of the
sum, the published table (Cheng et al. 2024, section 3.1; docs/merr.md)."""


AnnotationKind = Literal["dataset", "merr-coarse", "merr-fine", "mer2023", "table", "instructions"]
"""Form of annotations: a data set of `emotion-llama build`; the published MERR files; the list of
clips of MER2023 with its transcripts; a table with the columns path, label and, if known, text;
plain instructions with their answers, without clips."""

_OF_CLIPS = ("transcripts", "tasks", "labels", "offered", "split", "features", "media")
"""Settings of a source that say something of clips, and nothing of plain instructions."""


class SourceConfig(BaseModel):
    """One set of annotations that a training draws from."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    kind: AnnotationKind
    """Form of the annotations."""

    path: str
    """Data set's folder, MERR's JSON file, list of clips, table, or file of instructions."""

    transcripts: str | None = None
    """Table with the columns name and sentence, where the annotations have none."""

    tasks: tuple[Literal["emotion", "reason"], ...] = ("emotion", "reason")
    """What is asked about each clip; ``reason`` needs a caption."""

    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Share of the draws, relative to those of the other sources."""

    labels: tuple[str, ...] | None = None
    """Keep only clips with one of these labels; ``None`` keeps all."""

    offered: tuple[str, ...] | None = None
    """Labels that the question of ``emotion`` offers, in this order; ``None``: the checkpoint's."""

    split: str | None = "train"
    """Split to draw from, where annotations state any (data sets, tables); ``None``: all."""

    features: str | None = None
    """Feature store, or parent of the published ``.npy`` folders; ``None`` runs the encoders."""

    media: str | None = None
    """Folder of the clips, for the encoders and for key frames that are not stored."""

    @model_validator(mode="after")
    def _instructions_have_no_clips(self) -> "SourceConfig":
        fields = type(self).model_fields
        given = [n for n in _OF_CLIPS if getattr(self, n) != fields[n].default]
        if self.kind == "instructions" and given:
            msg = (
                f"found {', '.join(given)} in a source of instructions, expected path and weight "
                "only, for there are no clips; take the others out"
            )
            raise ValueError(msg)
        return self


class TrainConfig(BaseModel):
    """A training run (`emotion_llama.train`); configs/ has one file a recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    start: str
    """What training starts from: a folder of `emotion-llama convert` or of training, a packaged
    preset, a hub id; or a plain causal language model, with ``encoders``."""

    encoders: str | None = None
    """Preset or folder whose encoders the model reads, if ``start`` is a plain language model."""

    output: str
    """Folder of the run: checkpoints, resolved configuration, metrics, plot."""

    sources: tuple[SourceConfig, ...] = Field(min_length=1)
    """What is learned from."""

    validation: tuple[SourceConfig, ...] = ()
    """What is scored during training; people of ``sources`` must not be in it."""

    epochs: int = Field(default=30, ge=1)
    """Stretches of ``steps_per_epoch``, as published: not passes through the data."""

    steps_per_epoch: int = Field(default=1000, ge=1)
    """Optimiser steps of an epoch."""

    batch_size: int = Field(default=1, ge=1)
    """Examples of one process at once."""

    accumulate: int = Field(default=1, ge=1)
    """Batches whose gradients are added up before a step."""

    learning_rate: float = Field(default=1e-5, gt=0)
    """Rate at the end of the warm-up."""

    min_learning_rate: float = Field(default=1e-6, ge=0)
    """Rate that the cosine falls to."""

    warmup_learning_rate: float = Field(default=1e-6, ge=0)
    """Rate that the warm-up starts from."""

    warmup_steps: int = Field(default=1000, ge=0)
    """Steps of linear warm-up."""

    schedule: str = "published"
    """``published``: warm-up, then a cosine that counts from step 0; else a name of the schedules
    of ``transformers``."""

    weight_decay: float = Field(default=0.05, ge=0)
    """Of weights with two or more dimensions whose name has none of bias, ln, bn."""

    betas: tuple[float, float] = (0.9, 0.999)
    """Of AdamW."""

    max_grad_norm: float = Field(default=0.0, ge=0)
    """Largest norm of the gradient; 0 does not clip, as published."""

    equal_answers: bool = False
    """Take the mean over the tokens of each answer before that over answers, so that a label counts
    as much as a reason; as published, where a process had one answer at a time."""

    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number type of the matrix products; the published runs used fp16 with loss scaling."""

    quantize_bits: Literal[4, 8] | None = None
    """Load the frozen language model in few bits (QLoRA); needs ``bitsandbytes``."""

    attention: Literal["sdpa", "eager"] = "sdpa"
    """How the language model computes attention; on a CPU ``eager`` is the faster one for short
    rows, and trains a small model in a fifth less time."""

    fsdp: bool = False
    """Spread the weights over the GPUs that torchrun starts processes for (FSDP2), where the
    language model does not fit into one; else every GPU holds all of them."""

    gradient_checkpointing: bool = False
    """Compute the language model's activations twice instead of keeping them."""

    modality_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Probability that each modality of an ``emotion`` example is left out, so that any subset
    works later; at least one stays. Captions speak of all modalities, so theirs stay."""

    late_fusion: bool | None = None
    """Whether the emotion is asked of what is seen and of what is heard apart, in training and in
    use (`emotion_llama.model.late_fusion`); ``None``: as in the start."""

    seed: int = Field(default=42, ge=0)
    """Of the order of the data, questions, dropout and new weights."""

    evaluate_every: int | None = Field(default=None, ge=1)
    """Steps between validations; ``None``: at the end of each epoch."""

    metric: Literal["uar", "weighted_f1", "accuracy", "reason_loss", "instruction_loss"] = (
        "weighted_f1"
    )
    """Which figure of the validation chooses the best checkpoint."""

    patience: int | None = Field(default=None, ge=1)
    """Validations without a better figure after which training stops."""

    keep_checkpoints: int = Field(default=2, ge=1)
    """Latest checkpoints that are kept, beside the best one."""

    report_to: tuple[str, ...] = ("tensorboard",)
    """Loggers of ``transformers``; those that are not installed are named and left out."""

    model: Mapping[str, Any] = {}
    """Settings of `EmotionLlamaConfig` (``lora_rank``, ``labels``, ...) where ``start`` is a plain
    language model; otherwise the start's hold."""

    num_workers: int = Field(default=2, ge=0)
    """Processes that read features."""

    merge: bool = False
    """Also write ``merged`` into ``output``: the model with LoRA added to the weights it belongs
    to, which answers faster and is a plain model; ``model`` is the one to go on training from."""

    published: str | None = None
    """Also write LoRA and projections into this file, in the published form (``.pth``)."""

    @model_validator(mode="after")
    def _quantised_weights_stay_as_they_are(self) -> "TrainConfig":
        refused = {
            "merge": "LoRA would be rounded away in quantised weights",
            "fsdp": "quantised weights are not spread over GPUs",
        }
        for name, why in refused.items():
            if getattr(self, name) and self.quantize_bits is not None:
                msg = (
                    f"found {name} with quantize_bits {self.quantize_bits}, expected one of them, "
                    f"for {why}; train without {name}"
                )
                raise ValueError(msg)
        return self


class ServeConfig(BaseModel):
    """What the page and the API accept, and how much at once (`emotion_llama.server`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    max_upload_mb: float = Field(default=200.0, gt=0, allow_inf_nan=False)
    """Largest file in 10^6 bytes."""

    max_json_kb: float = Field(default=256.0, gt=0, allow_inf_nan=False)
    """Largest JSON body in 10^3 bytes, but for chat requests, which carry files in them."""

    max_duration_s: float = Field(default=600.0, gt=0, allow_inf_nan=False)
    """Longest clip, by its header and by what is in it."""

    max_side_px: int = Field(default=4096, ge=16)
    """Longest side of a picture."""

    max_streams: int = Field(default=16, ge=1)
    """Most tracks of a file."""

    max_text_chars: int = Field(default=4000, ge=1)
    """Longest transcript or question."""

    read_limit_s: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    """Seconds that decoding and measuring one clip may take; its process is ended then."""

    read_memory_mb: int = Field(default=2048, ge=64)
    """Memory that decoding one clip may take, in 2^20 bytes."""

    answer_limit_s: float = Field(default=300.0, gt=0, allow_inf_nan=False)
    """Seconds that a request may take from its arrival to its answer, waiting included."""

    body_limit_s: float = Field(default=120.0, gt=0, allow_inf_nan=False)
    """Seconds that a client has to send its request."""

    num_readers: int = Field(default=2, ge=1, le=64)
    """Processes that read clips."""

    max_waiting: int = Field(default=64, ge=1)
    """Requests accepted and not yet answered; more are told to come back later."""

    batch_size: int = Field(default=8, ge=1)
    """Most clips answered together."""

    requests_per_minute: int = Field(default=120, ge=1)
    """Requests of one key, or of one address (on the page, or where no key is required), in a
    minute."""

    trusted_proxy: str = ""
    """Address of the proxy in front, which is believed when it says (`X-Forwarded-For`) who asks;
    where none is named, nobody is."""

    segment_s: float = Field(default=20.0, ge=1, allow_inf_nan=False)
    """The page answers for a longer clip in parts of at most so many seconds."""

    keep_files_s: float = Field(default=3600.0, gt=0, allow_inf_nan=False)
    """Seconds that a file uploaded for chat is kept."""

    max_files: int = Field(default=100, ge=1)
    """Files uploaded for chat that are kept of one key."""

    max_batch_clips: int = Field(default=1000, ge=1)
    """Clips of one batch."""

    keep_batches_s: float = Field(default=86_400.0, gt=0, allow_inf_nan=False)
    """Seconds that the results of a batch are kept after its end."""
