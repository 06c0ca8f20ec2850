"""The networks of wav2vec 2.0, HuBERT, WavLM and data2vec, for padded batches: a row's frames never see its padding.

They differ in little: seven convolutions without padding, normalised over time (group) or over channels (layer); one
convolution that tells the positions (data2vec: five); transformer layers that normalise before or after; WavLM has
biases of relative positions besides. Frames are rows, [B, T, C], throughout, so that every convolution is a product of
matrices. Parameters are named as transformers names them, but query, key and value are one, and weights are plain.
"""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KERNELS, STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)
HOP, WINDOW = math.prod(STRIDES), 400  # samples
GATES = 8  # of WavLM: two gates, each the sum of four numbers


@dataclass(frozen=True)
class Shape:
    """All that a network's weights do not say by themselves, and what they do."""

    channels: tuple[int, ...]  # of the seven convolutions
    conv_bias: bool
    group_norm: bool  # the first convolution is normalised over time; else each over channels
    width: int
    heads: int
    inner: int  # width of the feed-forward part
    layers: int
    norm_first: bool
    position_kernel: int
    position_groups: int
    position_layers: int = 0  # of data2vec; 0: one convolution, without normalisation
    buckets: int = 0  # of WavLM's distances; 0: it is none
    furthest: int = 800  # frames; farther ones share a bucket
    eps: float = 1e-5


