"""Settings in, a trained model out: read the data, load the start, train, write what came of it.

Knows: the order of the steps and what a run's folder holds. Does not know: how any step works.
"""

import logging
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from transformers import AutoTokenizer, TrainingArguments
from transformers.integrations import is_tensorboard_available, is_wandb_available

from emotion_llama.clip_reader import ClipReader
from emotion_llama.config import SourceConfig, TrainConfig
from emotion_llama.data import (
    Collator,
    DrawSource,
    Example,
    ExampleDraws,
    NoFeaturesError,
    as_instruction,
    open_features,
    read_source,
    require_disjoint_people,
    require_offered,
)
from emotion_llama.device import choose_device, choose_dtype
from emotion_llama.encoders import FeatureExtractor
from emotion_llama.evidence import measured_evidence
from emotion_llama.merr.record_file import RECORDS_FILE
from emotion_llama.model import EmotionLlama, EmotionLlamaProcessor, quantization_config
from emotion_llama.model.checkpoint import export
from emotion_llama.model.composition import compose
from emotion_llama.preset import find_preset, preset_media
from emotion_llama.records import Features
from emotion_llama.training import (
    EmotionTrainer,
    PublishedSchedule,
    load_adapter,
    newest_checkpoint,
    prepare_trainable,
    write_model,
)
from emotion_llama.training.run_record import (
    METRICS_FILE,
    PLOT_FILE,
    MetricsFile,
    draw_losses,
    file_hash,
    read_metrics,
    write_record,
)
from emotion_llama.training.validation import ValidationCallback, Validator

logger = logging.getLogger(__name__)

MODEL_DIR = "model"
"""Folder of a run with the trained model: what `Predictor` loads."""

MERGED_DIR = "merged"
"""The same model with LoRA added to the weights, where it is asked for."""

ANSWERS_FILE = "answers.jsonl"
"""What the model wrote at each validation."""

LOG_EVERY = 10
"""Steps between two lines of the log."""

_PRECISION = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
_FSDP = {"version": 2, "reshard_after_forward": True, "state_dict_type": "FULL_STATE_DICT"}
"""Layers of the language model are gathered when they are computed and freed after that; the
optimiser's state is saved in one piece, so that another number of GPUs can go on with it."""

_LOGGERS: Mapping[str, Callable[[], bool]] = {
    "tensorboard": is_tensorboard_available,
    "wandb": is_wandb_available,
}
_NAMED = 3


@dataclass(frozen=True)
class TrainReport:
    """What came of a run."""

    model_dir: Path
    """the trained model; the best one of the validation, else the last"""
    num_trainable: int
    num_steps: int
    best_step: int | None
    """``None`` without validation"""
    figures: Mapping[str, float]
    """of the last validation"""
    counts: Mapping[str, Mapping[str, int]]
    """source -> what its clips lack, or why they are left out -> how many"""
    merged_dir: Path | None = None
    """the model without LoRA apart, where it was asked for"""
    published: Path | None = None
    """the published form, where it was asked for"""


def train(config: TrainConfig) -> TrainReport:
    """Train, or go on with a run that was stopped in the same folder.

    1. Read and check the data. 2. Load the start. 3. Train, with validation. 4. Write the model.

    Args:
        config: what is trained on what, and how

    Raises:
        ValueError: the data cannot be used, or clips lack features
        FileExistsError: the file of the published form is there, and not from this run
        FileNotFoundError: it has no folder
        PresetError: there is no such start
    """
    output = Path(config.output)
    if config.published is not None:
        _require_place(Path(config.published), output)
    encoders = _Encoders(
        find_preset(config.encoders, encoders_only=True)
        if config.encoders
        else Path(find_preset(config.start))
    )
    training, counts = _sources(config.sources, encoders)
    validation, _ = _sources(config.validation, encoders)
    require_disjoint_people(
        [example for source in training for example in source.examples],
        [example for source in validation for example in source.examples],
    )
    model, processor = _load(config, encoders)
    model.language_model.set_attn_implementation(config.attention)
    for source in training:
        require_offered(source.examples, processor.config.labels)
    training = _readable(config.sources, training, counts, model, processor)
    output.mkdir(parents=True, exist_ok=True)
    validator = Validator(processor, validation) if validation else None
    trainer = _trainer(config, model, processor, training, validator, encoders)
    if trainer.is_world_process_zero():
        write_record(output, config, _facts(config, trainer, training, counts))
    trainer.train(resume_from_checkpoint=newest_checkpoint(output))
    return _finish(config, trainer, processor, encoders, counts)


