"""What a decoder is told: the units' values in their surroundings, and the voice.

All of it stays at the rate of units, [B, T', dim]. A unit's vector holds for stride frames, or stride * hop samples:
the decoder repeats it where it adds it in, so that no vector per sample is ever stored.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unitdisc.errors import ConfigError, DataError
from unitdisc.networks.configs import ConditioningConfig
from unitdisc.networks.padding import masked, padding_mask


class Conditioning(nn.Module):
    """A convolution over units' values [B, T', dim_in], with the speaker's vector beside each."""

    def __init__(self, config: ConditioningConfig, dim_in: int, dim_frames: int, speakers: int) -> None:
        """Build for values of dim_in, reference frames of dim_frames, and so many known speakers."""
        super().__init__()
        self.config = config
        self.conv = nn.Conv1d(dim_in, config.channels, config.kernel, padding=config.kernel // 2)
        self.table: nn.Embedding | None = None
        self.reference: ReferenceEncoder | None = None
        if config.speaker == "table":
            if speakers < 1:
                raise ConfigError(
                    "conditioning.speaker is 'table', but the training data has no speakers; "
                    "set it to 'reference' or 'none'"
                )
            self.table = nn.Embedding(speakers, config.speaker_dim)
        elif config.speaker == "reference":
            self.reference = ReferenceEncoder(dim_frames, config.reference_channels, config.speaker_dim)

    @property
    def speaker_dim(self) -> int:
        """Return the width of a speaker's vector, 0 if the decoder is not told the speaker."""
        return 0 if self.config.speaker == "none" else self.config.speaker_dim

    @property
    def dim(self) -> int:
        """Return the width of what `forward` returns."""
        return self.config.channels + self.speaker_dim

    def content(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Convolve values [B, T', dim_in] of lengths [B] units; return [B, T', channels], zero on padding."""
        mask = padding_mask(lengths, values.shape[1])
        return masked(self.conv(masked(values, mask).transpose(1, 2)).transpose(1, 2), mask)

    def forward(self, content: Tensor, speaker: Tensor | None) -> Tensor:
        """Put speaker vectors [B, speaker_dim] beside content [B, T', channels]."""
        if self.config.speaker == "none":
            return content
        if speaker is None:
            raise DataError(
                "this model's decoder needs to know the speaker; name one, or give speech of the wanted voice"
            )
        return torch.cat([content, speaker[:, None].expand(-1, content.shape[1], -1)], -1)

    def speaker_vectors(self, speakers: Tensor, strict: bool = True) -> Tensor | None:
        """Look up speakers [B] int64 in the table; an unknown one, -1, is an error, or if not strict the mean."""
        if self.config.speaker == "none":
            return None
        if self.table is None:
            raise DataError(
                "this model has no table of speakers: it takes the voice from speech. "
                "Give a recording of the wanted voice instead of a name"
            )
        if strict and (bool((speakers < 0).any()) or bool((speakers >= self.table.num_embeddings).any())):
            raise DataError(
                f"unknown speaker: this model knows only the {self.table.num_embeddings} speakers that it was trained "
                "on; choose one of them, or train with conditioning.speaker: reference, which takes any voice"
            )
        known = self.table(speakers.clamp(min=0))
        mean = self.table.weight.mean(0).expand_as(known)
        return torch.where((speakers >= 0)[:, None], known, mean)


class ReferenceEncoder(nn.Module):
    """A speaker's vector from frames of speech: two convolutions, then mean and spread over time."""

    def __init__(self, dim_in: int, channels: int, dim: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(dim_in, channels, 3, padding=1)
        self.second = nn.Conv1d(channels, channels, 3, padding=1)
        self.output = nn.Linear(2 * channels, dim)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Summarise frames [B, T, dim_in] of lengths [B]; return [B, dim]."""
        mask = padding_mask(lengths, frames.shape[1])
        x = masked(frames, mask).transpose(1, 2)
        x = masked(F.relu(self.first(x)), mask, time=2)
        x = masked(F.relu(self.second(x)), mask, time=2)
        count = lengths.clamp(min=1)[:, None].to(x.dtype)
        mean = x.sum(2) / count
        variance = masked((x - mean[:, :, None]).square(), mask, time=2).sum(2) / count
        return self.output(torch.cat([mean, (variance + 1e-5).sqrt()], -1))
