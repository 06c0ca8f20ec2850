"""How near resynthesis comes to speech: log-mel distance, mel-cepstral distance and a probe's phone error.

    python tools/bench_resynthesis.py OUT TRAIN EXP... [--utterances 60] [--mels 40] [--epochs 10]

TRAIN is a data directory with phones.ctm, of speakers that the models know. Some of its utterances are spoken again by
each model (`unitdisc convert --to same`) and, beside them, made from nothing or from themselves: silence, noise as loud
as the speech, copy-synthesis of log-mel frames by Griffin-Lim, and the waveform rounded to mu-law classes. A CTC probe
is trained on MFCC of the rest of TRAIN and hears them all. The models were trained on these utterances: the figures
compare rows, and are not those of new speech. What OUT holds already is kept.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unitdisc.convert import ConvertOptions, Made, as_loud, convert, fit_length, write_manifest
from unitdisc.data.audio import save_audio
from unitdisc.data.kaldi import DataDir
from unitdisc.data.subsets import subset
from unitdisc.evaluate.conversion import RANGE_DB, cepstral_distance, content_scores
from unitdisc.evaluate.converted import read_manifest
from unitdisc.evaluate.probe import ProbeConfig
from unitdisc.features.build import build_raw_features
from unitdisc.features.configs import LogMelConfig, MfccConfig
from unitdisc.features.extract import ExtractConfig, extract
from unitdisc.features.invert import griffin_lim
from unitdisc.networks.outputs import Softmax

RATE = 16000


def log_mel(wave: np.ndarray, config: LogMelConfig) -> Tensor:
    """Return the log-mel frames [T, M] of a waveform."""
    frames, _ = build_raw_features(config)(torch.from_numpy(wave)[None], torch.tensor([len(wave)]))
    return frames[0]


def makers(config: LogMelConfig) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Return what makes a waveform of a waveform without any model."""
    mu_law = Softmax(256)

    def copied(wave: np.ndarray) -> np.ndarray:
        return fit_length(griffin_lim(log_mel(wave, config), config).numpy(), len(wave))

    return {
        "source": lambda wave: wave,
        "copy-synthesis: mu-law, 256 classes": lambda wave: mu_law.decode(
            mu_law.encode(torch.from_numpy(wave))
        ).numpy(),
        f"copy-synthesis: {config.mels} log-mel bands, Griffin-Lim": copied,
        "noise": lambda wave: np.random.default_rng(len(wave)).normal(size=len(wave)).astype(np.float32),
        "silence": np.zeros_like,
    }


def make_row(data: DataDir, out: Path, maker: Callable[[np.ndarray], np.ndarray]) -> None:
    """Write a folder as `unitdisc convert --to same` does."""
    made = []
    for utt in data.utts:
        source = data.source(utt).load(RATE)
        wave = maker(source)
        samples, gain = as_loud(wave, source) if wave is not source else (wave, 1.0)
        path = out / "same" / f"{utt}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_audio(path, samples, RATE)
        speaker = data.utt2spk[utt]
        made.append(Made(f"same-{utt}", utt, speaker, "same", f"same/{utt}.wav", len(samples) / RATE, gain, pitch=""))
    write_manifest(out, made)


def mel_distance(folder: Path, data: DataDir, config: LogMelConfig) -> float:
    """Return the mean over spoken frames of the root mean square over bands of the difference, in dB."""
    total, frames = 0.0, 0
    for row in read_manifest(folder):
        source = data.source(row.source).load(RATE)
        ours, theirs = log_mel(DataDir.read(folder).source(row.utt).load(RATE), config), log_mel(source, config)
        level = theirs.logsumexp(1) * 20 / np.log(10)
        spoken = level > level.max() - RANGE_DB
        difference = (ours - theirs)[spoken] * 20 / np.log(10)
        total += float(difference.square().mean(1).sqrt().sum())
        frames += int(spoken.sum())
    return total / frames


def main() -> None:
    """Make the rows, score them, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("train", type=Path)
    parser.add_argument("exps", type=Path, nargs="+")
    parser.add_argument("--utterances", type=int, default=60)
    parser.add_argument("--mels", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    config, mfcc = LogMelConfig(mels=options.mels), ExtractConfig(MfccConfig(), None)
    every, source = DataDir.read(options.train), options.out / "source-data"
    if not source.exists():
        step = max(1, len(every.utts) // options.utterances)
        subset(every, source, every.utts[step - 1 :: step][: options.utterances])
        subset(every, options.out / "train", every.utts)
    data, train = DataDir.read(source), DataDir.read(options.out / "train")
    folders: dict[str, Path] = {}
    for number, (name, maker) in enumerate(makers(config).items()):
        folders[name] = options.out / f"row-{number}"
        if not (folders[name] / "manifest.jsonl").exists():
            make_row(data, folders[name], maker)
    for exp in options.exps:
        name = f"resynthesis: {exp.name}"
        folders[name] = options.out / f"row-{exp.name}"
        if not (folders[name] / "manifest.jsonl").exists():
            convert(exp, [source], folders[name], ["same"], ConvertOptions())
    for folder in (source, train.path, *folders.values()):
        extract(DataDir.read(folder), mfcc, force=True)
    probe = ProbeConfig(epochs=options.epochs)
    errors = content_scores(
        [*folders.values()], [source], train.path, alignment=options.train / "phones.ctm",
        train_alignment=options.train / "phones.ctm", config=probe,
    )  # fmt: skip
    by_folder = {str(score.options["scored"]): score for score in errors}
    print("| | log-mel distance, dB | mel-cepstral distance, dB | PER of the probe |")
    print("|---|---|---|---|")
    for name, folder in folders.items():
        per, cepstra = by_folder[str(folder)], cepstral_distance([folder], [source])
        assert per.interval is not None
        low, high = per.interval.low, per.interval.high
        distance = mel_distance(folder, data, config)
        print(f"| {name} | {distance:.1f} | {cepstra.value:.2f} | {per.value:.3f} ({low:.3f} to {high:.3f}) |")


if __name__ == "__main__":
    main()
