"""The specification of sampling: the whole network over the receptive field, for every single step."""

import torch
from torch import Tensor

from unitdisc.sampling.request import Request, silence


@torch.no_grad()
def sample(request: Request) -> Tensor:
    """Draw steps one by one."""
    wavenet, output, condition = request.wavenet, request.output, request.condition
    given = None if condition is None else condition.repeat_interleave(request.hop, dim=1)
    samples = silence(output, request.batch, request.steps, request.noise.device)
    for t in range(request.steps):
        first = max(0, t + 1 - wavenet.receptive_field)
        x = output.shifted(samples[:, : t + 1])[:, first:]
        params = wavenet(x, None if given is None else given[:, first : t + 1])[:, -1]
        samples[:, t] = output.draw(params, request.noise[:, t], request.temperature)
    return request.silenced_(samples)
