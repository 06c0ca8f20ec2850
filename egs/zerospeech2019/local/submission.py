"""The folder that ZeroSpeech 2019 takes: unit vectors as text, one line per frame, and converted speech.

python local/submission.py EXP CONVERTED OUT [--language english] [--layout 2019|2020]

OUT gets metadata.yaml, <language>/test/<file>.txt and <language>/test/<voice>_<rest of the file's name>.wav. The
challenge of 2020 wants the languages in a folder 2019/, and what metadata.yaml says of the system in one of its own
there. Fill in metadata.yaml and zip the folder.
"""

import shutil
import sys
from pathlib import Path

import numpy as np

from unitdisc.data.store import FeatureReader
from unitdisc.data.units import vectors_of
from unitdisc.errors import DataError
from unitdisc.evaluate.converted import SAME, read_manifest
from unitdisc.files import whole_file

sys.path.append(str(Path(__file__).resolve().parents[2] / "common"))  # for who starts it without run.sh
from scripts import Output, run

# An open source submission without its code is refused.
ABOUT = """author: ""
affiliation: ""
open source: false  # true needs your code, in a folder code/ beside the folder english/
"""
SYSTEM = """abx distance: "dtw_cosine"
system description: "unitdisc: VQ-VAE with robust codebook training"
auxiliary1 description: ""
auxiliary2 description: ""
using parallel train: false
using external data: false
"""


def write(exp: Path, converted: Path, out: Path, language: str, layout: str) -> list[str]:
    """Write the submission; return lines to print."""
    system = out / "2019" if layout == "2020" else out
    test = system / language / "test"
    shutil.rmtree(test, ignore_errors=True)  # metadata.yaml may be filled in already
    test.mkdir(parents=True)
    vectors = FeatureReader(vectors_of(exp / "units" / "test"))
    for utt in vectors:
        with whole_file(test / f"{utt}.txt") as file:
            np.savetxt(file, vectors[utt], fmt="%.6g")
    waves: dict[str, str] = {}
    for row in read_manifest(converted):
        if row.target == SAME:  # a resynthesis, in nobody's voice of the challenge
            continue
        name = f"{row.target}_{row.source.split('_', 1)[1]}.wav"
        if name in waves:
            raise DataError(f"{converted}: {row.source} and {waves[name]} would both be {name}")
        waves[name] = row.source
        shutil.copyfile(row.path, test / name)
    metadata = {out: ABOUT, system: SYSTEM} if system != out else {out: ABOUT + SYSTEM}
    for folder, text in metadata.items():
        if not (folder / "metadata.yaml").exists():
            with whole_file(folder / "metadata.yaml") as file:
                file.write(text)
    return [f"{test}: {len(vectors)} files of unit vectors, {len(waves)} of speech; fill in {out / 'metadata.yaml'}"]


def main() -> None:
    """Parse, write, print."""
    layout = {"choices": ("2019", "2020"), "default": "2019"}
    makes = Output("out", (), ("exp/units/test/*", "converted/*.jsonl"))
    run(write, "exp", "converted", "out", makes=makes, language={"default": "english"}, layout=layout)


if __name__ == "__main__":
    main()
