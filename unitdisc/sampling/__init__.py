"""Drawing from a WaveNet, step by step: the specification, and the same samples faster on CPU and GPU."""

from collections.abc import Iterator

from torch import Tensor

from unitdisc.sampling.request import Request

__all__ = ["Request", "sample", "stream"]


def sample(request: Request) -> Tensor:
    """Draw steps [B, T] or [B, T, M] in the fastest way there is where the weights are."""
    if request.noise.is_cuda:
        from unitdisc.sampling import graphs

        return graphs.sample(request)
    from unitdisc.sampling import fast  # numba is slow to import, and only needed here

    return fast.sample(request)


def stream(request: Request) -> Iterator[Tensor]:
    """Yield what `sample` returns in blocks, as they are ready; up to 8 utterances on a CPU."""
    if request.noise.is_cuda:
        from unitdisc.sampling import graphs

        return graphs.stream(request)
    from unitdisc.sampling import fast

    return fast.stream(request)
