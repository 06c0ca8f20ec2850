"""Layers of self-supervised models from weights on disk; tiny networks with random weights stand for the real ones."""

import json
from dataclasses import replace

import pytest
import torch
from ssl_models import of_transformers
from torchaudio.models import wav2vec2_model, wavlm_model

from unitdisc.config import from_tree
from unitdisc.data.timing import FrameGrid
from unitdisc.decoders.configs import WaveformDecoderConfig
from unitdisc.errors import CheckpointError, ConfigError
from unitdisc.features import configs, ssl_weights
from unitdisc.features.build import build_raw_features, feature_dim
from unitdisc.features.configs import Data2VecConfig, HubertConfig, Wav2Vec2Config, WavLMConfig
from unitdisc.features.extract import ExtractConfig, extract
from unitdisc.features.ssl import SelfSupervised
from unitdisc.model import ModelConfig, UnitModel

KERNELS, STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)


def tiny(kind: str, norm: str = "group_norm", layers: int = 3):
    """Return a network of torchaudio's with random weights, 2 heads, 32 channels."""
    torch.manual_seed(0)
    sizes = {
        "extractor_mode": norm,
        "extractor_conv_layer_config": [(8, kernel, stride) for kernel, stride in zip(KERNELS, STRIDES, strict=True)],
        "extractor_conv_bias": norm == "layer_norm",
        "encoder_embed_dim": 32,
        "encoder_projection_dropout": 0.1,
        "encoder_pos_conv_kernel": 8,
        "encoder_pos_conv_groups": 4,
        "encoder_num_layers": layers,
        "encoder_num_heads": 2,
        "encoder_attention_dropout": 0.1,
        "encoder_ff_interm_features": 48,
        "encoder_ff_interm_dropout": 0.1,
        "encoder_dropout": 0.1,
        "encoder_layer_norm_first": norm == "layer_norm",
        "encoder_layer_drop": 0.1,
        "aux_num_out": 5,
    }
    if kind == "wavlm":
        return wavlm_model(**sizes, encoder_num_buckets=16, encoder_max_distance=800).eval()
    return wav2vec2_model(**sizes).eval()


def wave(samples: int) -> torch.Tensor:
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(samples))


CONFIGS = {"hubert": HubertConfig, "wavlm": WavLMConfig, "wav2vec2": Wav2Vec2Config}


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("norm", ["group_norm", "layer_norm"])
def test_a_layer_is_torchaudios(tmp_path, kind, norm):
    model = tiny(kind, norm)
    torch.save(model.state_dict(), tmp_path / "m.pt")
    one = wave(9000)
    normalised = (one - one.mean()) / one.std(unbiased=False) if norm == "layer_norm" else one
    with torch.no_grad():
        layers, _ = model.extract_features(normalised[None])
    for layer in (1, 2, 3):
        module = build_raw_features(CONFIGS[kind](checkpoint=tmp_path / "m.pt", layer=layer, heads=2))
        module.train()  # changes nothing
        frames, lengths = module(one[None], torch.tensor([9000]))
        assert module.dim == 32
        assert lengths.tolist() == [27]
        assert torch.allclose(frames[0], layers[layer - 1][0], atol=1e-5)


