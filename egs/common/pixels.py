"""What the models of images share: the loss, the cost in bits, the scores' file, the picture of reconstructions.

A picture is a tensor of grey or colour levels; its decoder gives log odds of the level of each pixel.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from results import write_result
from torch import Tensor, nn
from training import Loss, QuantizedModel, Trained

from unitdisc.files import whole_file


class PixelModel(QuantizedModel):
    """-log p(picture | units), every pixel with a softmax over its levels.

    To be given: `vectors`, `targets` and `odds`.
    """

    def vectors(self, pictures: Tensor) -> Tensor:
        """Map pictures [B, ...] to what is quantised, [B, T, D]."""
        raise NotImplementedError

    def targets(self, pictures: Tensor) -> Tensor:
        """Map pictures to the levels (int64) that the decoder is to give, of the same shape."""
        raise NotImplementedError

    def odds(self, targets: Tensor, values: Tensor) -> Tensor:
        """Return log odds [B, levels, ...] of targets [B, ...], given units' values [B, T, D]."""
        raise NotImplementedError

    def loss(self, pictures: Tensor) -> Loss:
        """Return -log p in nats per pixel plus the quantiser's loss."""
        values, _, quantizer_loss, stats = self.quantizer(self.vectors(pictures))
        targets = self.targets(pictures)
        nats = nn.functional.cross_entropy(self.odds(targets, values), targets)
        parts = {"bits": nats.detach() / math.log(2), "quantizer_loss": quantizer_loss.detach()}
        return Loss(nats + quantizer_loss, parts, stats)

    @torch.no_grad()
    def reconstruction_bits(self, pictures: Tensor) -> Tensor:
        """Return the bits that each picture costs given its own units, [B] float64."""
        targets = self.targets(pictures)
        odds = self.odds(targets, self.quantizer(self.vectors(pictures)).values)
        nats = nn.functional.cross_entropy(odds, targets, reduction="none")
        return nats.double().flatten(1).sum(1) / math.log(2)


def bits_per_pixel(model: PixelModel, batches: Iterable[Tensor]) -> float:
    """Return what the pictures of all batches cost given their units, in bits over the number of their pixels."""
    device = next(model.parameters()).device
    bits, pixels = 0.0, 0
    for batch in batches:
        bits += float(model.reconstruction_bits(batch.to(device)).sum())
        pixels += batch.numel()
    return bits / pixels


def record(exp: Path, row: str, trained: Trained, metrics: Mapping[str, float], **about: int) -> None:
    """Write EXP/result.json of a training that is a row of an ablation."""
    write_result(
        exp, row, trained.config.train.seed, metrics, {"steps": trained.step, "seconds": trained.seconds, **about}
    )


def evenly(names: Sequence, count: int) -> Sequence:
    """Return about `count` of a list, evenly spread."""
    return names[:: max(len(names) // count, 1)][:count]


def write_picture(path: Path, pixels: np.ndarray) -> None:
    """Write uint8 [H, W] or [H, W, 3] as PNG."""
    from PIL import Image

    with whole_file(path, binary=True) as file:
        Image.fromarray(pixels).save(file, "PNG")
