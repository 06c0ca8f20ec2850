"""What the CTC head of a supervised model hears, and its phone error rate."""

from collections.abc import Collection
from pathlib import Path

import torch

from unitdisc.checkpoint import load_model
from unitdisc.corpus import ALIGNMENT, open_features
from unitdisc.data.alignment import read_alignment
from unitdisc.data.kaldi import DataDir
from unitdisc.data.phones import SILENCES
from unitdisc.errors import DataError
from unitdisc.evaluate.per import head_per
from unitdisc.evaluate.scores import Score, file_hash
from unitdisc.model import UnitModel

Heard = dict[str, tuple[list[str], list[str]]]


def hear(model: UnitModel, data: DataDir, alignment: Path | None = None) -> Heard:
    """Return (phones of the alignment, phones heard) of each utterance that has an alignment."""
    phones = read_alignment(alignment or data.path / ALIGNMENT)
    frames = open_features(model.config.features, data)
    heard: Heard = {}
    for utt in data.utts:
        if utt in phones and utt in frames:
            x = torch.from_numpy(frames[utt]).to(model.mean.device)
            best = model.decode_phones(x[None], torch.tensor([len(x)], device=x.device))[0]
            heard[utt] = [i.label for i in phones[utt]], [model.phones[n] for n in best]
    if not heard:
        raise DataError(f"{data.path}: none of its {len(data.utts)} utterances has both features and phones")
    return heard


def head_scores(
    exp: str | Path,
    data: str | Path,
    alignment: Path | None = None,
    *,
    silences: Collection[str] = SILENCES,
    device: str = "cpu",
    seed: int = 0,
    resamples: int = 1000,
) -> tuple[list[Score], Heard]:
    """Score a model's head by its best path, silence left out; and with it where the model was taught to hear it."""
    model, data_dir = load_model(exp, device), DataDir.read(data)
    alignment = alignment or data_dir.path / ALIGNMENT
    heard = hear(model, data_dir, alignment)
    taught = bool(set(silences) & set(model.phones))  # as is the custom for TIMIT
    scores = [
        head_per(
            heard,
            silence,
            silences=silences,
            dropped=len(data_dir.utts) - len(heard),
            seed=seed,
            resamples=resamples,
            hashes={"alignment": file_hash(alignment), "model": model.model_hash()},
        )
        for silence in ("drop", "keep")[: 1 + taught]
    ]
    return scores, heard
