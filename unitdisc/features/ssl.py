"""A layer of HuBERT, WavLM, wav2vec 2.0 or data2vec as features, from weights on disk.

Layer k is the output of the k-th transformer layer; of a model that normalises before each layer ("large" ones) the
last layer is taken before the final normalisation.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from unitdisc.features.base import FeatureModule, Features
from unitdisc.features.configs import SSLConfig
from unitdisc.features.framing import frame_counts
from unitdisc.features.ssl_weights import load_network

# Samples of a batch, its padding with them: more do not help a CPU, whose caches they leave.
CPU_BATCH, GPU_BATCH = 20 * 16000, 600 * 16000
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class SelfSupervised(FeatureModule):
    """One layer of a self-supervised model, or several at once, frozen; rows of like lengths are run together."""

    batched = True

    def __init__(self, config: SSLConfig, layers: Sequence[int] = ()) -> None:
        """Load the layer that a config names, or instead of it these layers."""
        super().__init__()
        self.config, self.grid, self.layers = config, config.grid, tuple(layers) or (config.layer,)
        self.network, normalise = load_network(config, max(self.layers))
        self.dim = self.network.shape.width
        self.normalise = normalise if config.normalise is None else config.normalise
        self.network.compute_in_(DTYPES[config.precision])
        self.requires_grad_(False)
        super().train(False)

    def train(self, mode: bool = True) -> "SelfSupervised":
        """Stay as for evaluation: there is nothing to train."""
        return super().train(False)

    def forward(self, waves: Tensor, samples: Tensor) -> Features:
        """Turn waves [B, S], each with its number of samples [B], into frames."""
        found = self.of_layers(waves, samples)
        return Features(found[self.layers[0]], frame_counts(samples, self.grid))

    @torch.no_grad()
    def of_layers(self, waves: Tensor, samples: Tensor) -> dict[int, Tensor]:
        """Return the frames [B, T, D] of each layer, 0 on padding."""
        lengths = frame_counts(samples, self.grid)
        longest = int(lengths.max()) if len(lengths) else 0
        found = {layer: torch.zeros(len(waves), longest, self.dim, device=waves.device) for layer in self.layers}
        for rows in self._batches(samples.tolist(), waves.device):
            counts = samples[rows]
            batch = waves[rows, : int(counts.max())].to(torch.float32)
            outputs = self.network(self._normalised(batch, counts), counts, self.layers)
            for layer, frames in outputs.items():
                for row, one in zip(rows, frames, strict=True):
                    length = int(lengths[row])
                    found[layer][row, :length] = one[:length]
        return found

    def _batches(self, samples: Sequence[int], device: torch.device) -> Iterator[list[int]]:
        """Yield rows that have frames, by length, as many together as a batch may hold."""
        most = CPU_BATCH if device.type == "cpu" else GPU_BATCH
        rows: list[int] = []
        for row in sorted((n for n, s in enumerate(samples) if self.grid.frames(s)), key=lambda n: (samples[n], n)):
            if rows and (len(rows) + 1) * samples[row] > most:
                yield rows
                rows = []
            rows.append(row)
        if rows:
            yield rows

    def _normalised(self, waves: Tensor, samples: Tensor) -> Tensor:
        """Return waves [B, S] with zeros after their ends, at mean 0 and variance 1 if the model wants them so."""
        known = torch.arange(waves.shape[1], device=waves.device) < samples[:, None]
        waves = waves.where(known, 0)
        if not self.normalise:
            return waves
        exact, counts = waves.double(), samples[:, None]
        mean = exact.sum(1, keepdim=True) / counts
        exact = (exact - mean).where(known, 0)
        return (exact / (exact.square().sum(1, keepdim=True) / counts + 1e-7).sqrt()).float()
