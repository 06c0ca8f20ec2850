"""Score what the CTC head of a supervised model hears: phone error rate of its best path.

python hear.py EXP DATA OUT.json    DATA with phones.ctm; writes a file of scores, and OUT.txt with what was heard
"""

from pathlib import Path

import numpy as np
import torch
from scripts import run

from unitdisc.checkpoint import load_model
from unitdisc.corpus import ALIGNMENT, open_frames
from unitdisc.data.alignment import read_alignment
from unitdisc.data.kaldi import DataDir
from unitdisc.errors import DataError
from unitdisc.evaluate.aligned import SILENCES
from unitdisc.evaluate.edits import edits
from unitdisc.evaluate.per import per_score
from unitdisc.evaluate.scores import Counts, Groups, Score, write_scores
from unitdisc.files import whole_file
from unitdisc.model import UnitModel


def hear(model: UnitModel, data: DataDir) -> dict[str, tuple[list[str], list[str]]]:
    """Return (phones of the alignment, phones heard) of each utterance that has an alignment."""
    alignment = read_alignment(data.path / ALIGNMENT)
    frames = open_frames(model.config.features, data)
    pairs = {}
    for utt in data.utts:
        if utt in alignment and utt in frames:
            x = torch.from_numpy(frames[utt])
            heard = model.decode_phones(x[None], torch.tensor([len(x)]))[0]
            pairs[utt] = [i.label for i in alignment[utt]], [model.phones[n] for n in heard]
    if not pairs:
        raise DataError(f"{data.path}: none of its {len(data.utts)} utterances has both features and phones")
    return pairs


def per(pairs: dict[str, tuple[list[str], list[str]]], silence: str, about: Counts) -> Score:
    """Return the error rate, silences dropped from both sides or kept."""
    numbers: dict[str, int] = {}
    rows = Groups()
    for utt, sides in pairs.items():
        kept = [[p for p in side if silence == "keep" or p not in SILENCES] for side in sides]
        wanted, heard = (np.array([numbers.setdefault(p, len(numbers)) for p in side], np.int64) for side in kept)
        rows.add(utt, [*edits([wanted], [heard]).counts[0], len(wanted)])
    name = "per-ctc-head-" + ("nosil" if silence == "drop" else "sil")
    return per_score(rows, name, options={"silence": silence, "decoding": "best path"}, counts=about)


def score(exp: Path, data: Path, out: Path) -> list[str]:
    """Hear, score and write; return a line to print for each score."""
    model, data_dir = load_model(exp), DataDir.read(data)
    pairs = hear(model, data_dir)
    about = Counts({"utterances": len(pairs)}, {"utterances without phones": len(data_dir.utts) - len(pairs)})
    # Silence is kept too where the model was taught to hear it, as is the custom for TIMIT.
    taught = bool(SILENCES & set(model.phones))
    scores = [per(pairs, silence, about) for silence in ("drop", "keep")[: 1 + taught]]
    write_scores(out, scores)
    with whole_file(out.with_suffix(".txt")) as file:
        file.writelines(f"{utt} {' '.join(heard)}\n" for utt, (_, heard) in pairs.items())
    return [f"{s.definition}: {100 * s.value:.1f} % of {s.parts['phones']} phones" for s in scores]


def main() -> None:
    """Parse, score, print."""
    run(score, "exp", "data", "out")


if __name__ == "__main__":
    main()
