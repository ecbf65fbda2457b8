"""The model of the figure: features are projected, placed at their marks, and read by a LLaMA.

Knows: how feature tokens enter the language model, and how its answers are generated and scored.
Does not know: files, encoders, prompt wording. This is the file to read first.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoProcessor,
    BitsAndBytesConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import CausalLMOutputWithPast

from emotion_llama.model.configuration import EmotionLlamaConfig
from emotion_llama.model.processor import EmotionLlamaProcessor
from emotion_llama.model.projector import TOKEN_KINDS, ModalityProjector
from emotion_llama.model.weight_files import CheckpointError


class EmotionLlama(PreTrainedModel):
    """A causal language model with LoRA that reads projected emotion features.

    The forward pass:

    1. embed the text tokens;
    2. project each modality's features (`ModalityProjector`);
    3. place them at their positions, counted per row;
    4. let the language model predict the next tokens.

    Args:
        config: sizes of the projections, of the LoRA layers and of the language model
    """

    config_class = EmotionLlamaConfig
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    def __init__(self, config: EmotionLlamaConfig) -> None:
        super().__init__(config)
        self.projector = ModalityProjector(
            patch_dim=config.patch_dim,
            local_dim=config.local_dim,
            temporal_dim=config.temporal_dim,
            audio_dim=config.audio_dim,
            hidden_size=config.text_config.hidden_size,
            patches_per_token=config.patches_per_token,
        )
        self.language_model = AutoModelForCausalLM.from_config(config.text_config)
        self.post_init()
        # After post_init, which would overwrite the zeros that LoRA starts from.
        if config.lora_rank:
            inject_adapter_in_model(_lora_config(config), self.language_model)
        trainable = {id(parameter) for parameter in self.trainable_parameters().values()}
        for parameter in self.parameters():
            parameter.requires_grad = id(parameter) in trainable

    @classmethod
    def from_pretrained(cls, folder: str | Path, *args: Any, **kwargs: Any) -> Any:
        """Load a saved model; every tensor of the model must be in the files and the reverse.

        Takes the keyword arguments of ``PreTrainedModel.from_pretrained`` (``dtype``,
        ``device_map``, ``attn_implementation``, ``quantization_config``, ...).

        Raises:
            ValueError: tensors are missing, unexpected or of another shape; all are named
        """
        wants_info = kwargs.pop("output_loading_info", False)
        dtype = kwargs.get("dtype")
        model, info = super().from_pretrained(folder, *args, output_loading_info=True, **kwargs)
        problems = {
            kind: sorted(str(key) for key in info.get(kind) or ())
            for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs")
        }
        found = [f"{kind}: {', '.join(keys)}" for kind, keys in problems.items() if keys]
        if found:
            msg = (
                f"the weights in {folder} do not fit this model ({'; '.join(found)}); "
                "convert the published files again or use the configuration they were saved with"
            )
            raise ValueError(msg)
        if getattr(model, "is_quantized", False):
            _bring_rest_to(model, dtype if isinstance(dtype, torch.dtype) else model.dtype)
        return (model, info) if wants_info else model

    def get_input_embeddings(self) -> nn.Module:
        """The token embedding of the language model."""
        embeddings: nn.Module = self.language_model.get_input_embeddings()
        return embeddings

    def get_output_embeddings(self) -> nn.Module:
        """The output layer of the language model."""
        head: nn.Module = self.language_model.get_output_embeddings()
        return head

    def trainable_parameters(self) -> dict[str, nn.Parameter]:
        """Parameters that training changes, by name: LoRA and the five projections.

        Everything else is frozen. At the published sizes they count 74,993,664
        (docs/published-model.md).
        """
        return {
            name: parameter
            for name, parameter in self.named_parameters()
            if name.startswith("projector.") or ".lora_" in name
        }

    def merge_lora(self) -> None:
        """Add every LoRA to the weight it belongs to and remove it: answers without its cost.

        Raises:
            CheckpointError: the language model is quantised, which would round LoRA away
        """
        if getattr(self, "is_quantized", False):
            msg = (
                "LoRA is to be merged into a quantised language model; load the model without "
                "quantisation, give it the checkpoint, and merge then"
            )
            raise CheckpointError(msg)
        layers = {name: one for name, one in self.named_modules() if isinstance(one, LoraLayer)}
        for name, layer in layers.items():
            layer.merge(safe_merge=True)
            parent, _, attribute = name.rpartition(".")
            setattr(self.get_submodule(parent), attribute, layer.get_base_layer())
        if layers:
            del self.language_model.peft_config
        self.config.lora_rank = 0

    def embed(
        self,
        input_ids: torch.Tensor,
        token_kinds: torch.Tensor | None = None,
        feature_mask: torch.Tensor | None = None,
        **features: torch.Tensor | None,
    ) -> torch.Tensor:
        """Embed text and put feature tokens at their positions.

        Args:
            input_ids: token ids; those at feature positions are not read, [b x s]
            token_kinds: 0 for text, else 1 + index in `TOKEN_KINDS`, [b x s]
            feature_mask: which kinds each row has, [b x 5]
            **features: by name of `TOKEN_KINDS`; ``patches`` [b x p x e], the others [b x e]

        Returns:
            input embeddings of the language model, [b x s x d]

        Raises:
            ValueError: a row has another number of positions than of feature tokens
        """
        embeddings: torch.Tensor = self.get_input_embeddings()(input_ids)  # [b x s x d]
        if token_kinds is None or feature_mask is None:
            return embeddings
        tokens = self.projector({k: v for k, v in features.items() if v is not None})
        for index, name in enumerate(TOKEN_KINDS):
            positions = token_kinds == index + 1  # [b x s]
            rows = feature_mask[:, index]  # [b]
            self._check_counts(name, positions, rows, tokens.get(name))
            if name in tokens:
                values = tokens[name][rows].to(embeddings.device, embeddings.dtype)
                embeddings = embeddings.masked_scatter(positions.unsqueeze(-1), values)
        return embeddings

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_kinds: torch.Tensor | None = None,
        feature_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        patches: torch.Tensor | None = None,
        local: torch.Tensor | None = None,
        temporal: torch.Tensor | None = None,
        audio: torch.Tensor | None = None,
        class_token: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Predict the next tokens; with labels, also the mean cross-entropy over labelled tokens.

        Args:
            input_ids: [b x s]
            attention_mask: 1 for tokens, 0 for padding on either side, [b x s]
            token_kinds: see `embed`, [b x s]
            feature_mask: see `embed`, [b x 5]
            labels: token ids, -100 where no loss is taken, [b x s]
            patches: patch tokens of the key frame, [b x p x e]
            local: face feature, [b x e]
            temporal: face motion feature, [b x e]
            audio: voice feature, [b x e]
            class_token: class token of the key frame, [b x e]
            **kwargs: passed on to the language model

        Returns:
            loss (with labels) and logits [b x s x v]
        """
        embeddings = self.embed(
            input_ids,
            token_kinds,
            feature_mask,
            patches=patches,
            local=local,
            temporal=temporal,
            audio=audio,
            class_token=class_token,
        )
        if attention_mask is not None:
            kwargs.setdefault("position_ids", token_positions(attention_mask))
        output: CausalLMOutputWithPast = self.language_model(
            inputs_embeds=embeddings, attention_mask=attention_mask, labels=labels, **kwargs
        )
        return output

    @torch.no_grad()
    def generate(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_kinds: torch.Tensor | None = None,
        feature_mask: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        """Continue each row; greedy unless the keyword arguments say otherwise.

        Args:
            input_ids: [b x s]
            attention_mask: [b x s]
            token_kinds: see `embed`, [b x s]
            feature_mask: see `embed`, [b x 5]
            **kwargs: features as in `forward`, and arguments of ``GenerationMixin.generate``

        Returns:
            ids of the new tokens only, [b x s]
        """
        features = {name: kwargs.pop(name, None) for name in TOKEN_KINDS}
        settings = {"do_sample": False, "max_new_tokens": self.config.max_new_tokens} | kwargs
        generated: torch.Tensor = self.language_model.generate(
            inputs_embeds=self.embed(input_ids, token_kinds, feature_mask, **features),
            attention_mask=attention_mask,
            **settings,
        )
        return generated

    @torch.no_grad()
    def score_answers(
        self, answers: Sequence[Sequence[int]], attention_mask: torch.Tensor, **inputs: torch.Tensor
    ) -> torch.Tensor:
        """Give the mean log-likelihood per token of each candidate answer after each prompt.

        The prompts run once; their key-value cache is shared by all answers.

        Args:
            answers: token ids of a candidates, end of sequence included
            attention_mask: of left-padded prompts, [b x s]
            **inputs: the other arguments of `embed`

        Returns:
            mean over the answer's tokens of log p(token | prompt, earlier tokens), [b x a]
        """
        prefill = self.language_model(
            inputs_embeds=self.embed(**inputs),
            attention_mask=attention_mask,
            position_ids=token_positions(attention_mask),
            use_cache=True,
            logits_to_keep=1,
        )
        first = prefill.logits[:, -1].float().log_softmax(-1)  # [b x v]
        ids, mask = _pad_answers(answers, first.device)  # [a x l]
        scores: torch.Tensor = first[:, ids[:, 0]]  # [b x a]
        if ids.shape[1] > 1:
            rest = self._score_rest(prefill.cache, attention_mask, ids, mask)
            scores = scores + rest
        return scores / mask.sum(-1)

    def _score_rest(
        self, cache: Any, attention_mask: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """Sum the log-likelihood of every answer token but the first, [b x a]."""
        batch, (count, length) = attention_mask.shape[0], ids.shape
        cache.batch_repeat_interleave(count)
        inputs = ids[:, :-1].repeat(batch, 1)  # [ba x l-1]
        seen = torch.cat(
            [attention_mask.repeat_interleave(count, 0), mask[:, :-1].repeat(batch, 1)], 1
        )
        logits = self.language_model(
            input_ids=inputs,
            attention_mask=seen,
            position_ids=token_positions(seen)[:, -(length - 1) :],
            cache=cache,
        ).logits  # [ba x l-1 x v]
        targets = ids[:, 1:].repeat(batch, 1).unsqueeze(-1)  # [ba x l-1 x 1]
        chosen = logits.float().log_softmax(-1).gather(-1, targets).squeeze(-1)
        total: torch.Tensor = (chosen * mask[:, 1:].repeat(batch, 1)).sum(-1)  # [ba]
        return total.view(batch, count)

    @staticmethod
    def _check_counts(
        name: str, positions: torch.Tensor, rows: torch.Tensor, tokens: torch.Tensor | None
    ) -> None:
        """Compare positions and feature tokens row by row."""
        found = positions.sum(-1)
        expected = rows * (tokens.shape[1] if tokens is not None else 0)
        wrong = (found != expected) | (rows & (tokens is None))
        if wrong.any():
            row = int(wrong.nonzero()[0])
            given = int(expected[row]) if tokens is not None else "no"
            msg = (
                f"row {row} has {int(found[row])} positions for {name!r} but {given} feature "
                "tokens; build the batch with EmotionLlamaProcessor"
            )
            raise ValueError(msg)


def quantization_config(bits: Literal[4, 8]) -> BitsAndBytesConfig:
    """Load the frozen language model in 4 or 8 bits; LoRA, projections and output stay as they are.

    Args:
        bits: 4 (NF4 with double quantisation, the setting of QLoRA, Dettmers et al. 2023) or 8
    """
    # read as regular expressions from the start of a module name, or as its ending
    kept = ["projector", r".*\.lora_[AB]", "lm_head"]
    if bits == 8:
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=kept)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        llm_int8_skip_modules=kept,
    )


