"""A layer of HuBERT, WavLM or wav2vec 2.0 as features, from weights on disk, by torchaudio's implementation.

The sizes of the network are read off its weights. Layer k is the output of the k-th transformer layer; of a model that
normalises before each layer ("large" ones) the last layer is taken before the final normalisation.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unitdisc.errors import CheckpointError, ConfigError
from unitdisc.features.base import FeatureModule, Features
from unitdisc.features.configs import SSLConfig
from unitdisc.features.framing import frame_counts
from unitdisc.files import parse_json

KERNELS, STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)  # a hop of 320 samples, a window of 400
# From the names of transformers to those of torchaudio; what is only of use for training is left behind.
RENAMES = (
    (r"^(hubert|wavlm|wav2vec2)\.", ""),
    (r"^feature_projection\.", "encoder.feature_projection."),
    (r"^encoder\.(?!feature_projection|transformer)", "encoder.transformer."),
    (r"pos_conv_embed\.conv\.weight_g$", "pos_conv_embed.conv.parametrizations.weight.original0"),
    (r"pos_conv_embed\.conv\.weight_v$", "pos_conv_embed.conv.parametrizations.weight.original1"),
)
EXTRACTOR, PROJECTION, TRANSFORMER = "feature_extractor.", "encoder.feature_projection.", "encoder.transformer."


class SelfSupervised(FeatureModule):
    """One layer of a self-supervised model, frozen; utterances are run one by one, so padding is never seen."""

    def __init__(self, config: SSLConfig) -> None:
        super().__init__()
        self.config, self.grid = config, config.grid
        state, said = _read(config.checkpoint)
        self.model = _build(config, state, said)
        self.dim = int(state[PROJECTION + "projection.weight"].shape[0])
        default = bool(said.get("do_normalize", EXTRACTOR + "conv_layers.1.layer_norm.weight" in state))
        self.normalise = default if config.normalise is None else config.normalise
        self.requires_grad_(False)

    def train(self, mode: bool = True) -> "SelfSupervised":
        """Stay as for evaluation: there is nothing to train, and dropout would change the features."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, waves: Tensor, samples: Tensor) -> Features:
        """Turn waves [B, S], each with its number of samples [B], into frames."""
        lengths = frame_counts(samples, self.grid)
        frames = waves.new_zeros(len(waves), int(lengths.max()) if len(lengths) else 0, self.dim)
        for row, (count, length) in enumerate(zip(samples.tolist(), lengths.tolist(), strict=True)):
            if length:
                wave = waves[row : row + 1, :count].to(torch.float32)
                if self.normalise:
                    wave = (wave - wave.mean()) / (wave.var(unbiased=False) + 1e-7).sqrt()
                layers, _ = self.model.extract_features(wave, num_layers=self.config.layer)
                frames[row, :length] = layers[-1][0]
        return Features(frames, lengths)


def frame_width(config: SSLConfig) -> int:
    """Return the width of a model's frames: as config.json says, or from the header of the weights."""
    path = config.checkpoint / "config.json"
    if path.is_file():
        try:
            width = parse_json(path.read_text("utf-8"))["hidden_size"]
        except (OSError, ValueError, KeyError, TypeError):
            width = None
        if isinstance(width, int) and width > 0:
            return width
    state, _ = _read(config.checkpoint)
    if PROJECTION + "projection.weight" not in state:
        raise CheckpointError(f"{config.checkpoint}: are not the weights of a {config.kind} model")
    return int(state[PROJECTION + "projection.weight"].shape[0])


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the weights by torchaudio's names, and what the files beside them say."""
    said: dict[str, Any] = {}
    try:
        if not path.is_dir():
            state = _weights(path)
        else:
            for name in ("preprocessor_config.json", "config.json"):
                if (path / name).exists():
                    said.update(parse_json((path / name).read_text("utf-8")))
            state = _folder_weights(path)
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such checkpoint; nothing is downloaded, so fetch it first and name the file or folder"
        ) from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(
            f"{path}: expected a state dict, got {type(state).__name__}; save model.state_dict() alone"
        )
    renamed = {}
    for key, value in state.items():
        for pattern, name in RENAMES:
            key = re.sub(pattern, name, key)
        if key.startswith((EXTRACTOR, PROJECTION, TRANSFORMER)):
            renamed[key] = value
    return renamed, said


def _weights(path: Path) -> Any:
    try:
        try:  # mapped into memory, so that only what is used is read
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # a format that is too old for it
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # the unpickler stumbles over other files in more ways than one can name
        raise CheckpointError(f"{path}: cannot be read as plain weights: {_first_line(error)}") from None


def _folder_weights(path: Path) -> Mapping[str, Tensor]:
    if (path / "model.safetensors").exists():
        try:
            from safetensors import SafetensorError
            from safetensors.torch import load_file
        except ImportError:
            raise CheckpointError(f"{path}: safetensors is needed to read it; pip install 'unitdisc[ssl]'") from None
        try:
            return load_file(path / "model.safetensors")
        except SafetensorError as error:
            raise CheckpointError(f"{path / 'model.safetensors'}: damaged: {error}; fetch it again") from None
    if (path / "pytorch_model.bin").exists():
        return _weights(path / "pytorch_model.bin")
    raise CheckpointError(f"{path}: expected model.safetensors or pytorch_model.bin, got neither")


