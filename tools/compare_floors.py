"""Compare floors under the mel energies of MFCC by ABX, on recordings as they are, quieter and louder.

    python tools/compare_floors.py DATA --alignment phones.ctm [--speakers A B ...] [--gains 1 0.01]

DATA is a Kaldi data directory. Raw MFCC and MFCC normalised by utterance are scored, triphones, groups of 10, 5 x.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from unitdisc.data.alignment import read_alignment
from unitdisc.data.kaldi import DataDir
from unitdisc.evaluate.abx import score_abx
from unitdisc.evaluate.abx_options import AbxOptions
from unitdisc.evaluate.items import make_items
from unitdisc.features.build import build_raw_features
from unitdisc.features.configs import MfccConfig

SETTINGS = {
    "none (Kaldi without dither)": {},
    "dither 1 (Kaldi's default)": {"dither": 1.0},
    "floor 1e4": {"floor": 1e4},
    "floor 1e6": {"floor": 1e6},
    "floor_db 20": {"floor_db": 20.0},
    "floor_db 25": {"floor_db": 25.0},
    "floor_db 30": {"floor_db": 30.0},
    "floor_db 35": {"floor_db": 35.0},
    "floor_db 40": {"floor_db": 40.0},
}


def write_frames(folder: Path, data: DataDir, utts: list[str], config: MfccConfig, gain: float) -> None:
    """Write MFCC of each utterance, raw in folder/raw and normalised in folder/utterance."""
    features = build_raw_features(config)
    for name in ("raw", "utterance"):
        (folder / name).mkdir()
    for utt in utts:
        wave = np.round(data.source(utt).load(16000) * gain * 32768).clip(-32768, 32767) / 32768  # as a file holds it
        frames = features(torch.from_numpy(wave)[None], torch.tensor([len(wave)])).frames[0].numpy()
        np.save(folder / "raw" / f"{utt}.npy", frames)
        spread = np.maximum(frames.std(0), 1e-5)
        np.save(folder / "utterance" / f"{utt}.npy", (frames - frames.mean(0)) / spread)


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--alignment", type=Path, required=True)
    parser.add_argument("--speakers", nargs="*", help="only these")
    parser.add_argument("--gains", nargs="*", type=float, default=[1.0])
    parser.add_argument("--settings", nargs="*", help=f"some of: {', '.join(SETTINGS)}")
    options = parser.parse_args()
    data, alignment = DataDir.read(options.data), read_alignment(options.alignment)
    chosen = {u: s for u, s in data.utt2spk.items() if not options.speakers or s in options.speakers}
    items = make_items({u: a for u, a in alignment.items() if u in chosen}, chosen, "triphone")
    utts = sorted(set(items.files.tolist()))
    print(f"{len(utts)} utterances of {len(set(chosen.values()))} speakers, {len(items)} items")
    print("| gain | floor | raw across / within % | by utterance across / within % |\n|---|---|---|---|")
    for gain in options.gains:
        for name, settings in SETTINGS.items():
            if options.settings and name not in options.settings:
                continue
            with tempfile.TemporaryDirectory() as folder:
                write_frames(Path(folder), data, utts, MfccConfig(**settings), gain)
                cells = []
                for kind in ("raw", "utterance"):
                    scores = [
                        score_abx(Path(folder) / kind, items, 0.01, AbxOptions(speaker=speaker)).value
                        for speaker in ("across", "within")
                    ]
                    cells.append(" / ".join(f"{100 * score:.1f}" for score in scores))
            print(f"| {gain:g} | {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