def _lora_config(config: EmotionLlamaConfig) -> LoraConfig:
    return LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=list(config.lora_target_modules),
        bias="none",
        task_type="CAUSAL_LM",
    )


def _bring_rest_to(model: EmotionLlama, dtype: torch.dtype) -> None:
    """Bring what is not quantised to one type: of quantised files the library casts biases only."""
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.to(dtype)


def token_positions(attention_mask: torch.Tensor) -> torch.Tensor:
    """Number the tokens of each row from 0, skipping padding on either side, [b x s]."""
    return (attention_mask.long().cumsum(-1) - 1).clamp(min=0)


def _pad_answers(
    answers: Sequence[Sequence[int]], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad candidate answers on the right; give ids and mask, both [a x l]."""
    longest = max(len(answer) for answer in answers)
    ids = torch.zeros(len(answers), longest, dtype=torch.long, device=device)
    mask = torch.zeros(len(answers), longest, dtype=torch.long, device=device)
    for row, answer in enumerate(answers):
        ids[row, : len(answer)] = torch.tensor(answer, device=device)
        mask[row, : len(answer)] = 1
    return ids, mask


AutoConfig.register(EmotionLlamaConfig.model_type, EmotionLlamaConfig)
AutoModel.register(EmotionLlamaConfig, EmotionLlama)
AutoProcessor.register(EmotionLlamaConfig, EmotionLlamaProcessor)