def _build(config: SSLConfig, state: dict[str, Tensor], said: Mapping[str, Any]) -> Any:
    from torchaudio.models import wav2vec2_model, wavlm_model

    is_wavlm = any("rel_attn_embed" in key for key in state)
    kind = said.get("model_type", "wavlm" if is_wavlm else config.kind)
    if kind != config.kind or is_wavlm != (config.kind == "wavlm"):
        got = kind if kind != config.kind else "hubert or wav2vec2"
        raise CheckpointError(f"{config.checkpoint}: the config says kind: {config.kind}, the weights are of {got}")
    try:
        sizes, layers = _sizes(config, state, said)
        if is_wavlm:
            _join_projections(state, layers)
            buckets = state[TRANSFORMER + "layers.0.attention.rel_attn_embed.weight"].shape[0]
            distance = int(said.get("max_bucket_distance", 800))
            model = wavlm_model(**sizes, encoder_num_buckets=buckets, encoder_max_distance=distance, aux_num_out=None)
        else:
            model = wav2vec2_model(**sizes, aux_num_out=None)
        model.load_state_dict(state)
    except (KeyError, RuntimeError, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{config.checkpoint}: are not the weights of a {config.kind} model: {reason}") from None
    if not 1 <= config.layer <= layers:
        raise ConfigError(f"{config.checkpoint}: layer must lie in 1..{layers}, got {config.layer}")
    model.encoder.transformer.layers = nn.ModuleList(list(model.encoder.transformer.layers)[: config.layer])
    return model


def _sizes(config: SSLConfig, state: Mapping[str, Tensor], said: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Read the arguments of torchaudio's constructors off the weights; dropout never runs here."""
    convolutions = [state[f"{EXTRACTOR}conv_layers.{n}.conv.weight"] for n in range(len(KERNELS))]
    kernels, channels = tuple(w.shape[2] for w in convolutions), [w.shape[0] for w in convolutions]
    strides = tuple(said.get("conv_stride", STRIDES))
    if kernels != KERNELS or strides != STRIDES or f"{EXTRACTOR}conv_layers.{len(KERNELS)}.conv.weight" in state:
        raise ValueError(f"expected convolutions {KERNELS} by {STRIDES}, got {kernels} by {strides}")
    layers = 1 + max(int(m[1]) for m in (re.match(r"encoder\.transformer\.layers\.(\d+)\.", k) for k in state) if m)
    position = state[TRANSFORMER + "pos_conv_embed.conv.parametrizations.weight.original1"]
    width = position.shape[0]
    every_norm = EXTRACTOR + "conv_layers.1.layer_norm.weight" in state
    sizes = {
        "extractor_mode": "layer_norm" if every_norm else "group_norm",
        "extractor_conv_layer_config": list(zip(channels, KERNELS, STRIDES, strict=True)),
        "extractor_conv_bias": EXTRACTOR + "conv_layers.0.conv.bias" in state,
        "encoder_embed_dim": width,
        "encoder_projection_dropout": 0.0,
        "encoder_pos_conv_kernel": position.shape[2],
        "encoder_pos_conv_groups": width // position.shape[1],
        "encoder_num_layers": layers,
        "encoder_num_heads": config.heads or said.get("num_attention_heads") or _heads(state, width),
        "encoder_attention_dropout": 0.0,
        "encoder_ff_interm_features": state[TRANSFORMER + "layers.0.feed_forward.intermediate_dense.weight"].shape[0],
        "encoder_ff_interm_dropout": 0.0,
        "encoder_dropout": 0.0,
        "encoder_layer_norm_first": bool(said.get("do_stable_layer_norm", every_norm)),
        "encoder_layer_drop": 0.0,
    }
    return sizes, layers


def _heads(state: Mapping[str, Tensor], width: int) -> int:
    relative = state.get(TRANSFORMER + "layers.0.attention.rel_attn_embed.weight")
    if relative is not None:
        return int(relative.shape[1])
    return 16 if width == 1280 else max(1, width // 64)  # the extra large models are the only ones with wider heads


def _join_projections(state: dict[str, Tensor], layers: int) -> None:
    """Give WavLM's attention its weights the way torchaudio keeps them: query, key and value in one."""
    for n in range(layers):
        prefix = f"{TRANSFORMER}layers.{n}.attention."
        if prefix + "q_proj.weight" not in state:
            continue
        for part in ("weight", "bias"):
            joined = torch.cat([state.pop(f"{prefix}{letter}_proj.{part}") for letter in "qkv"])
            state[f"{prefix}attention.in_proj_{part}"] = joined
            state[f"{prefix}attention.out_proj.{part}"] = state.pop(f"{prefix}out_proj.{part}")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