class Network(nn.Module):
    """Waves to the outputs of its layers."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.feature_extractor = _Extractor(shape)
        self.feature_projection = _Projection(shape)
        self.encoder = _Encoder(shape)

    def compute_in_(self, dtype: torch.dtype) -> "Network":
        """Compute in half precision, all but the first convolution."""
        self.to(dtype)
        self.feature_extractor.first.float()
        self.feature_extractor.dtype = dtype
        return self

    def forward(self, waves: Tensor, samples: Tensor, layers: Collection[int]) -> dict[int, Tensor]:
        """Return the outputs [B, T, width] of layers, counted from 1, for waves [B, S] of at least a frame each."""
        counts = torch.div(samples - WINDOW, HOP, rounding_mode="floor") + 1
        x = self.feature_extractor(waves, samples)[:, : int(counts.max())]
        x = self.feature_projection(x)
        padding = torch.arange(x.shape[1], device=x.device) >= counts[:, None]  # [B, T]
        return self.encoder(x, padding if bool(padding.any()) else None, layers)


class _Extractor(nn.Module):
    """Seven convolutions: [B, S] to [B, T, C], where the last frames of a row may reach into the next.

    The first one computes in float32 whatever the others do: samples in half precision would be noisy.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.group_norm, self.eps, self.dtype = shape.group_norm, 1e-5, torch.float32
        dims = zip((1, *shape.channels), shape.channels, strict=False)
        self.conv_layers = nn.ModuleList(_Convolution(shape, n, *pair) for n, pair in enumerate(dims))

    @property
    def first(self) -> "_Convolution":
        """Return the convolution over samples."""
        return cast("_Convolution", self.conv_layers[0])

    def forward(self, waves: Tensor, samples: Tensor) -> Tensor:
        waves = F.pad(waves, (0, -waves.shape[1] % HOP))
        windows = F.pad(waves, (0, KERNELS[0] - STRIDES[0])).unfold(1, KERNELS[0], STRIDES[0])  # [B, S / 5, 10]
        if self.group_norm:
            weight, bias = self._normalising(windows, samples)
            x = torch.baddbmm(bias[:, None], windows, weight.transpose(1, 2))
        else:
            x = self.first.layer_norm(F.linear(windows, self.first.conv.weight[:, 0], self.first.conv.bias))
        x = F.gelu(x).to(self.dtype)
        for layer in cast("Iterable[_Convolution]", self.conv_layers[1:]):
            x = F.gelu(layer.layer_norm(layer(x)))
        return x

    def _normalising(self, windows: Tensor, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Return weights [B, C, 10] and biases [B, C] of a convolution that is normalised over a row's own frames.

        Mean and variance of what a linear map makes follow from those of what goes in, which is far less.
        """
        conv, norm = self.first.conv, cast("nn.GroupNorm", self.first.layer_norm)
        counts = torch.div(samples - KERNELS[0], STRIDES[0], rounding_mode="floor") + 1
        known = torch.arange(windows.shape[1], device=windows.device) < counts[:, None]
        inside = windows.double() * known[:, :, None]
        mean = inside.sum(1) / counts[:, None]
        covariance = inside.transpose(1, 2) @ inside / counts[:, None, None] - mean[:, :, None] * mean[:, None]
        kernel = conv.weight[:, 0].double()
        variance = ((kernel @ covariance) * kernel).sum(2).clamp(min=0)  # [B, C]
        scale = norm.weight.double() / (variance + self.eps).sqrt()
        weight, bias = scale[:, :, None] * kernel, norm.bias.double() - scale * (mean @ kernel.t())
        return weight.to(windows.dtype), bias.to(windows.dtype)


class _Convolution(nn.Module):
    def __init__(self, shape: Shape, number: int, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.kernel, self.stride = KERNELS[number], STRIDES[number]
        self.conv = nn.Conv1d(dim_in, dim_out, self.kernel, self.stride, bias=shape.conv_bias)
        self.layer_norm: nn.Module = nn.Identity() if shape.group_norm else nn.LayerNorm(dim_out)
        if shape.group_norm and number == 0:
            self.layer_norm = nn.GroupNorm(dim_out, dim_out)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x [B, T, C] whose T is a multiple of the stride; the last frame of a row reaches into the next."""
        batch, frames, channels = x.shape
        rows = x.reshape(batch * frames // self.stride, self.stride * channels)
        weight = self.conv.weight.permute(0, 2, 1).reshape(self.conv.out_channels, -1).t()
        cut = self.stride * channels
        y = rows @ weight[:cut] if self.conv.bias is None else torch.addmm(self.conv.bias, rows, weight[:cut])
        if self.kernel > self.stride:
            y[:-1].addmm_(rows[1:, : channels * (self.kernel - self.stride)], weight[cut:])
        return y.view(batch, frames // self.stride, -1)


class _Projection(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(shape.channels[-1], shape.eps)
        self.projection = nn.Linear(shape.channels[-1], shape.width)

    def forward(self, x: Tensor) -> Tensor:
        return self.projection(self.layer_norm(x))


class _Encoder(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm_first = shape.norm_first
        self.pos_conv_embed = _StackedPositions(shape) if shape.position_layers else _Positions(shape)
        self.layer_norm = nn.Identity() if shape.norm_first else nn.LayerNorm(shape.width, shape.eps)
        self.layers = nn.ModuleList(_Layer(shape) for _ in range(shape.layers))
        self.distances = _Distances(shape) if shape.buckets else None

    def forward(self, x: Tensor, padding: Tensor | None, layers: Collection[int]) -> dict[int, Tensor]:
        x = x if padding is None else x.masked_fill(padding[:, :, None], 0)
        x = self.layer_norm(x + self.pos_conv_embed(x, padding))
        bias = None if self.distances is None else self.distances(x.shape[1]).to(x.dtype)
        outside = None
        if padding is not None:
            outside = torch.zeros(padding.shape, dtype=x.dtype, device=x.device)
            outside = outside.masked_fill_(padding, float("-inf"))[:, None, None]  # [B, 1, 1, T]
        found: dict[int, Tensor] = {}
        for number, layer in enumerate(self.layers, 1):
            x = layer(x, outside, bias)
            if number in layers:
                found[number] = x
        return found


class _Positions(nn.Module):
    """One wide convolution in groups."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        kernel = shape.position_kernel
        self.conv = nn.Conv1d(shape.width, shape.width, kernel, padding=kernel // 2, groups=shape.position_groups)

    def forward(self, x: Tensor, padding: Tensor | None) -> Tensor:
        """Return what is added to x [B, T, C], which is zero on padding."""
        return F.gelu(self.convolved(x))

    def convolved(self, x: Tensor) -> Tensor:
        """Return as many frames as there are; an even kernel makes one more."""
        return self.conv(x.transpose(1, 2))[:, :, : x.shape[1]].transpose(1, 2)


class _StackedPositions(nn.Module):
    """Convolutions in groups, each normalised over channels."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Positions(shape) for _ in range(shape.position_layers))

    def forward(self, x: Tensor, padding: Tensor | None) -> Tensor:
        """Return what is added to x [B, T, C], which is zero on padding."""
        for layer in cast("Iterable[_Positions]", self.layers):
            x = F.gelu(F.layer_norm(layer.convolved(x), x.shape[-1:]))
            x = x if padding is None else x.masked_fill(padding[:, :, None], 0)
        return x


class _Distances(nn.Module):
    """WavLM's bias of each distance: exact for near frames, by the logarithm for others."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.furthest = shape.furthest
        self.rel_attn_embed = nn.Embedding(shape.buckets, shape.heads)

    def forward(self, frames: int) -> Tensor:
        """Return biases [H, T, T]."""
        half = self.rel_attn_embed.num_embeddings // 2
        exact = half // 2
        place = torch.arange(frames, device=self.rel_attn_embed.weight.device)
        ahead = place[None] - place[:, None]
        far = ahead.abs()
        share = torch.log(far.clamp(min=1).float() / exact) / math.log(self.furthest / exact)
        bucket = torch.where(far < exact, far, (exact + (share * (half - exact)).long()).clamp(max=half - 1))
        return self.rel_attn_embed(bucket + half * (ahead > 0)).permute(2, 0, 1)


class _Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm_first = shape.norm_first
        self.attention = _Attention(shape)
        self.layer_norm = nn.LayerNorm(shape.width, shape.eps)
        self.feed_forward = _FeedForward(shape)
        self.final_layer_norm = nn.LayerNorm(shape.width, shape.eps)

    def forward(self, x: Tensor, outside: Tensor | None, bias: Tensor | None) -> Tensor:
        if self.norm_first:
            x = x + self.attention(self.layer_norm(x), outside, bias)
            return x + self.feed_forward(self.final_layer_norm(x))
        x = self.layer_norm(x + self.attention(x, outside, bias))
        return self.final_layer_norm(x + self.feed_forward(x))


class _FeedForward(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.intermediate_dense = nn.Linear(shape.width, shape.inner)
        self.output_dense = nn.Linear(shape.inner, shape.width)

    def forward(self, x: Tensor) -> Tensor:
        return self.output_dense(F.gelu(self.intermediate_dense(x)))


class _Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads, size = shape.heads, shape.width // shape.heads
        self.qkv_proj = nn.Linear(shape.width, 3 * shape.width)
        self.out_proj = nn.Linear(shape.width, shape.width)
        if shape.buckets:
            self.gru_rel_pos_linear = nn.Linear(size, GATES)
            self.gru_rel_pos_const = nn.Parameter(torch.ones(1, shape.heads, 1, 1))

    def forward(self, x: Tensor, outside: Tensor | None, bias: Tensor | None) -> Tensor:
        """Attend over x [B, T, C]; `outside` [B, 1, 1, T] is -inf on padding, `bias` [H, T, T] is WavLM's."""
        query, key, value = self.qkv_proj(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        added = outside
        if bias is not None:
            own = x.unflatten(2, (self.heads, -1)).transpose(1, 2)  # [B, H, T, C / H]
            a, b = self.gru_rel_pos_linear(own).unflatten(3, (2, -1)).sum(4).sigmoid().split(1, 3)
            gated = (a * (b * self.gru_rel_pos_const - 1) + 2) * bias
            added = gated if outside is None else gated + outside
        y = F.scaled_dot_product_attention(query, key, value, attn_mask=added)
        return self.out_proj(y.transpose(1, 2).flatten(2))
