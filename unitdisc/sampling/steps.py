"""One step at a time in torch, with the past kept: any device, all buffers static, so that a CUDA graph can hold it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unitdisc.networks.outputs import Output, Softmax
from unitdisc.networks.wavenet import WaveNet


class Stepper(nn.Module):
    """Utterances under way, one step per call; every buffer is changed in place and never moves.

    Past taps of all layers are read and multiplied at once, since none depends on the step under way.
    """

    time: Tensor
    rings: Tensor
    recent: Tensor

    def __init__(self, wavenet: WaveNet, output: Output, batch: int, temperature: float = 1.0) -> None:
        """Lay out the weights for batched products, and begin."""
        super().__init__()
        config = wavenet.config
        self.wavenet, self.output, self.batch, self.temperature = wavenet, output, batch, temperature
        dilated = [(layer.weight.detach(), layer.bias.detach()) for layer in _linear(wavenet.dilated)]
        mixes = [(layer.weight.detach(), layer.bias.detach()) for layer in _linear(wavenet.mix)]
        weights = torch.stack([weight for weight, _ in dilated])  # [L, gate, taps * residual]
        width = (config.kernel - 1) * config.residual
        self.past = weights[:, :, :width].transpose(1, 2).contiguous()  # [L, (taps - 1) * residual, gate]
        self.now = weights[:, :, width:].transpose(1, 2).contiguous()
        self.bias = torch.cat([bias for _, bias in dilated])
        self.mix = [(weight[: config.residual], bias[: config.residual]) for weight, bias in mixes[:-1]]
        self.skips = torch.cat([weight[-config.skip :] for weight, _ in mixes], 1)  # of all layers in one product
        self.skip_bias = torch.stack([bias[-config.skip :] for _, bias in mixes]).sum(0)
        table = wavenet.input.weight.detach().T.reshape(config.kernel, wavenet.dim_in, -1)
        self.table = F.pad(table, (0, 0, 0, 1))  # class dim_in, nothing, adds nothing
        reach = torch.tensor([(config.kernel - 1) * d for d in config.dilations], device=weights.device)
        taps = torch.arange(config.kernel - 1, device=weights.device)
        self.backs = (config.kernel - 1 - taps) * torch.tensor(config.dilations, device=weights.device)[:, None]
        self.rows = reach + 1
        self.first = self.rows.cumsum(0) - self.rows
        total = int(self.rows.sum())
        self.register_buffer("time", torch.zeros((), dtype=torch.int64, device=weights.device))
        self.register_buffer("rings", weights.new_zeros(total, batch, config.residual))
        past = output.shifted(output.encode(weights.new_zeros(output.shape(batch, config.kernel))))
        self.register_buffer("recent", past.clone())  # the last inputs, [B, taps] or [B, taps, dim_in]
        self.begin_()

    def begin_(self) -> None:
        """Forget everything; the newest input is silence, and before it is nothing."""
        self.time.zero_()
        self.rings.zero_()
        if isinstance(self.output, Softmax):
            self.recent.fill_(self.wavenet.dim_in)
            self.recent[:, -1] = self.output.silence
        else:
            self.recent.zero_()

    def given(self, condition: Tensor | None) -> Tensor:
        """Return what conditions [..., C] give the gates of all layers [..., layers * gate]; with none, the biases."""
        if condition is None or self.wavenet.condition is None:
            return self.bias
        return F.linear(condition, self.wavenet.condition.weight, self.bias)

    @torch.no_grad()
    def forward(self, given: Tensor, noise: Tensor) -> Tensor:
        """Draw one step [B] or [B, M] from given [B, layers * gate] (or [layers * gate]) and noise [B, uniforms]."""
        config, wavenet = self.wavenet.config, self.wavenet
        pre = given.expand(self.batch, -1).view(self.batch, config.layers, config.gate).transpose(0, 1)
        if config.kernel > 1:
            rows = self.first[:, None] + (self.time - self.backs) % self.rows[:, None]  # [L, taps - 1]
            past = self.rings[rows].transpose(1, 2).flatten(2)  # [L, B, (taps - 1) * residual]
            pre = torch.baddbmm(pre, past, self.past)
        x, layers, gates = self._first(), [], []
        for layer in range(config.layers):
            layers.append(x)
            a, b = torch.addmm(pre[layer], x, self.now[layer]).chunk(2, -1)
            gates.append(torch.tanh(a) * torch.sigmoid(b))
            if layer + 1 < config.layers:
                x = x + F.linear(gates[-1], *self.mix[layer])
        skips = F.linear(torch.cat(gates, -1), self.skips, self.skip_bias)
        hidden = F.relu(wavenet.hidden(F.relu(skips)))
        drawn = self.output.draw(wavenet.output(hidden), noise, self.temperature)
        self.rings.index_copy_(0, self.first + self.time % self.rows, torch.stack(layers))
        self.recent.copy_(torch.cat([self.recent[:, 1:], drawn.view(self.batch, 1, *self.recent.shape[2:])], 1))
        self.time.add_(1)
        return drawn

    def _first(self) -> Tensor:
        """Apply the input convolution to the last inputs: [B, residual]."""
        if not self.wavenet.embed:
            return self.wavenet.input(self.recent.flatten(1))
        taps = torch.arange(self.table.shape[0], device=self.recent.device)
        return self.table[taps, self.recent].sum(1) + self.wavenet.input.bias


def _linear(layers: nn.ModuleList) -> list[nn.Linear]:
    return [layer for layer in layers if isinstance(layer, nn.Linear)]
