"""Weights of self-supervised models from disk: a folder as transformers writes it, or a file of torchaudio's.

The sizes of a network are read off its weights; a folder's config.json says the rest. Nothing is downloaded, no pickle
is run, and what is only of use for training is left behind.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

from unitdisc.errors import CheckpointError, ConfigError
from unitdisc.features.configs import SSLConfig
from unitdisc.features.ssl_network import KERNELS, STRIDES, Network, Shape
from unitdisc.reading import json_if_any, parse_json, reading

EXTRACTOR, PROJECTION, ENCODER = "feature_extractor.", "feature_projection.", "encoder."
PARTS = (EXTRACTOR, PROJECTION, ENCODER)
# From the names of torchaudio, and of older versions of transformers, to those of transformers.
RENAMES = (
    (r"^(hubert|wavlm|wav2vec2|data2vec_audio)\.", ""),
    (r"^encoder\.feature_projection\.", PROJECTION),
    (r"^encoder\.transformer\.", ENCODER),
    (r"\.attention\.attention\.(in_proj_|out_proj\.)", r".attention.\1"),
    (r"\.parametrizations\.weight\.original0$", ".weight_g"),
    (r"\.parametrizations\.weight\.original1$", ".weight_v"),
    (r"^encoder\.layers\.0\.attention\.rel_attn_embed\.", "encoder.distances.rel_attn_embed."),
)
POSITION = "encoder.pos_conv_embed."


class Loaded(NamedTuple):
    """A network, and whether it wants each utterance at mean 0 and variance 1."""

    network: Network
    normalise: bool


def load_network(config: SSLConfig, layers: int) -> Loaded:
    """Build the network of a checkpoint up to a layer."""
    state, said = _read(config.checkpoint)
    kind = str(said.get("model_type", _kind_of(state) or config.kind)).removesuffix("-audio")
    if kind != config.kind or _kind_of(state) not in (None, config.kind):
        got = kind if kind != config.kind else _kind_of(state)
        raise CheckpointError(f"{config.checkpoint}: the config says kind: {config.kind}, the weights are of {got}")
    if _kind_of(state) is None and config.kind in ("wavlm", "data2vec"):
        raise CheckpointError(
            f"{config.checkpoint}: the config says kind: {config.kind}, the weights are of hubert or wav2vec2"
        )
    with reading(config.checkpoint, f"the weights of a {config.kind} model", got="others", error=CheckpointError):
        shape = _shape(config, state, said)
        if not 1 <= layers <= shape.layers:
            raise ConfigError(f"{config.checkpoint}: layer must lie in 1..{shape.layers}, got {layers}")
        network = _network(shape, layers, state)
    return Loaded(network, bool(said.get("do_normalize", not shape.group_norm)))


def frame_width(config: SSLConfig) -> int:
    """Return the width of a model's frames: as config.json says, or from the header of the weights."""
    width = json_if_any(config.checkpoint / "config.json").get("hidden_size")
    if isinstance(width, int) and width > 0:
        return width
    state, _ = _read(config.checkpoint)
    if PROJECTION + "projection.weight" not in state:
        raise CheckpointError(f"{config.checkpoint}: expected the weights of a {config.kind} model, got others")
    return int(state[PROJECTION + "projection.weight"].shape[0])


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the weights by our names, and what the files beside them say."""
    said: dict[str, Any] = {}
    if not path.exists():
        raise ConfigError(
            f"{path}: no such checkpoint; nothing is downloaded, so fetch it first and name the file or folder"
        )
    if not path.is_dir():
        state = _weights(path)
    else:
        for name in ("preprocessor_config.json", "config.json"):
            if (path / name).exists():
                with reading(path / name, "a JSON object", error=CheckpointError):
                    said.update(parse_json((path / name).read_text("utf-8")))
        state = _folder_weights(path)
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(
            f"{path}: expected a state dict, got {type(state).__name__}; save model.state_dict() alone"
        )
    renamed = {}
    for key, value in state.items():
        for pattern, name in RENAMES:
            key = re.sub(pattern, name, key)
        if key.startswith(PARTS):
            renamed[key] = value
    return renamed, said


def _weights(path: Path) -> Any:
    with reading(path, "plain weights", error=CheckpointError):
        try:  # mapped into memory, so that only what is used is read
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # a format that is too old for it
            return torch.load(path, map_location="cpu", weights_only=True)


def _folder_weights(path: Path) -> Mapping[str, Tensor]:
    index = path / "model.safetensors.index.json"
    if (path / "model.safetensors").exists() or index.exists():
        names = ["model.safetensors"]
        if index.exists():  # large models lie in several files
            with reading(index, "an index of weights", error=CheckpointError):
                files = parse_json(index.read_text("utf-8"))["weight_map"].values()
                names = sorted({Path(str(name)).name for name in files})
        state: dict[str, Tensor] = {}
        for name in names:
            with reading(path / name, "weights", got="a damaged file", advice="fetch it again", error=CheckpointError):
                state.update(load_file(path / name))
        return state
    if (path / "pytorch_model.bin").exists():
        return _weights(path / "pytorch_model.bin")
    raise CheckpointError(f"{path}: expected model.safetensors or pytorch_model.bin, got neither")


def _kind_of(state: Mapping[str, Tensor]) -> str | None:
    """Return the kind that the weights' names give away; HuBERT and wav2vec 2.0 have the same."""
    if "encoder.distances.rel_attn_embed.weight" in state:
        return "wavlm"
    return "data2vec" if POSITION + "layers.0.conv.weight" in state else None


