"""Every size and setting that belongs to a checkpoint, with the published values as defaults.

Knows: feature widths, LoRA sizes, lengths, task tag, offered labels. Does not know: run settings
(training, media, data), which live in ``emotion_llama/config.py``.
"""

from dataclasses import field
from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from emotion_llama.labels import MERR


@strict
class EmotionLlamaConfig(PreTrainedConfig):
    """Configuration of `EmotionLlama`. Defaults are the published sizes (docs/published-model.md).

    The language model is any causal language model that ``transformers`` loads, described by
    ``text_config``.
    """

    model_type = "emotion_llama"
    sub_configs_defaults = {  # noqa: RUF012
        "text_config": SubConfigSpec(
            config_class=AutoConfig,
            model_type="llama",
            init_kwargs={
                "vocab_size": 32000,
                "hidden_size": 4096,
                "intermediate_size": 11008,
                "num_hidden_layers": 32,
                "num_attention_heads": 32,
                "max_position_embeddings": 4096,
                "rms_norm_eps": 1e-5,
            },
        ),
    }

    text_config: Any = None

    patch_dim: int = 1408
    num_patches: int = 1024
    patches_per_token: int = 4
    local_dim: int = 1024
    temporal_dim: int = 1024
    audio_dim: int = 1024

    lora_rank: int = 64
    lora_alpha: int = 16
    lora_dropout: float | int = 0.05
    lora_target_modules: tuple[str, ...] | list[str] = ("q_proj", "v_proj")

    missing_modality: Literal["omit", "zeros"] = "omit"
    reason_tag: str = "reason"
    answers_as_written: bool = False
    """whether answers are learned with capitals and punctuation; the published ones are without"""
    reason_keeps_label: bool = False
    """whether a reason may name no other label than the decided one (`write_answers`)"""
    reason_candidates: int = 1
    """continuations that are drawn where a reason states what was not measured, of which one that
    keeps to it is taken, clause by clause; 1 leaves every reason as it is"""
    labels: tuple[str, ...] | list[str] = MERR.labels
    label_temperature: float | int = 1.0
    evidence_temperatures: dict[str, float] = field(default_factory=dict)
    """temperature of answers that rest on ``face`` (a still one), ``voice`` or ``words`` alone; all
    others, and those without an entry, have ``label_temperature``"""
    late_fusion: bool = False
    """whether the emotion is asked of what is seen and of what is heard, with the words, apart, and
    the answers multiply (`emotion_llama.model.late_fusion`); the published model has one prompt"""
    unsure_below: float | int = 0.5
    reads_english_only: bool = True
    """whether answers warn of words that are plainly not English, as the published data are"""

    max_answer_tokens: int = 1024
    max_context_tokens: int = 3800
    max_new_tokens: int = 500

    preset: str | None = None
    notice: str | None = None
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        self.labels = list(self.labels)
        # where the language model was loaded from is a path of one machine, not a setting
        self.text_config._name_or_path = ""
        self.lora_target_modules = list(self.lora_target_modules)
        self.tie_word_embeddings = bool(getattr(self.text_config, "tie_word_embeddings", False))
        if self.num_patches % self.patches_per_token:
            msg = (
                f"num_patches is {self.num_patches}, expected a multiple of patches_per_token "
                f"({self.patches_per_token})"
            )
            raise ValueError(msg)

    @property
    def num_image_tokens(self) -> int:
        """Image tokens that `<VideoHere>` stands for: 256 at the published sizes."""
        return self.num_patches // self.patches_per_token

    @property
    def feature_widths(self) -> dict[str, int]:
        """Width of each feature that the projector takes, by its name."""
        return {
            "patches": self.patch_dim,
            "local": self.local_dim,
            "temporal": self.temporal_dim,
            "audio": self.audio_dim,
            "class_token": self.patch_dim,
        }
