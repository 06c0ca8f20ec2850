"""One WaveNet for samples of a waveform and for frames of a spectrogram alike.

Layer l, with dilation d, input x and condition c (tap k of K sees x at t - (K - 1 - k) d; zeros before the start):

    [a, b] = sum_k V_k x[t - (K - 1 - k) d] + v + C c[t]
    z      = tanh(a) * sigmoid(b)
    [r, s] = M z + m
    x      <- x + r;  the skips s of all layers are summed

Everything is a matrix product over [B * T, taps * channels], not a dilated convolution on [B, C, T]: on a CPU that is
no slower, and the weights lie as the samplers read them.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from unitdisc.networks.configs import WaveNetConfig


class WaveNet(nn.Module):
    """A strictly causal, conditioned stack: output t depends on x[..t] and on the conditions of those steps.

    To predict step t from the steps before it, the caller shifts: x[t] is what was drawn at t - 1.
    """

    def __init__(
        self, config: WaveNetConfig, dim_in: int, dim_out: int, dim_condition: int = 0, embed: bool = False
    ) -> None:
        """Build it; with embed, x is int64 [B, T] of classes 0..dim_in-1, the same as one-hot vectors but cheaper."""
        super().__init__()
        self.config = config
        self.recompute = False  # keep each layer's input alone, and compute the rest again for the gradients
        self.dim_in, self.dim_out, self.dim_condition, self.embed = dim_in, dim_out, dim_condition, embed
        residual, gate, taps = config.residual, config.gate, config.kernel
        mixed = [residual + config.skip] * (config.layers - 1) + [config.skip]  # nobody reads the last residual
        self.input = nn.Linear(taps * dim_in, residual)
        self.condition = nn.Linear(dim_condition, config.layers * gate, bias=False) if dim_condition else None
        self.dilated = nn.ModuleList(nn.Linear(taps * residual, gate) for _ in range(config.layers))
        self.mix = nn.ModuleList(nn.Linear(gate // 2, width) for width in mixed)
        self.hidden = nn.Linear(config.skip, config.hidden)
        self.output = nn.Linear(config.hidden, dim_out)
        if embed:  # one input in dim_in is active, so the usual bound would whisper
            nn.init.normal_(self.input.weight, std=1 / math.sqrt(taps))

    @property
    def receptive_field(self) -> int:
        """Return how many steps of x, the newest included, an output depends on."""
        return self.config.receptive_field

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map x [B, T, dim_in] and condition [B, T, dim_condition] to [B, T, dim_out].

        A condition of [B, T / n, dim_condition] holds for n steps each, and costs an n-th.
        """
        given = self._conditions(condition, x.shape[1])
        x = self._first(x)
        skips: Tensor | None = None
        for layer in range(self.config.layers):
            here = None if given is None else given[layer]
            if self.recompute and torch.is_grad_enabled():
                mixed = checkpoint(self._layer, layer, x, here, use_reentrant=False, preserve_rng_state=False)
            else:
                mixed = self._layer(layer, x, here)
            residual, skip = mixed.split([mixed.shape[-1] - self.config.skip, self.config.skip], -1)
            skips = skip if skips is None else skips + skip
            if layer + 1 < self.config.layers:
                x = x + residual
        assert skips is not None
        return self.output(F.relu(self.hidden(F.relu(skips))))

    def _layer(self, layer: int, x: Tensor, given: Tensor | None) -> Tensor:
        """Return a layer's residual and skip side by side, [B, T, residual + skip]."""
        y = self.dilated[layer](taps(x, self.config.kernel, self.config.dilations[layer]))
        a, b = (y if given is None else _added(y, given)).chunk(2, -1)
        return self.mix[layer](torch.tanh(a) * torch.sigmoid(b))

    def _first(self, x: Tensor) -> Tensor:
        """Apply the input convolution: [B, T, residual]."""
        if not self.embed:
            return self.input(taps(x, self.config.kernel, 1))
        steps, tables = x.shape[1], self.input.weight.T.chunk(self.config.kernel)
        summed: Tensor = self.input.bias
        for tap, table in enumerate(tables):
            summed = summed + _delayed(F.embedding(x, table), self.config.kernel - 1 - tap, steps)
        return summed

    def _conditions(self, condition: Tensor | None, steps: int) -> tuple[Tensor, ...] | None:
        """Return what the condition adds to the gates of each layer, [B, T / n, gate] each, from one product."""
        if self.condition is None:
            assert condition is None, "this WaveNet was built without a condition"
            return None
        assert condition is not None, "this WaveNet was built with a condition"
        rows = condition.shape[1]
        assert steps % rows == 0, f"{steps} steps are no multiple of {rows} conditions"
        return self.condition(condition).split(self.config.gate, -1)


def taps(x: Tensor, kernel: int, dilation: int) -> Tensor:
    """Lay x [B, T, C] and its past side by side, [B, T, kernel * C], oldest first, zeros before the start."""
    return torch.cat([_delayed(x, (kernel - 1 - tap) * dilation, x.shape[1]) for tap in range(kernel)], -1)


def _delayed(x: Tensor, delay: int, steps: int) -> Tensor:
    return F.pad(x, (0, 0, delay, 0))[:, :steps] if delay else x


def _added(y: Tensor, given: Tensor) -> Tensor:
    """Add given [B, T / n, C], each row to n steps, to y [B, T, C], without repeating it in memory."""
    return (y.unflatten(1, (given.shape[1], -1)) + given[:, :, None]).flatten(1, 2)
