"""Small made-up corpora for the tests of training and encoding: tones that change, by two speakers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
import torch

from unitdisc import checkpoint, config
from unitdisc.data.kaldi import DataDir
from unitdisc.decoders.configs import FrameDecoderConfig
from unitdisc.features.extract import ExtractConfig, extract
from unitdisc.model import ModelConfig, UnitModel
from unitdisc.networks.configs import ConditioningConfig, WaveNetConfig
from unitdisc.networks.encoders.configs import ConvEncoderConfig
from unitdisc.quantizers.configs import VQConfig
from unitdisc.quantizers.schedule import ScheduleConfig
from unitdisc.voices import Voices

PHONES = ("A", "B", "C", "D")


def tones(random: np.random.Generator, pitch: float, count: int) -> tuple[np.ndarray, list[str]]:
    """Return a chain of tones, 0.1 s each, and their names."""
    phones = [PHONES[i] for i in random.integers(len(PHONES), size=count)]
    time = np.arange(1600) / 16000
    parts = [np.sin(2 * np.pi * pitch * (2 + PHONES.index(p)) * time) for p in phones]
    return 0.3 * np.concatenate(parts) + 0.01 * random.standard_normal(1600 * count), phones


def make_data(folder: Path, utterances: int = 6, seed: int = 0, features: bool = True) -> DataDir:
    """Write a data directory with wavs, an alignment and features."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    names, ctm = [], []
    for number in range(utterances):
        speaker = "ab"[number % 2]
        utt = f"{speaker}-{number:02d}"
        wave, phones = tones(random, 180.0 if speaker == "a" else 260.0, int(random.integers(4, 9)))
        soundfile.write(folder / f"{utt}.wav", wave, 16000)
        names.append((utt, speaker))
        ctm += [f"{utt} 1 {i * 0.1:.2f} 0.10 {phone}\n" for i, phone in enumerate(phones)]
    names.sort()
    (folder / "wav.scp").write_text("".join(f"{utt} {utt}.wav\n" for utt, _ in names))
    (folder / "utt2spk").write_text("".join(f"{utt} {speaker}\n" for utt, speaker in names))
    (folder / "phones.ctm").write_text("".join(sorted(ctm)))
    data = DataDir.read(folder)
    if features:
        config = tiny_model()
        extract(data, ExtractConfig(config.features, config.targets))
    return data


def tiny_model(**changes: object) -> ModelConfig:
    """Return a model that trains in milliseconds."""
    model = ModelConfig(
        encoder=ConvEncoderConfig(channels=16, pointwise=1),
        quantizer=VQConfig(codes=8, dim=8, schedule=ScheduleConfig(warm_up=1, every=2, until=5, reservoir=64)),
        conditioning=ConditioningConfig(channels=8, speaker_dim=4),
        decoder=FrameDecoderConfig(wavenet=WaveNetConfig(layers=2, cycles=1, residual=8, gate=16, skip=8, hidden=8)),
    )
    return replace(model, **changes)  # type: ignore[arg-type]


def save_with_voices(model: UnitModel, path: Path) -> Path:
    """Write a checkpoint of a model of two speakers, whose pitch is known."""
    tree = {"config": {"model": config.to_tree(model.config)}, "speakers": ["a", "b"], "phones": []}
    tree |= {"model": model.state_dict(), "average": None, "step": 1}
    tree["voices"] = Voices(torch.tensor([110.0, 220.0]).log(), torch.tensor([0.1, 0.2])).tree()
    checkpoint.save(path, tree)
    return path
