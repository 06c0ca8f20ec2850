"""What a WaveNet's outputs mean: the density of the next step, its loss, and how to draw from it.

samples = output.encode(targets)
params = wavenet(output.shifted(samples), condition)
loss = output.nll(params, samples)          # [B, T]; the caller masks and averages
"""

import math
from abc import ABC, abstractmethod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from unitdisc.networks import mixture
from unitdisc.networks.configs import MixtureConfig, OutputConfig, SoftmaxConfig, WaveNetConfig
from unitdisc.networks.wavenet import WaveNet


class Output(ABC):
    """A density over the next step; it holds no parameters."""

    dim_in: int  # of the WaveNet that reads the steps drawn
    dim_out: int  # of the WaveNet that parametrises this density
    embed: bool = False  # whether steps are int64 classes
    uniforms: int  # how many of them one step takes

    @abstractmethod
    def encode(self, targets: Tensor) -> Tensor:
        """Return the steps of a waveform [B, T] in -1..1, or of frames [B, T, M]."""

    @abstractmethod
    def decode(self, samples: Tensor) -> Tensor:
        """Return the waveform or the frames of steps."""

    @abstractmethod
    def shifted(self, samples: Tensor) -> Tensor:
        """Return the WaveNet's inputs for these steps: delayed by one, silence first."""

    def shape(self, batch: int, steps: int) -> tuple[int, ...]:
        """Return the shape of steps."""
        return (batch, steps)

    @abstractmethod
    def nll(self, params: Tensor, samples: Tensor) -> Tensor:
        """Return the loss of each step [B, T]: nats, for frames per channel."""

    @abstractmethod
    def noise(self, uniforms: Tensor) -> Tensor:
        """Turn uniforms [B, T, uniforms] into what `draw` takes, of the same shape."""

    @abstractmethod
    def draw(self, params: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
        """Draw steps from params [..., dim_out]."""

    def network(self, config: WaveNetConfig, dim_condition: int) -> WaveNet:
        """Build a WaveNet that fits."""
        return WaveNet(config, self.dim_in, self.dim_out, dim_condition, self.embed)


class Softmax(Output):
    """Mu-law classes; steps are int64 [B, T]."""

    embed = True
    uniforms = 1

    def __init__(self, classes: int = 256) -> None:
        self.dim_in = self.dim_out = self.classes = classes

    @property
    def silence(self) -> int:
        """Return the class of amplitude zero."""
        return self.classes // 2

    def encode(self, targets: Tensor) -> Tensor:
        """Return the mu-law classes of a waveform."""
        mu = self.classes - 1
        bent = targets.sign() * torch.log1p(mu * targets.abs().clamp(max=1.0)) / math.log1p(mu)
        return ((bent + 1.0) / 2.0 * mu + 0.5).floor().long()

    def decode(self, samples: Tensor) -> Tensor:
        """Return the amplitudes of mu-law classes."""
        mu = self.classes - 1
        bent = 2.0 * samples.to(torch.float32) / mu - 1.0
        return bent.sign() * torch.expm1(bent.abs() * math.log1p(mu)) / mu

    def shifted(self, samples: Tensor) -> Tensor:
        """Return int64 [B, T]."""
        return F.pad(samples, (1, 0), value=self.silence)[:, :-1]

    def nll(self, params: Tensor, samples: Tensor) -> Tensor:
        """Return the cross entropy."""
        return F.cross_entropy(params.transpose(1, 2), samples, reduction="none")

    def noise(self, uniforms: Tensor) -> Tensor:
        """Return the uniforms themselves."""
        return uniforms

    def draw(self, params: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
        """Draw classes by the inverse of the cumulated distribution."""
        return mixture.inverse_cdf(params, noise[..., 0], temperature)


class Mixture(Output):
    """Linear amplitudes; steps are float [B, T] on one of the levels."""

    dim_in = 1
    uniforms = 2

    def __init__(self, components: int = 10, levels: int = 65536) -> None:
        self.components, self.levels = components, levels
        self.dim_out = 3 * components

    def encode(self, targets: Tensor) -> Tensor:
        """Round a waveform to the levels."""
        return mixture.to_level(targets, self.levels)

    def decode(self, samples: Tensor) -> Tensor:
        """Return the steps: they are a waveform."""
        return samples

    def shifted(self, samples: Tensor) -> Tensor:
        """Return [B, T, 1]."""
        return F.pad(samples, (1, 0))[:, :-1, None]

    def nll(self, params: Tensor, samples: Tensor) -> Tensor:
        """Return minus the log likelihood of the levels."""
        return -mixture.log_likelihood(params, samples, self.levels)

    def noise(self, uniforms: Tensor) -> Tensor:
        """Return the uniform that chooses the component, and logistic noise."""
        return torch.stack([uniforms[..., 0], torch.logit(uniforms[..., 1], eps=2.0**-24)], -1)

    def draw(self, params: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
        """Draw a component, then an amplitude."""
        return mixture.draw(params, noise[..., 0], noise[..., 1], self.levels, temperature)


class FrameOutput(Output):
    """Real-valued frames; steps are float [B, T, M]."""

    def __init__(self, dim: int, loss: Literal["l1", "l2", "laplace", "gaussian"] = "l1") -> None:
        self.dim_in, self.loss = dim, loss
        self.random = loss in ("laplace", "gaussian")
        self.dim_out = 2 * dim if self.random else dim
        self.uniforms = dim if self.random else 0

    def shape(self, batch: int, steps: int) -> tuple[int, ...]:
        """Return [B, T, M]."""
        return (batch, steps, self.dim_in)

    def encode(self, targets: Tensor) -> Tensor:
        """Return the frames."""
        return targets

    def decode(self, samples: Tensor) -> Tensor:
        """Return the frames."""
        return samples

    def shifted(self, samples: Tensor) -> Tensor:
        """Return [B, T, M]; the first frame is zero, the mean of normalised features."""
        return F.pad(samples, (0, 0, 1, 0))[:, :-1]

    def nll(self, params: Tensor, samples: Tensor) -> Tensor:
        """Return the absolute or squared error, or nats with a learned scale; mean over channels."""
        if not self.random:
            error = samples - params
            return (error.abs() if self.loss == "l1" else error.square()).mean(-1)
        mean, log_scale = self._split(params)
        away = (samples - mean) * torch.exp(-log_scale)
        if self.loss == "laplace":
            return (away.abs() + log_scale + math.log(2.0)).mean(-1)
        return (0.5 * away.square() + log_scale + 0.5 * math.log(2.0 * math.pi)).mean(-1)

    def noise(self, uniforms: Tensor) -> Tensor:
        """Return standard Laplace or Gaussian noise, [B, T, M]; nothing for l1 and l2."""
        if not self.random:
            return uniforms[..., :0]
        centred = uniforms.clamp(2.0**-24, 1.0 - 2.0**-24)
        if self.loss == "gaussian":
            return torch.special.ndtri(centred)
        return -(centred - 0.5).sign() * torch.log1p(-2.0 * (centred - 0.5).abs())

    def draw(self, params: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
        """Return the mean, and with a learned scale add noise."""
        if not self.random:
            return params
        mean, log_scale = self._split(params)
        return mean + temperature * torch.exp(log_scale) * noise

    def _split(self, params: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_scale = params.chunk(2, -1)
        return mean, log_scale.clamp(min=mixture.LOG_SCALE_MIN)


def build_output(config: OutputConfig, dim: int = 0) -> Output:
    """Build the output of a config; dim is the number of channels of frames."""
    if isinstance(config, SoftmaxConfig):
        return Softmax(config.classes)
    if isinstance(config, MixtureConfig):
        return Mixture(config.components, config.levels)
    return FrameOutput(dim, config.loss)