class _Encoders:
    """The encoders of the start, loaded when the first clip has to be encoded.

    Args:
        folder: of the start
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_used = False

    @cached_property
    def _extractor(self) -> FeatureExtractor:
        return FeatureExtractor.from_pretrained(self.folder, device=choose_device(None))

    @cached_property
    def _reader(self) -> ClipReader:
        measure = measured_evidence if self._extractor.reads_clues else None
        return ClipReader(preset_media(self.folder), measure=measure)

    @property
    def widths(self) -> Mapping[str, int]:
        """Widths of the features, by the names of `EmotionLlamaConfig`."""
        found = self._extractor
        sizes: dict[str, int] = {}
        if found.global_ is not None:
            sizes |= {
                "patch_dim": found.global_.patch_dim,
                "num_patches": found.global_.num_patches,
            }
        for role in ("local", "temporal", "audio"):
            encoder = getattr(found, role)
            if encoder is not None:
                sizes[f"{role}_dim"] = encoder.output_dim
        return sizes

    def file(self, path: Path) -> Features:
        """Encode a file."""
        return self._extractor.extract(self._reader.read(path))

    def picture(self, pixels: NDArray[Any]) -> Features:
        """Encode a stored key frame."""
        return self._extractor.with_global(Features(), pixels)

    @property
    def are_there(self) -> bool:
        """Whether the start has encoders."""
        return (self.folder / "encoders").is_dir()


def _sources(
    sources: Sequence[SourceConfig], encoders: _Encoders
) -> tuple[list[DrawSource], dict[str, Mapping[str, int]]]:
    """Read annotations and open their features; refuse clips that have none before training."""
    drawn: list[DrawSource] = []
    counts: dict[str, Mapping[str, int]] = {}
    for source in sources:
        reading = read_source(source)
        counts[source.path] = reading.counts
        can = encoders.are_there
        features = open_features(
            source,
            encoders.file if can and (source.features is None or source.media) else None,
            encode_picture=encoders.picture if can else None,
        )
        encoders.is_used |= source.kind != "instructions" and (
            source.features is None or source.media is not None
        )
        lacking = features.lacking(example.clip_id for example in reading.examples)
        if lacking:
            more = f" and {len(lacking) - _NAMED} more" * (len(lacking) > _NAMED)
            msg = (
                f"{source.path}: {len(lacking)} clips have no features ("
                f"{', '.join(lacking[:_NAMED])}{more}); run `emotion-llama extract` for them, or "
                "leave them out of the annotations"
            )
            raise NoFeaturesError(msg)
        drawn.append(DrawSource(reading.examples, features, source.weight))
    return drawn, counts


def _readable(
    sources: Sequence[SourceConfig],
    drawn: Sequence[DrawSource],
    counts: dict[str, Mapping[str, int]],
    model: EmotionLlama,
    processor: EmotionLlamaProcessor,
) -> list[DrawSource]:
    """Leave out instructions that are longer than a prompt may be, and count them.

    Raises:
        ValueError: no instruction is left, or the model has nothing that could learn from them
    """
    kept: list[DrawSource] = []
    for source, given in zip(sources, drawn, strict=True):
        if source.kind != "instructions":
            kept.append(given)
            continue
        if not model.config.lora_rank:
            msg = (
                f"{source.path}: found instructions, but the start has no LoRA, and projections "
                "learn nothing from text; start from a model with lora_rank above 0, not from a "
                "merged one"
            )
            raise ValueError(msg)
        examples = [example for example in given.examples if _fits(processor, example)]
        limit = processor.config.max_context_tokens
        if not examples:
            msg = f"{source.path}: found no instruction of at most {limit} tokens; add some"
            raise ValueError(msg)
        if len(examples) < len(given.examples):
            left_out = {f"longer than {limit} tokens": len(given.examples) - len(examples)}
            counts[source.path] = {**counts[source.path], **left_out}
        kept.append(replace(given, examples=examples))
    return kept


def _fits(processor: EmotionLlamaProcessor, example: Example) -> bool:
    try:
        processor.encode_prompt(as_instruction(example), {})
    except ValueError:
        return False
    return True


def _load(config: TrainConfig, encoders: _Encoders) -> tuple[EmotionLlama, EmotionLlamaProcessor]:
    """Load what training starts from, or put it together."""
    is_new = config.encoders is not None
    model, processor = _compose(config, encoders) if is_new else _start(encoders.folder, config)
    if config.late_fusion is not None:
        model.config.late_fusion = config.late_fusion
    return model, processor


def _start(folder: Path, config: TrainConfig) -> tuple[EmotionLlama, EmotionLlamaProcessor]:
    """Load what training starts from."""
    device = choose_device(None)
    # weights that learn are brought to fp32; frozen ones take the type of the matrix products
    loading: dict[str, Any] = {"dtype": choose_dtype(_PRECISION[config.precision], device)}
    if config.quantize_bits is not None:
        loading |= {
            "quantization_config": quantization_config(config.quantize_bits),
            "device_map": {
                "": int(os.environ.get("LOCAL_RANK", "0")) if device != "cpu" else "cpu"
            },
        }
    model = EmotionLlama.from_pretrained(folder, **loading)
    return model, EmotionLlamaProcessor.from_pretrained(folder)


def _compose(
    config: TrainConfig, encoders: _Encoders
) -> tuple[EmotionLlama, EmotionLlamaProcessor]:
    """Make a model that has learned nothing yet out of a plain language model."""
    if config.quantize_bits is not None:
        msg = (
            "quantize_bits is set and start is a plain language model; train without it, or write "
            "the composed model first and start from its folder"
        )
        raise ValueError(msg)
    dtype = choose_dtype(_PRECISION[config.precision], choose_device(None))
    model = compose(
        config.start, encoders.widths, dtype=dtype, seed=config.seed, **dict(config.model)
    )
    tokenizer = AutoTokenizer.from_pretrained(config.start)
    return model, EmotionLlamaProcessor(tokenizer, model.config)


def _trainer(
    config: TrainConfig,
    model: EmotionLlama,
    processor: EmotionLlamaProcessor,
    training: Sequence[DrawSource],
    validator: Validator | None,
    encoders: _Encoders,
) -> EmotionTrainer:
    output = Path(config.output)
    num_processes = int(os.environ.get("WORLD_SIZE", "1"))
    num_steps = config.epochs * config.steps_per_epoch
    draws = ExampleDraws(
        training,
        num_steps * config.batch_size * config.accumulate * num_processes,
        seed=config.seed,
        modality_dropout=config.modality_dropout,
        late_fusion=model.config.late_fusion,
    )
    callbacks: list[Any] = [MetricsFile(output / METRICS_FILE)]
    if validator is not None:
        callbacks.append(
            ValidationCallback(
                validator,
                metric=config.metric,
                patience=config.patience,
                answers_file=output / ANSWERS_FILE,
            )
        )
    return EmotionTrainer(
        model,
        arguments(config, num_steps, validates=validator is not None, encodes=encoders.is_used),
        train_dataset=draws,
        collator=Collator(processor),
        schedule=schedule(config),
        equal_answers=config.equal_answers,
        validate=validator,
        callbacks=callbacks,
    )


def schedule(config: TrainConfig) -> PublishedSchedule | None:
    """Give the published schedule, or ``None`` where one of the library is asked for."""
    if config.schedule != "published":
        return None
    return PublishedSchedule(
        learning_rate=config.learning_rate,
        min_learning_rate=config.min_learning_rate,
        warmup_learning_rate=config.warmup_learning_rate,
        warmup_steps=config.warmup_steps,
    )


def arguments(
    config: TrainConfig, num_steps: int, *, validates: bool, encodes: bool
) -> TrainingArguments:
    """Give the settings of the library's trainer.

    Args:
        config: of the run
        num_steps: of the run
        validates: whether there is a validation
        encodes: whether clips are encoded while training, which other processes cannot do
    """
    every = config.evaluate_every or config.steps_per_epoch
    library = {} if config.schedule == "published" else {"lr_scheduler_type": config.schedule}
    return TrainingArguments(
        output_dir=config.output,
        max_steps=num_steps,
        per_device_train_batch_size=config.batch_size,
        gradient_accumulation_steps=config.accumulate,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_steps,
        weight_decay=config.weight_decay,
        adam_beta1=config.betas[0],
        adam_beta2=config.betas[1],
        max_grad_norm=config.max_grad_norm,
        bf16=config.precision == "bf16",
        fp16=config.precision == "fp16",
        activation_checkpointing=config.gradient_checkpointing,
        eval_strategy="steps" if validates else "no",
        eval_steps=every if validates else None,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=config.keep_checkpoints,
        logging_steps=LOG_EVERY,
        report_to=loggers(config.report_to),
        dataloader_num_workers=0 if encodes else config.num_workers,
        seed=config.seed,
        use_cpu=choose_device(None) == "cpu",
        fsdp=config.fsdp or None,
        fsdp_config=dict(_FSDP) if config.fsdp else None,
        **library,
    )


def loggers(wanted: Sequence[str]) -> list[str]:
    """Give the loggers that are installed, and say which are not."""
    found = []
    for name in wanted:
        if _LOGGERS.get(name, lambda: True)():
            found.append(name)
        else:
            logger.warning("%s is not installed: nothing is logged there", name)
    return found or ["none"]


def _facts(
    config: TrainConfig,
    trainer: EmotionTrainer,
    training: Sequence[DrawSource],
    counts: Mapping[str, Mapping[str, int]],
) -> Mapping[str, Any]:
    return {
        "trainable_parameters": trainer.num_trainable,
        "processes": trainer.args.world_size,
        "examples": {
            source.path: len(drawn.examples)
            for source, drawn in zip(config.sources, training, strict=True)
        },
        "lacking": {name: dict(count) for name, count in counts.items()},
        "data_sha256": {
            source.path: file_hash(_annotations(Path(source.path)))
            for source in (*config.sources, *config.validation)
        },
    }


def _annotations(path: Path) -> Path:
    """Give the file of the annotations: of a data set, its records."""
    return path / RECORDS_FILE if path.is_dir() else path


def _require_place(published: Path, output: Path) -> None:
    """Refuse before training what could not be written after it."""
    inside = published.parent.resolve() == output.resolve()
    if not inside and not published.parent.is_dir():
        msg = f"published is {published}, but there is no folder {published.parent}; make it first"
        raise FileNotFoundError(msg)
    if published.exists() and not (output / MODEL_DIR).is_dir():
        msg = f"published is {published}, which exists; name another file, or remove it"
        raise FileExistsError(msg)


def _finish(
    config: TrainConfig,
    trainer: EmotionTrainer,
    processor: EmotionLlamaProcessor,
    encoders: _Encoders,
    counts: Mapping[str, Mapping[str, int]],
) -> TrainReport:
    """Write the best model of the run, and draw its losses."""
    output, state = Path(config.output), trainer.state
    best = state.best_model_checkpoint
    figures: dict[str, float] = {}
    if trainer.is_world_process_zero():
        model = _best_model(config, trainer, encoders)
        folder = encoders.folder
        _write_models(config, model, processor, folder if folder.is_dir() else None)
        rows = read_metrics(output / METRICS_FILE)
        draw_losses(rows, output / PLOT_FILE, config.metric)
        scored = [row for row in rows if any(name.startswith("eval_") for name in row)]
        figures = {n[5:]: v for n, v in (scored or [{}])[-1].items() if n.startswith("eval_")}
    trainer.accelerator.wait_for_everyone()
    return TrainReport(
        model_dir=output / MODEL_DIR,
        num_trainable=trainer.num_trainable,
        num_steps=state.global_step,
        best_step=state.best_global_step if best is not None else None,
        figures=figures,
        counts=counts,
        merged_dir=output / MERGED_DIR if config.merge else None,
        published=None if config.published is None else Path(config.published),
    )


def _best_model(config: TrainConfig, trainer: EmotionTrainer, encoders: _Encoders) -> EmotionLlama:
    """Give the model of the best checkpoint, or the last one, with all its weights."""
    model: EmotionLlama = trainer.accelerator.unwrap_model(trainer.model)
    checkpoint = trainer.state.best_model_checkpoint
    if config.fsdp:
        # this process holds a part of each weight; the frozen ones are those of the start
        model, _ = _load(config, encoders)
        prepare_trainable(model)
        checkpoint = checkpoint or f"{config.output}/checkpoint-{trainer.state.global_step}"
    if checkpoint is not None:
        load_adapter(model, Path(checkpoint))
    return model


def _write_models(
    config: TrainConfig,
    model: EmotionLlama,
    processor: EmotionLlamaProcessor,
    encoders: Path | None,
) -> None:
    """Write the model in every form that is asked for; merging comes last, for it changes it."""
    output = Path(config.output)
    write_model(model, processor, _fresh(output / MODEL_DIR), encoders=encoders)
    if config.published is not None:
        export(output / MODEL_DIR, config.published)
    merged = _fresh(output / MERGED_DIR)
    if config.merge:
        write_model(model, processor, merged, encoders=encoders, merge=True)


def _fresh(folder: Path) -> Path:
    """Move a model of an earlier end of the run out of the way, so that it is never mixed."""
    if folder.exists():
        shutil.rmtree(folder)
    return folder
