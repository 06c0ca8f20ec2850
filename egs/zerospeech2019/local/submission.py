"""The folder that ZeroSpeech 2019 and 2020 take: unit vectors as text, one line per frame, and converted speech.

python local/submission.py pairs DATA            prints the list of conversions: every test file in every voice V...
python local/submission.py write EXP CONVERTED OUT [--language english]

OUT gets metadata.yaml, <language>/test/<file>.txt and <language>/test/<voice>_<rest of the file's name>.wav. Fill in
metadata.yaml and zip the folder.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import numpy as np

from unitdisc.data.kaldi import DataDir
from unitdisc.data.store import FeatureReader
from unitdisc.data.whole import whole_file
from unitdisc.errors import DataError, UnitdiscError

METADATA = """author: ""
affiliation: ""
abx distance: "dtw_cosine"
open source: true
system description: "unitdisc: VQ-VAE with robust codebook training"
auxiliary1 description: ""
auxiliary2 description: ""
using parallel train: false
using external data: false
"""


def every_pair(data: Path) -> list[str]:
    """Return a line for every test file in every voice: the speakers V..., or all if nobody is named so."""
    test, train = DataDir.read(data / "test"), DataDir.read(data / "train")
    voices = [speaker for speaker in train.spk2utt if speaker.startswith("V")] or list(train.spk2utt)
    return [f"{utt} {voice}" for voice in voices for utt in test.utts]


def write(exp: Path, converted: Path, out: Path, language: str) -> list[str]:
    """Write the submission; return lines to print."""
    test = out / language / "test"
    test.mkdir(parents=True, exist_ok=True)
    vectors = FeatureReader(exp / "units" / "test" / "codes.scp")
    for utt in vectors:
        with whole_file(test / f"{utt}.txt") as file:
            np.savetxt(file, vectors[utt], fmt="%.6g")
    waves: dict[str, str] = {}
    for line in (converted / "manifest.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        name = f"{row['target']}_{row['source'].split('_', 1)[1]}.wav"
        if name in waves:
            raise DataError(f"{converted}: {row['source']} and {waves[name]} would both be {name}")
        waves[name] = row["source"]
        shutil.copyfile(converted / row["path"], test / name)
    if not (out / "metadata.yaml").exists():
        with whole_file(out / "metadata.yaml") as file:
            file.write(METADATA)
    return [f"{test}: {len(vectors)} files of unit vectors, {len(waves)} of speech; fill in {out / 'metadata.yaml'}"]


def main() -> None:
    """Parse, do one thing, print."""
    parser = argparse.ArgumentParser(description="A submission to ZeroSpeech 2019.", allow_abbrev=False)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("pairs")
    verb.add_argument("data", type=Path)
    verb = verbs.add_parser("write")
    for name in ("exp", "converted", "out"):
        verb.add_argument(name, type=Path)
    verb.add_argument("--language", default="english")
    options = parser.parse_args()
    try:
        if options.verb == "pairs":
            print("\n".join(every_pair(options.data)))
        else:
            print("\n".join(write(options.exp, options.converted, options.out, options.language)))
    except UnitdiscError as error:
        sys.exit(f"submission.py: {error}")


if __name__ == "__main__":
    main()
