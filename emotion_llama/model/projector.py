"""Project each encoder's output into the embedding space of the language model.

Knows: feature widths and the order of feature tokens. Does not know: prompts, tokenizers, files.
A linear layer per modality and nothing else: no activation, no norm (docs/published-model.md).
"""

from collections.abc import Mapping

import torch
from torch import nn

FEATURE_ORDER: tuple[str, ...] = ("local", "temporal", "audio", "class_token")
"""Order of the single-token features behind the image tokens. Defined here and only here."""

TOKEN_KINDS: tuple[str, ...] = ("patches", *FEATURE_ORDER)
"""All feature tokens in prompt order. ``token_kinds`` in a batch holds index + 1; 0 is text."""


class ModalityProjector(nn.Module):
    """One linear projection per modality.

    Args:
        patch_dim: width of the global encoder's patches and class token
        local_dim: width of the local encoder
        temporal_dim: width of the temporal encoder
        audio_dim: width of the audio encoder
        hidden_size: width of the language model's embeddings
        patches_per_token: consecutive patches in raster order that share one image token
    """

    def __init__(
        self,
        *,
        patch_dim: int,
        local_dim: int,
        temporal_dim: int,
        audio_dim: int,
        hidden_size: int,
        patches_per_token: int,
    ) -> None:
        super().__init__()
        self.patches_per_token = patches_per_token
        self.patch_projection = nn.Linear(patch_dim * patches_per_token, hidden_size)
        self.local_projection = nn.Linear(local_dim, hidden_size)
        self.temporal_projection = nn.Linear(temporal_dim, hidden_size)
        self.audio_projection = nn.Linear(audio_dim, hidden_size)
        self.class_token_projection = nn.Linear(patch_dim, hidden_size)

    def forward(self, features: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Map the given features to feature tokens.

        Args:
            features: by name of `TOKEN_KINDS`: ``patches`` [b x p x e], the others [b x e]

        Returns:
            by the same names: ``patches`` [b x p/4 x d] (four patches a token), others [b x 1 x d]

        Raises:
            ValueError: a feature has another width than its projection, or the patches do not
                divide into groups
        """
        tokens = {}
        for name in TOKEN_KINDS:
            if name not in features:
                continue
            values = features[name]
            values = self._merge_patches(values) if name == "patches" else values.unsqueeze(1)
            tokens[name] = self._project(name, values)
        return tokens

    def _merge_patches(self, patches: torch.Tensor) -> torch.Tensor:
        batch, count, width = patches.shape
        if count % self.patches_per_token:
            msg = (
                f"found {count} patches, expected a multiple of {self.patches_per_token}; "
                "the global encoder and the model come from different presets"
            )
            raise ValueError(msg)
        merged = count // self.patches_per_token
        return patches.reshape(batch, merged, self.patches_per_token * width)  # [b x p/4 x 4e]

    def _project(self, name: str, values: torch.Tensor) -> torch.Tensor:
        layer = self.projections[name]
        if values.shape[-1] != layer.in_features:
            msg = (
                f"feature {name!r} has width {values.shape[-1]}, expected {layer.in_features}; "
                "use the encoders that belong to this model"
            )
            raise ValueError(msg)
        projected: torch.Tensor = layer(values.to(layer.weight.dtype))
        return projected

    @property
    def projections(self) -> dict[str, nn.Linear]:
        """The linear layer of each name in `TOKEN_KINDS`, in that order."""
        return {
            "patches": self.patch_projection,
            "local": self.local_projection,
            "temporal": self.temporal_projection,
            "audio": self.audio_projection,
            "class_token": self.class_token_projection,
        }