def test_the_frame_time_contract_is_that_of_the_convolutions(tmp_path):
    model = tiny("hubert", layers=1)
    torch.save(model.state_dict(), tmp_path / "m.pt")
    module = build_raw_features(HubertConfig(checkpoint=tmp_path / "m.pt", layer=1, heads=2))
    assert module.grid == FrameGrid(16000, 320, 400, snip_edges=True)
    assert (module.grid.period, module.grid.offset) == (0.02, 0.0025)
    for samples in (0, 399, 400, 719, 720, 16000, 16001):
        frames, lengths = module(wave(samples)[None], torch.tensor([samples]))
        want = max(0, (samples - 400) // 320 + 1)
        assert frames.shape[1] == int(lengths[0]) == module.grid.frames(samples) == want
    # A frame is centred where the convolutions look: a click there, and 200 samples to each side, is all that it sees.
    silent, extractor = torch.zeros(1, 8000), model.feature_extractor.conv_layers
    for index in (3, 10):
        centre = round((module.grid.offset + (index + 0.5) * module.grid.period) * 16000)
        for place, seen in ((centre - 201, False), (centre - 200, True), (centre + 199, True), (centre + 200, False)):
            click = silent.clone()
            click[0, place] = 1.0
            x, y = click[:, None], silent[:, None]
            for layer in extractor:  # without the first layer's norm, which looks at the whole utterance
                x, y = (torch.nn.functional.gelu(layer.conv(signal)) for signal in (x, y))
            assert bool((x[0, :, index] != y[0, :, index]).any()) == seen


def test_padding_never_changes_a_frame(tmp_path):
    torch.save(tiny("wavlm").state_dict(), tmp_path / "m.pt")
    module = build_raw_features(WavLMConfig(checkpoint=tmp_path / "m.pt", layer=2))
    waves, samples = torch.full((3, 6000), float("nan")), [6000, 300, 2500]
    for row, count in enumerate(samples):
        waves[row, :count] = wave(count)
    frames, lengths = module(waves, torch.tensor(samples))
    assert lengths.tolist() == [18, 0, 7]
    for row, count in enumerate(samples):
        alone = module(wave(count)[None], torch.tensor([count])).frames[0]
        assert torch.allclose(frames[row, : lengths[row]], alone, atol=1e-5)
        assert (frames[row, lengths[row] :] == 0).all()


def folder_of(tmp_path, kind: str, **extra):
    """Save a network as transformers does: its own names, config.json, model.safetensors."""
    safetensors = pytest.importorskip("safetensors.torch")
    state = {}
    for key, value in tiny(kind, "layer_norm").state_dict().items():
        key = key.replace("encoder.transformer.", "encoder.").replace(
            "encoder.feature_projection.", "feature_projection."
        )
        key = key.replace("parametrizations.weight.original0", "weight_g")
        key = key.replace("parametrizations.weight.original1", "weight_v")
        if "attention.attention.in_proj" in key:  # WavLM's
            for letter, part in zip("qkv", value.chunk(3), strict=True):
                state[f"{kind}.{key.replace('attention.in_proj_', f'{letter}_proj.')}"] = part.clone()
            continue
        state[f"{kind}.{key.replace('attention.attention.out_proj', 'attention.out_proj')}"] = value.contiguous()
    state["masked_spec_embed"] = torch.zeros(32)
    safetensors.save_file(state, tmp_path / "model.safetensors")
    said = {"model_type": kind, "num_attention_heads": 2, "do_stable_layer_norm": True, "conv_stride": STRIDES, **extra}
    (tmp_path / "config.json").write_text(json.dumps(said))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"do_normalize": False}))
    return tmp_path


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_folder_of_transformers_is_read(tmp_path, kind):
    one = wave(5000)
    with torch.no_grad():
        layers, _ = tiny(kind, "layer_norm").extract_features(one[None])
    module = build_raw_features(CONFIGS[kind](checkpoint=folder_of(tmp_path, kind), layer=2))
    assert torch.allclose(module(one[None], torch.tensor([5000])).frames[0], layers[1][0], atol=1e-5)


@pytest.mark.parametrize("kind", [*CONFIGS, "data2vec"])
@pytest.mark.parametrize("stable", [False, True])
def test_a_batch_is_what_transformers_makes_of_each_alone(tmp_path, kind, stable):
    model = of_transformers(tmp_path, kind, stable)
    config = {**CONFIGS, "data2vec": Data2VecConfig}[kind](checkpoint=tmp_path, normalise=False)
    module = SelfSupervised(config, layers=(1, 2))
    samples = [8000, 399, 400, 3333, 719, 16000, 8001]
    waves = torch.full((len(samples), 16000), float("nan"))
    for row, count in enumerate(samples):
        waves[row, :count] = wave(count)
    made = module.of_layers(waves, torch.tensor(samples))
    for row, count in enumerate(samples):
        if count < 400:
            assert not made[1][row].any()
            continue
        with torch.no_grad():
            theirs = model(waves[row : row + 1, :count], output_hidden_states=True).hidden_states
        for layer in (1, 2):
            frames = theirs[layer][0]
            assert len(frames) == module.grid.frames(count)
            assert (made[layer][row, : len(frames)] - frames).abs().max() < 1e-4
            assert not made[layer][row, len(frames) :].any()


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("stable", [False, True])
def test_half_precision_is_as_near_as_that_of_transformers(tmp_path, precision, stable):
    model = of_transformers(tmp_path, "hubert", stable)
    one = wave(8000)[None]
    config = HubertConfig(checkpoint=tmp_path, layer=2, normalise=False)
    exact = build_raw_features(config)(one, torch.tensor([8000])).frames
    half = build_raw_features(replace(config, precision=precision))(one, torch.tensor([8000])).frames
    model.to(dtype := getattr(torch, precision))
    with torch.no_grad():
        theirs = model(one.to(dtype), output_hidden_states=True).hidden_states[2].float()
    assert half.dtype == torch.float32
    assert 0 < (half - exact).norm() < 1.2 * (theirs - exact).norm()
    assert configs.archive_tree(replace(config, precision=precision))["precision"] == precision
    assert "precision" not in configs.archive_tree(config)  # as in archives of 0.1.0


def test_weights_in_several_files_are_read(tmp_path):
    model = of_transformers(tmp_path / "one", "hubert", False)
    model.save_pretrained(tmp_path / "many", max_shard_size="20KB")
    assert (tmp_path / "many" / "model.safetensors.index.json").exists()
    one, many = (build_raw_features(HubertConfig(checkpoint=tmp_path / name, layer=3)) for name in ("one", "many"))
    waves, samples = wave(4000)[None], torch.tensor([4000])
    assert torch.equal(one(waves, samples).frames, many(waves, samples).frames)