def _shape(config: SSLConfig, state: Mapping[str, Tensor], said: Mapping[str, Any]) -> Shape:
    """Read the sizes off the weights."""
    convolutions = [state[f"{EXTRACTOR}conv_layers.{n}.conv.weight"] for n in range(len(KERNELS))]
    kernels, strides = tuple(w.shape[2] for w in convolutions), tuple(said.get("conv_stride", STRIDES))
    if kernels != KERNELS or strides != STRIDES or f"{EXTRACTOR}conv_layers.{len(KERNELS)}.conv.weight" in state:
        raise ValueError(f"expected convolutions {KERNELS} by {STRIDES}, got {kernels} by {strides}")
    if said.get("hidden_act", "gelu") != "gelu" or said.get("feat_extract_activation", "gelu") != "gelu":
        raise ValueError(f"expected GELU, got {said.get('hidden_act')} and {said.get('feat_extract_activation')}")
    numbers = (re.match(r"encoder\.layers\.(\d+)\.", key) for key in state)
    stacked = [key for key in state if re.fullmatch(r"encoder\.pos_conv_embed\.layers\.\d+\.conv\.weight", key)]
    position = state[stacked[0] if stacked else POSITION + "conv.weight_v"]
    width = int(position.shape[0])
    relative = state.get("encoder.distances.rel_attn_embed.weight")
    every_norm = EXTRACTOR + "conv_layers.1.layer_norm.weight" in state
    heads = config.heads or said.get("num_attention_heads")
    if not heads and relative is not None:
        heads = relative.shape[1]
    return Shape(
        channels=tuple(int(w.shape[0]) for w in convolutions),
        conv_bias=EXTRACTOR + "conv_layers.0.conv.bias" in state,
        group_norm=not every_norm,
        width=width,
        # The extra large models are the only ones with wider heads.
        heads=int(heads or (16 if width == 1280 else max(1, width // 64))),
        inner=int(state["encoder.layers.0.feed_forward.intermediate_dense.weight"].shape[0]),
        layers=1 + max(int(match[1]) for match in numbers if match),
        norm_first=bool(said.get("do_stable_layer_norm", every_norm and not stacked)),
        position_kernel=int(position.shape[2]),
        position_groups=width // int(position.shape[1]),
        position_layers=len(stacked),
        buckets=0 if relative is None else int(relative.shape[0]),
        furthest=int(said.get("max_bucket_distance", 800)),
        eps=float(said.get("layer_norm_eps", 1e-5)),
    )


def _network(shape: Shape, layers: int, state: Mapping[str, Tensor]) -> Network:
    """Build the network of the first layers, and give it its weights."""
    with torch.device("meta"):
        network = Network(Shape(**{**vars(shape), "layers": layers}))
    left = {}
    for key, value in state.items():
        number = re.match(r"encoder\.layers\.(\d+)\.", key)
        if number and int(number[1]) >= layers:
            continue
        if key.startswith("encoder.layer_norm.") and shape.norm_first:
            continue  # after the last layer
        left[key] = value
    _plain_position_(left)
    for n in range(layers):
        _join_projections_(left, f"encoder.layers.{n}.attention.")
    network.load_state_dict({key: value.float() for key, value in left.items()}, assign=True)
    return network


def _plain_position_(state: dict[str, Tensor]) -> None:
    """Multiply the direction and the length of the position convolution's weights."""
    prefix = POSITION + "conv.weight_"
    if prefix + "v" in state:
        direction, length = state.pop(prefix + "v").float(), state.pop(prefix + "g").float()
        state[POSITION + "conv.weight"] = direction * (length / direction.norm(dim=(0, 1), keepdim=True))


def _join_projections_(state: dict[str, Tensor], prefix: str) -> None:
    """Make one of the weights for query, key and value."""
    for part in ("weight", "bias"):
        if prefix + "in_proj_" + part in state:
            state[f"{prefix}qkv_proj.{part}"] = state.pop(f"{prefix}in_proj_{part}")
        else:
            state[f"{prefix}qkv_proj.{part}"] = torch.cat([state.pop(f"{prefix}{x}_proj.{part}") for x in "qkv"])
