"""Discretised mixtures of logistics: a density over the levels of a waveform, with ordered amplitudes.

Level k of n has the value -1 + 2 k / (n - 1) and takes the mass of each logistic between its two edges, half a level to
either side; the lowest and the highest level take all that lies beyond them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

LOG_SCALE_MIN = -9.0  # about four levels of 16 bit: sharper than that is silence learned by heart


def to_level(x: Tensor, levels: int) -> Tensor:
    """Round x to the values of the nearest levels within -1..1."""
    step = 2.0 / (levels - 1)
    return torch.floor((x.clamp(-1.0, 1.0) + 1.0) / step + 0.5) * step - 1.0


def log_likelihood(params: Tensor, x: Tensor, levels: int) -> Tensor:
    """Return log p(x) of levels x [...] under params [..., 3 * K]: K log weights, means, log scales.

    With a, b the edges around x in units of the scale, sigma(b) - sigma(a) = sigma(b) sigma(-a) (1 - exp(a - b)),
    of which each factor has a stable logarithm: no threshold, no cancellation, a gradient everywhere.
    """
    weights, means, log_scales = params.chunk(3, -1)
    log_scales = log_scales.clamp(min=LOG_SCALE_MIN)
    half = 1.0 / (levels - 1)
    inverse = torch.exp(-log_scales)
    x = x.unsqueeze(-1)
    above = F.logsigmoid((x - means + half) * inverse)  # mass below the upper edge
    below = F.logsigmoid((means - x + half) * inverse)  # mass above the lower edge
    between = above + below + torch.log(-torch.expm1(-2.0 * half * inverse))
    each = torch.where(x < -1.0 + half, above, torch.where(x > 1.0 - half, below, between))
    return torch.logsumexp(F.log_softmax(weights, -1) + each, -1)


def draw(params: Tensor, choice: Tensor, logistic: Tensor, levels: int, temperature: float = 1.0) -> Tensor:
    """Draw levels [...] from params [..., 3 * K], given choice [...] in 0..1 and standard logistic noise [...].

    The temperature sharpens the choice of a component and narrows its scale; 0 takes the mean of the likeliest one.
    """
    weights, means, log_scales = params.chunk(3, -1)
    component = inverse_cdf(weights, choice, temperature).unsqueeze(-1)
    mean = means.gather(-1, component).squeeze(-1)
    scale = torch.exp(log_scales.clamp(min=LOG_SCALE_MIN).gather(-1, component).squeeze(-1))
    return to_level(mean + temperature * scale * logistic, levels)


def inverse_cdf(logits: Tensor, uniforms: Tensor, temperature: float = 1.0) -> Tensor:
    """Draw classes [...] from logits [..., K]: as many as have a cumulated probability not above the uniform."""
    if temperature == 0:
        return logits.argmax(-1)
    masses = torch.exp((logits - logits.amax(-1, keepdim=True)) / temperature)
    cumulated = masses.double().cumsum(-1)  # so that no order of summing matters to a float32 sampler
    drawn = (cumulated <= (uniforms * cumulated[..., -1]).unsqueeze(-1)).sum(-1)
    return drawn.clamp(max=logits.shape[-1] - 1)
