"""Hashes that unit files carry: two units mean the same only if the hashes of their codebooks are equal."""

import hashlib
import json
from collections.abc import Mapping

import torch
from torch import Tensor

from unitdisc.quantizers.base import Quantizer

DIGITS = 12


def codebook_hash(quantizer: Quantizer, device: torch.device) -> str:
    """Return a hash of the vectors of all codewords; the quantiser is in evaluation mode."""
    hasher = hashlib.sha256(str(quantizer.codes).encode())
    if quantizer.codes:
        codes = torch.tensor(quantizer.codes, device=device)
        rows = torch.arange(int(codes.max()), device=device)
        units = torch.minimum(rows[:, None], codes - 1)  # every code of every codebook
        _add_tensor(hasher, "codewords", quantizer.decode(units[None]))
    return hasher.hexdigest()[:DIGITS]


def model_hash(settings: object, codebook: str, state: Mapping[str, Tensor]) -> str:
    """Return a hash of settings that JSON can hold, of a codebook's hash, and of named tensors in any order."""
    hasher = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    hasher.update(codebook.encode())
    for name in sorted(state):
        _add_tensor(hasher, name, state[name])
    return hasher.hexdigest()[:DIGITS]


def _add_tensor(hasher: "hashlib._Hash", name: str, tensor: Tensor) -> None:
    """Add a tensor's name, shape and bytes to a hash."""
    hasher.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
    hasher.update(tensor.detach().cpu().contiguous().numpy().tobytes())
