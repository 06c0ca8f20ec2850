"""What a module's buffers are for: each module that has some says so itself.

    averaged_buffers    move with the weights, so an average of the weights takes them in
    unit_buffers        decide which unit a vector gets, beside the weights and the codewords, so they are hashed

Whatever a module does not name is data or counts: kept in checkpoints, never averaged, of no use for units.
"""

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

RUNNING = ("running_mean", "running_var")  # of torch's own batch normalisation


def averaged_state(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the parameters and buffers, with their names, that an average of weights is made of."""
    yield from module.named_parameters()
    yield from _named_buffers(module, "averaged_buffers")


def unit_state(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the parameters and buffers, with their names, that units depend on."""
    yield from module.named_parameters()
    yield from _named_buffers(module, "unit_buffers")


def _named_buffers(module: nn.Module, kind: str) -> Iterator[tuple[str, Tensor]]:
    for prefix, part in module.named_modules():
        torchs = RUNNING if isinstance(part, _BatchNorm) and part.track_running_stats else ()
        for name in getattr(part, kind, torchs):
            yield f"{prefix}.{name}".lstrip("."), getattr(part, name)