def test_the_config_is_one_of_the_union_and_the_archive_knows_the_weights(tmp_path):
    from test_extract import make_data

    torch.save(tiny("hubert").state_dict(), tmp_path / "m.pt")
    tree = {"features": {"kind": "hubert", "checkpoint": str(tmp_path / "m.pt"), "layer": 2, "heads": 2}}
    config = from_tree(ExtractConfig, tree, "x.yaml")
    data = make_data(tmp_path / "data", 4)
    summary = extract(data, config)
    assert summary.frames == sum(config.features.grid.frames(data.source(utt).samples(16000)) for utt in data.utts)
    assert extract(data, config).made == ()
    (tmp_path / "m.pt").rename(tmp_path / "moved.pt")
    tree["features"]["checkpoint"] = str(tmp_path / "moved.pt")
    assert extract(data, from_tree(ExtractConfig, tree, "x.yaml")).made == ()  # the weights count, not their place


class Trap:
    def __reduce__(self):
        return print, ("trapped",)


def test_a_wrong_checkpoint_says_what_is_wrong(tmp_path, capsys):
    def build(config):
        return build_raw_features(config)

    with pytest.raises(ConfigError, match=r"none\.pt: no such checkpoint; nothing is downloaded"):
        build(HubertConfig(checkpoint=tmp_path / "none.pt"))
    torch.save({"x": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(CheckpointError, match=r"trap\.pt: expected plain weights, got"):
        build(HubertConfig(checkpoint=tmp_path / "trap.pt"))
    assert "trapped" not in capsys.readouterr().out
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(CheckpointError, match=r"text\.pt: expected plain weights, got"):
        build(HubertConfig(checkpoint=tmp_path / "text.pt"))
    torch.save({"x": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="expected the weights of a hubert model, got others"):
        build(HubertConfig(checkpoint=tmp_path / "other.pt"))
    torch.save(tiny("wavlm").state_dict(), tmp_path / "wavlm.pt")
    with pytest.raises(CheckpointError, match="the config says kind: hubert, the weights are of wavlm"):
        build(HubertConfig(checkpoint=tmp_path / "wavlm.pt"))
    with pytest.raises(ConfigError, match=r"layer must lie in 1\.\.3, got 4"):
        build(WavLMConfig(checkpoint=tmp_path / "wavlm.pt", layer=4))
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"empty: expected model\.safetensors or pytorch_model\.bin, got neither"):
        build(HubertConfig(checkpoint=tmp_path / "empty"))


def test_a_folder_of_another_kind_or_frame_rate_is_refused(tmp_path):
    folder_of(tmp_path, "wav2vec2", conv_stride=[5, 2, 2, 2, 2, 2, 4])
    with pytest.raises(CheckpointError, match="the config says kind: hubert, the weights are of wav2vec2"):
        build_raw_features(HubertConfig(checkpoint=tmp_path))
    with pytest.raises(CheckpointError, match="expected convolutions"):
        build_raw_features(Wav2Vec2Config(checkpoint=tmp_path))


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_width_is_known_without_building_the_network(tmp_path, kind, monkeypatch):
    torch.save(tiny(kind).state_dict(), tmp_path / "m.pt")
    torch.save(tiny(kind).state_dict(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "folder").mkdir()
    folder_of(tmp_path / "folder", kind)
    (tmp_path / "said").mkdir()  # as a folder without its weights: what was trained on its features needs them no more
    (tmp_path / "said" / "config.json").write_text(json.dumps({"hidden_size": 48}))
    monkeypatch.setattr(ssl_weights, "_network", None)
    widths = [feature_dim(CONFIGS[kind](checkpoint=tmp_path / name)) for name in ("m.pt", "old.pt", "folder", "said")]
    assert widths == [32, 32, 32, 48]
    model = UnitModel(
        ModelConfig(features=CONFIGS[kind](checkpoint=tmp_path / "said"), decoder=WaveformDecoderConfig()), ["someone"]
    )
    assert model.dim_in == 48
    torch.save({"x": torch.zeros(1)}, tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match=f"m\\.pt: expected the weights of a {kind} model, got others"):
        feature_dim(CONFIGS[kind](checkpoint=tmp_path / "m.pt"))


def test_a_checkpoint_is_hashed_once_and_again_when_it_changes(tmp_path):
    (tmp_path / "m.pt").write_bytes(b"one")
    config, asked = HubertConfig(checkpoint=tmp_path / "m.pt"), configs._hash_of.cache_info().misses
    first = configs.archive_tree(config)["checkpoint"]
    assert configs.archive_tree(config)["checkpoint"] == first
    assert configs._hash_of.cache_info().misses == asked + 1
    (tmp_path / "m.pt").write_bytes(b"another")
    assert configs.archive_tree(config)["checkpoint"] != first
