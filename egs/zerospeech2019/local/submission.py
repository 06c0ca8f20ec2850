"""The folder that ZeroSpeech 2019 and 2020 take: unit vectors as text, one line per frame, and converted speech.

python local/submission.py plan LIST DATA OUT    writes OUT/<voice>.utts for each voice of the list; prints the voices
python local/submission.py write EXP CONVERTED OUT [--language english]

LIST says which test files to speak in which voice: lines "<file> <voice>", or JSON [[file, voice, name], ...]; without
it (-), every test file in every voice (speakers V...). OUT gets metadata.yaml, <language>/test/<file>.txt and
<language>/test/<voice>_<rest of the file's name>.wav. Fill in metadata.yaml and zip the folder.
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


def read_list(path: Path) -> list[tuple[str, str]]:
    """Return (utterance, voice) of each line of a list of conversions."""
    text = path.read_text("utf-8")
    try:
        rows = (
            json.loads(text) if text.lstrip().startswith("[") else [line.split() for line in text.splitlines() if line]
        )
        pairs = [(Path(row[0]).stem, Path(row[1]).stem) for row in rows]
    except (ValueError, IndexError, TypeError):
        raise DataError(f"{path}: expected lines '<file> <voice>', or JSON [[file, voice, name], ...]") from None
    if not pairs:
        raise DataError(f"{path}: the list of conversions is empty")
    return pairs


def plan(wanted: Path | None, data: Path, out: Path) -> list[str]:
    """Write the utterances to convert to each voice; return the voices."""
    test, train = DataDir.read(data / "test"), DataDir.read(data / "train")
    known = [speaker for speaker in train.spk2utt if speaker.startswith("V")] or list(train.spk2utt)
    pairs = [(utt, voice) for utt in test.utts for voice in known] if wanted is None else read_list(wanted)
    for utt, voice in pairs:
        if utt not in test.utt2spk:
            raise DataError(f"{wanted}: {utt} is not in {test.path}")
        if voice not in train.spk2utt:
            raise DataError(f"{wanted}: voice {voice} is not in {train.path}; there are {', '.join(known)}")
    voices = sorted({voice for _, voice in pairs})
    for voice in voices:
        with whole_file(out / f"{voice}.utts") as file:
            file.writelines(f"{utt}\n" for utt in sorted({u for u, v in pairs if v == voice}))
    return voices


def write(exp: Path, converted: Path, out: Path, language: str) -> list[str]:
    """Write the submission; return lines to print."""
    test = out / language / "test"
    test.mkdir(parents=True, exist_ok=True)
    vectors = FeatureReader(exp / "units" / "test" / "codes.scp")
    for utt in vectors:
        with whole_file(test / f"{utt}.txt") as file:
            np.savetxt(file, vectors[utt], fmt="%.6g")
    waves: dict[str, str] = {}
    for manifest in sorted(converted.glob("*/manifest.jsonl")):
        for line in manifest.read_text("utf-8").splitlines():
            row = json.loads(line)
            name = f"{row['target']}_{row['source'].split('_', 1)[1]}.wav"
            if name in waves:
                raise DataError(f"{converted}: {row['source']} and {waves[name]} would both be {name}")
            waves[name] = row["source"]
            shutil.copyfile(manifest.parent / row["path"], test / name)
    if not (out / "metadata.yaml").exists():
        with whole_file(out / "metadata.yaml") as file:
            file.write(METADATA)
    return [f"{test}: {len(vectors)} files of unit vectors, {len(waves)} of speech; fill in {out / 'metadata.yaml'}"]


def main() -> None:
    """Parse, do one thing, print."""
    parser = argparse.ArgumentParser(description="A submission to ZeroSpeech 2019.", allow_abbrev=False)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("plan")
    verb.add_argument("list", help="file, or - for every test file in every voice")
    verb.add_argument("data", type=Path)
    verb.add_argument("out", type=Path)
    verb = verbs.add_parser("write")
    for name in ("exp", "converted", "out"):
        verb.add_argument(name, type=Path)
    verb.add_argument("--language", default="english")
    options = parser.parse_args()
    try:
        if options.verb == "plan":
            wanted = None if options.list == "-" else Path(options.list)
            print("\n".join(plan(wanted, options.data, options.out)))
        else:
            print("\n".join(write(options.exp, options.converted, options.out, options.language)))
    except UnitdiscError as error:
        sys.exit(f"submission.py: {error}")


if __name__ == "__main__":
    main()
