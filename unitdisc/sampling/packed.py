"""A WaveNet's weights in the order in which the CPU kernel reads them, and the memory of utterances under way."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from unitdisc.errors import UnitdiscError
from unitdisc.networks.mixture import LOG_SCALE_MIN
from unitdisc.networks.outputs import FrameOutput, Mixture, Output, Softmax
from unitdisc.networks.wavenet import WaveNet

PANEL = 32  # outputs whose sums stay in registers together: two vectors
AHEAD = 8  # rows per product: past taps of AHEAD / B steps at once, for B utterances
SOFTMAX, MIXTURE, MEAN, SCALED = range(4)  # what the kernel draws

# Columns of `PackedWeights.layers`; then for each tap: where its weights begin, and how many steps back it looks.
RING_AT, RING_ROWS, MIX_AT, MIX_WIDTH, MIX_TO, TAPS = range(6)


class PackedWeights(NamedTuple):
    """What the kernel reads. Widths are multiples of 16 or of PANEL; a bias is the weight of a last input, 1."""

    weights: np.ndarray  # float32, flat
    start: np.ndarray  # float32 [stream]: the bias of the input convolution, then zeros for the skips
    layers: np.ndarray  # int64 [layers, TAPS + 2 * kernel]
    input_at: np.ndarray  # int64 [kernel]: where the weights of each tap begin
    ring_rows: int  # of all layers together
    input_rows: int
    input_width: int  # floats per step: one for a class or an amplitude
    input_inputs: int  # classes if embedded, else input_width
    embed: bool
    kernel: int
    residual: int
    half: int  # of the gate
    pre: int  # both halves
    skip: int
    stream: int  # residual and skips side by side
    hidden: int
    params: int
    hidden_at: int
    output_at: int
    kind: int
    classes: int  # softmax: classes; mixture: components; frames: channels
    levels: int
    log_scale_min: float


# Compiled code that numba kept of an earlier version is read, before it is found to be old, by this name.
Packed = PackedWeights


class Memory(NamedTuple):
    """What utterances under way need of their past; every array has the utterances as its second dimension."""

    rings: np.ndarray  # [ring_rows, B, residual]: inputs of all layers, each in its ring
    inputs: np.ndarray  # [input_rows, B, input_width]; class -1 is nothing
    pre: np.ndarray  # [layers * AHEAD / B, B, pre]: past taps of the steps next to come
    last: np.ndarray  # [1, B, input_width]: the step drawn last

    def keep(self, batch: int) -> "Memory":
        """Return the memory of the first utterances, at a time that is a multiple of AHEAD: so nothing is pre-made."""
        rings, inputs, last = (np.ascontiguousarray(a[:, :batch]) for a in (self.rings, self.inputs, self.last))
        steps, before, width = self.pre.shape
        return Memory(rings, inputs, np.zeros((steps * before // batch, batch, width), np.float32), last)


def round_up(count: int, to: int = 16) -> int:
    """Return the next multiple."""
    return -(-count // to) * to


def _panels(weight: Tensor, bias: Tensor | None, inputs: int, outputs: int) -> Tensor:
    """Lay a matrix [out, in] out as [outputs / PANEL, inputs (+ 1), PANEL], flat, padded with zeros."""
    wide = torch.zeros(round_up(outputs, PANEL), inputs + (bias is not None))
    wide[: weight.shape[0], : weight.shape[1]] = weight
    if bias is not None:
        wide[: bias.shape[0], -1] = bias
    return wide.view(-1, PANEL, wide.shape[1]).transpose(1, 2).reshape(-1)


def _halves(weight: Tensor, half: int) -> Tensor:
    """Move the second half of the rows to where the kernel looks for it."""
    wide = weight.new_zeros(2 * half, *weight.shape[1:])
    wide[: weight.shape[0] // 2], wide[half : half + weight.shape[0] // 2] = weight.chunk(2)
    return wide


class _Writer:
    """Matrices one after another, each at a multiple of 16 floats."""

    def __init__(self) -> None:
        self.parts: list[Tensor] = []
        self.size = 0

    def add(self, part: Tensor) -> int:
        """Append, and return where it begins."""
        begins = self.size
        self.parts.append(pad(part, (0, -len(part) % 16)))
        self.size += len(self.parts[-1])
        return begins

    def array(self) -> np.ndarray:
        """Return all of it; torch aligns its memory to 64 bytes, which numpy does not."""
        return torch.cat(self.parts).contiguous().numpy()


def pack(wavenet: WaveNet, output: Output) -> PackedWeights:
    """Lay out a WaveNet's weights; the WaveNet may be anywhere and of any float type."""
    config = wavenet.config
    state = {name: value.detach().to("cpu", torch.float32) for name, value in wavenet.state_dict().items()}
    for name, value in state.items():
        if not value.isfinite().all():
            raise UnitdiscError(f"sampling: weight {name} of the WaveNet is not finite; use an earlier checkpoint")
    residual, skip, hidden = round_up(config.residual), round_up(config.skip), round_up(config.hidden)
    half = round_up(config.gate // 2)
    writer = _Writer()
    inputs = state["input.weight"].chunk(config.kernel, 1)
    if wavenet.embed:  # a table per tap
        input_at = [writer.add(pad(tap.T, (0, residual - config.residual)).reshape(-1)) for tap in inputs]
    else:
        input_at = [writer.add(_panels(tap, None, wavenet.dim_in, residual)) for tap in inputs]
    layers, rows = np.zeros((config.layers, TAPS + 2 * config.kernel), np.int64), 0
    # In the order of use, for the sake of the hardware's prefetching: first what is used for many steps at once.
    for early in (True, False):
        for layer, dilation in enumerate(config.dilations):
            for tap, weight in enumerate(state[f"dilated.{layer}.weight"].chunk(config.kernel, 1)):
                back = (config.kernel - 1 - tap) * dilation
                if (back >= AHEAD and back % AHEAD == 0) == early:
                    begins = writer.add(_panels(_halves(weight, half), None, residual, 2 * half))
                    layers[layer, TAPS + 2 * tap : TAPS + 2 * tap + 2] = begins, back
            if not early:
                last = layer + 1 == config.layers
                mix, bias = state[f"mix.{layer}.weight"], state[f"mix.{layer}.bias"]
                if not last:  # residual and skip each begin at a multiple of 16
                    gap = (0, 0, 0, residual - config.residual)
                    mix = torch.cat([pad(mix[: config.residual], gap), mix[config.residual :]])
                    bias = torch.cat([pad(bias[: config.residual], gap[2:]), bias[config.residual :]])
                width = round_up(skip if last else residual + skip, PANEL)
                ring = round_up((config.kernel - 1) * dilation + AHEAD, AHEAD)
                at = writer.add(_panels(mix, bias, half, width))
                layers[layer, :TAPS] = rows, ring, at, width, residual if last else 0
                rows += ring
    hidden_at = writer.add(_panels(state["hidden.weight"], state["hidden.bias"], skip, hidden))
    output_at = writer.add(_panels(state["output.weight"], state["output.bias"], hidden, wavenet.dim_out))
    stream = residual + round_up(skip, PANEL)
    start = torch.zeros(round_up(max(stream, round_up(residual + skip, PANEL))))
    start[: config.residual] = state["input.bias"]
    kind, classes, levels = _drawn(output)
    embed = wavenet.embed
    return PackedWeights(
        weights=writer.array(), start=start.numpy(), layers=layers,
        input_at=np.array(input_at, np.int64), ring_rows=rows,
        input_rows=round_up(config.kernel - 1 + AHEAD, AHEAD), input_width=1 if embed else wavenet.dim_in,
        input_inputs=wavenet.dim_in, embed=embed, kernel=config.kernel, residual=residual, half=half,
        pre=round_up(2 * half, PANEL), skip=skip, stream=len(start), hidden=hidden,
        params=round_up(wavenet.dim_out, PANEL), hidden_at=hidden_at, output_at=output_at, kind=kind,
        classes=classes, levels=levels, log_scale_min=LOG_SCALE_MIN,
    )  # fmt: skip


def _drawn(output: Output) -> tuple[int, int, int]:
    if isinstance(output, Softmax):
        return SOFTMAX, output.classes, 0
    if isinstance(output, Mixture):
        return MIXTURE, output.components, output.levels
    assert isinstance(output, FrameOutput), f"the kernel cannot draw from {type(output).__name__}"
    return (SCALED if output.random else MEAN), output.dim_in, 0


def conditions(wavenet: WaveNet) -> tuple[Tensor | None, Tensor]:
    """Return weight [layers * pre, C] (or none) and bias [layers * pre] of what every layer's gates are given."""
    config = wavenet.config
    half = round_up(config.gate // 2)

    def spread(weight: Tensor) -> Tensor:
        padded = [_halves(part, half) for part in weight.detach().to("cpu", torch.float32).split(config.gate)]
        return torch.cat(padded)

    bias = spread(torch.cat([layer.bias for layer in wavenet.dilated]))  # type: ignore[misc]
    return (None if wavenet.condition is None else spread(wavenet.condition.weight)), bias


def blank(packed: PackedWeights, output: Output, batch: int) -> Memory:
    """Return the memory of utterances that have not begun: zeros before the start, then silence as the first input."""

    def zeros(*shape: int) -> np.ndarray:
        return torch.zeros(shape).numpy()

    memory = Memory(
        rings=zeros(packed.ring_rows, batch, packed.residual),
        inputs=zeros(packed.input_rows, batch, packed.input_width),
        pre=zeros(len(packed.layers) * AHEAD // batch, batch, packed.pre),
        last=zeros(1, batch, packed.input_width),
    )
    if isinstance(output, Softmax):
        memory.inputs.fill(-1.0)
        memory.last.fill(output.silence)
    return memory
