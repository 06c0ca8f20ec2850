"""The image model: pixels to an 8 x 8 grid of vectors, the quantiser, and back to 256 levels of each colour."""

import math
from dataclasses import dataclass, field
from pathlib import Path

from pixels import PixelModel
from torch import Tensor, nn
from training import TrainConfig, Trained, load_trained

from unitdisc.quantizers import QuantizerConfig, VQConfig, build_quantizer

DIMS = 3 * 32 * 32  # of an image
GRID = 8 * 8  # vectors of an image
LEVELS = 256


@dataclass(frozen=True)
class ModelConfig:
    """Sizes; the quantiser's own stand in its section."""

    width: int = 256  # channels of encoder and decoder
    residual: int = 2  # blocks on either side
    latent: int = 256  # dimensions of a vector of the grid: 8 codebooks of 32
    batch_norm: bool = True  # within encoder and decoder
    quantizer: QuantizerConfig = field(
        default_factory=lambda: VQConfig(codes=128, codebooks=8, dim=None, norm="each-codebook")
    )


@dataclass(frozen=True)
class Config:
    """A whole configuration file."""

    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    test_images: int = 0  # that are scored, evenly spread; 0 for all


def to_pixels(levels: Tensor) -> Tensor:
    """Map levels 0..255 to what the encoder sees, -0.5..0.5."""
    return levels.float() / (LEVELS - 1) - 0.5


def to_levels(pixels: Tensor) -> Tensor:
    """Map pixels -0.5..0.5 to levels 0..255 (int64); truncation instead of rounding would shift 63 of them."""
    return ((pixels + 0.5) * (LEVELS - 1)).round().long()


class Residual(nn.Module):
    """x + 1x1(ReLU(3x3(ReLU(x))))."""

    def __init__(self, width: int, batch_norm: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=not batch_norm),
            _norm(width, batch_norm),
            nn.ReLU(),
            nn.Conv2d(width, width, 1, bias=not batch_norm),
            _norm(width, batch_norm),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to the same shape."""
        return x + self.layers(x)


def _norm(width: int, on: bool) -> nn.Module:
    return nn.BatchNorm2d(width) if on else nn.Identity()


class ImageModel(PixelModel):
    """Encoder of two strided convolutions, quantiser, mirrored decoder with a softmax over levels."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, norm = config.width, config.batch_norm
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, 1),
            _norm(width, norm),
            nn.ReLU(),
            nn.Conv2d(width, width, 4, 2, 1),
            _norm(width, norm),
            *(Residual(width, norm) for _ in range(config.residual)),
            nn.ReLU(),
            nn.Conv2d(width, config.latent, 1),
        )
        self.quantizer = build_quantizer(config.quantizer, config.latent)
        self.decoder = nn.Sequential(
            nn.Conv2d(self.quantizer.dim, width, 1),
            *(Residual(width, norm) for _ in range(config.residual)),
            nn.ReLU(),
            nn.ConvTranspose2d(width, width, 4, 2, 1),
            _norm(width, norm),
            nn.ReLU(),
            nn.ConvTranspose2d(width, 3 * LEVELS, 4, 2, 1),
        )

    def vectors(self, pictures: Tensor) -> Tensor:
        """Map images [B, 3, 32, 32] of levels to vectors [B, 64, latent], row by row of the grid."""
        return self.encoder(to_pixels(pictures)).flatten(2).transpose(1, 2)

    def targets(self, pictures: Tensor) -> Tensor:
        """Return the levels that the encoder's pixels stand for."""
        return to_levels(to_pixels(pictures))

    def decode(self, values: Tensor) -> Tensor:
        """Map quantised vectors [B, 64, D] to log odds of the levels, [B, 256, 3, 32, 32]."""
        side = math.isqrt(values.shape[1])
        odds = self.decoder(values.transpose(1, 2).unflatten(2, (side, side)))
        return odds.unflatten(1, (LEVELS, 3))

    def odds(self, targets: Tensor, values: Tensor) -> Tensor:
        """Return what the units say of each pixel, independently of the others."""
        return self.decode(values)


def load(exp: Path) -> Trained:
    """Load a trained image model."""
    return load_trained(exp, Config, lambda config: ImageModel(config.model))


def latent_bits(codes: tuple[int, ...]) -> float:
    """Return the nominal cost of an image's codes in bits: 8 x 64 x 7 for eight codebooks of 128."""
    return GRID * sum(math.log2(k) for k in codes)
