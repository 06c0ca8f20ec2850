"""The handwriting model: a line to one vector per four columns, the quantiser, and a decoder column by column."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from lines import HEIGHT, STRIDE
from pixels import PixelModel
from torch import Tensor, nn
from training import TrainConfig, Trained, load_trained

from unitdisc.evaluate.probe import ProbeConfig
from unitdisc.quantizers import QuantizerConfig, VQConfig, build_quantizer

LEVELS = 4  # of grey


@dataclass(frozen=True)
class ModelConfig:
    """Sizes; the quantiser's own stand in its section."""

    channels: tuple[int, ...] = (64, 128, 256, 256, 512, 512, 512)  # of the encoder's seven convolutions
    lstm: int = 32  # of each direction; the two are summed
    hidden: int = 64  # channels of the decoder
    layers: int = 6  # of the decoder
    slope: float = 0.01  # of the encoder's leaky ReLU
    quantizer: QuantizerConfig = field(default_factory=lambda: VQConfig(codes=4096, dim=128))


@dataclass(frozen=True)
class Config:
    """A whole configuration file."""

    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    probe: ProbeConfig = field(default_factory=ProbeConfig)  # of the character error rate


def to_ink(grey: Tensor) -> Tensor:
    """Map grey 0..255 to what the encoder sees: 0 white paper, 1 black ink."""
    return 1 - grey.float() / 255


def to_levels(grey: Tensor) -> Tensor:
    """Map grey 0..255 to the decoder's levels 0..3 (int64), to the nearest."""
    return (grey.float() * ((LEVELS - 1) / 255)).round().long()


class Encoder(nn.Module):
    """Seven convolutions that bring 32 rows down to 1 and four columns to one, then two bidirectional LSTM."""

    KERNELS = ((3, 3), (5, 5), (3, 3), (3, 3), (3, 3), (3, 3), (2, 3))
    STRIDES = ((2, 1), (2, 2), (1, 1), (2, 2), (1, 1), (2, 1), (1, 1))
    PADDING = ((1, 1), (2, 2), (1, 1), (1, 1), (1, 1), (1, 1), (0, 1))

    def __init__(self, channels: tuple[int, ...], lstm: int, slope: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = (1, *channels[:-1])
        for before, after, kernel, stride, padding in zip(
            inputs, channels, self.KERNELS, self.STRIDES, self.PADDING, strict=True
        ):
            layers += [nn.Conv2d(before, after, kernel, stride, padding), nn.BatchNorm2d(after), nn.LeakyReLU(slope)]
        self.convolutions = nn.Sequential(*layers)
        self.lstms = nn.ModuleList(
            nn.LSTM(dim, lstm, batch_first=True, bidirectional=True) for dim in (channels[-1], lstm)
        )

    def forward(self, grey: Tensor) -> Tensor:
        """Map lines [B, 32, W] of grey to vectors [B, W / 4, lstm]."""
        h = self.convolutions(to_ink(grey)[:, None]).squeeze(2).transpose(1, 2)
        for lstm in self.lstms:
            h = sum(lstm(h)[0].chunk(2, dim=2))
        return h


class ColumnLayer(nn.Module):
    """A gated layer that sees its own and earlier columns, three rows high."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.convolution = nn.Conv2d(channels, 2 * channels, (3, 2), padding=(1, 0), dilation=(1, dilation))
        self.condition = nn.Conv2d(channels, 2 * channels, 1, bias=False)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Map x [B, C, 32, W], with the condition [B, C, 32, W / 4], to the same shape as x."""
        h = self.convolution(nn.functional.pad(x, (self.dilation, 0)))
        h = h + self.condition(condition).repeat_interleave(STRIDE, dim=3)
        value, gate = h.chunk(2, dim=1)
        return x + self.out(value.tanh() * gate.sigmoid())


class ColumnDecoder(nn.Module):
    """log p(line | units) = sum over columns of log p(column | earlier columns, units); pixels of a column are then
    independent of each other."""

    def __init__(self, dim: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.mixer = nn.Conv1d(dim, hidden, 3, padding=1)  # of neighbouring units
        self.rows = nn.Linear(hidden, hidden * HEIGHT)
        self.levels = nn.Conv2d(LEVELS, hidden, 1)
        self.layers = nn.ModuleList(ColumnLayer(hidden, 2 ** (n % 4)) for n in range(layers))
        self.out = nn.Sequential(nn.ReLU(), nn.Conv2d(hidden, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, LEVELS, 1))

    def forward(self, levels: Tensor, values: Tensor) -> Tensor:
        """Return log odds [B, 4, 32, W] of levels [B, 32, W], given units' values [B, W / 4, D]."""
        mixed = self.mixer(values.transpose(1, 2)).relu().transpose(1, 2)
        condition = self.rows(mixed).unflatten(2, (-1, HEIGHT)).permute(0, 2, 3, 1)
        seen = nn.functional.one_hot(levels, LEVELS).permute(0, 3, 1, 2).to(condition.dtype)
        h = self.levels(nn.functional.pad(seen, (1, -1)))  # column t is computed from those before it
        for layer in self.layers:
            h = layer(h, condition)
        return self.out(h)

    @torch.no_grad()
    def generate(self, values: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw lines of levels [B, 32, W] from units' values [B, W / 4, D], column by column."""
        levels = torch.zeros(len(values), HEIGHT, values.shape[1] * STRIDE, dtype=torch.int64, device=values.device)
        for column in range(levels.shape[2]):
            units = min(column // STRIDE + 2, values.shape[1])  # further ones cannot be seen from this column
            odds = self(levels[:, :, : units * STRIDE], values[:, :units])[:, :, :, column]
            odds = odds.transpose(1, 2).softmax(2).flatten(0, 1)
            odds = odds if generator is None else odds.to(generator.device)
            levels[:, :, column] = torch.multinomial(odds, 1, generator=generator).view(-1, HEIGHT)
        return levels


class LineModel(PixelModel):
    """Encoder, quantiser, decoder of lines [B, 32, W] of grey."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config.channels, config.lstm, config.slope)
        self.quantizer = build_quantizer(config.quantizer, config.lstm)
        self.decoder = ColumnDecoder(self.quantizer.dim, config.hidden, config.layers)

    def vectors(self, pictures: Tensor) -> Tensor:
        """Map lines [B, 32, W] to vectors [B, W / 4, lstm]."""
        return self.encoder(pictures)

    def targets(self, pictures: Tensor) -> Tensor:
        """Return the four levels of grey."""
        return to_levels(pictures)

    def odds(self, targets: Tensor, values: Tensor) -> Tensor:
        """Return log odds [B, 4, 32, W], each column's from the units and the columns before it."""
        return self.decoder(targets, values)


def load(exp: Path) -> Trained:
    """Load a trained handwriting model."""
    return load_trained(exp, Config, lambda config: LineModel(config.model))
