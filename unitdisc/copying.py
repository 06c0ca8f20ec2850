"""Copy-synthesis: recordings taken apart into log-mel and excitation and put together again, without a model.

What is lost here, no decoder can give back: conversions are to be compared with it as well as with the recordings.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from unitdisc.convert import Made, as_loud, fit_length, write_manifest
from unitdisc.data.audio import save_audio
from unitdisc.data.kaldi import DataDir
from unitdisc.errors import MOST_FAILED, DataError
from unitdisc.evaluate.converted import COPY, MANIFEST
from unitdisc.features.build import build_raw_features
from unitdisc.features.configs import LogMelConfig
from unitdisc.features.excitation import analyse
from unitdisc.files import file_name
from unitdisc.synthesis.source_filter import speak


class Copied(NamedTuple):
    """What came of it."""

    made: list[Made]
    failed: dict[str, str]  # utterance: reason


def copy_speech(
    data: DataDir,
    out: str | Path,
    config: LogMelConfig,
    *,
    force: bool = False,
    max_failed: float = MOST_FAILED,
    progress: Callable[[int], object] = lambda utterances: None,
) -> Copied:
    """Write OUT/copy/<utt>.wav of every utterance, and a manifest as `convert` does.

    More than a share of `max_failed` of utterances that cannot be read stops the run.
    """
    out = Path(out)
    if (out / MANIFEST).exists() and not force:
        raise DataError(f"{out}: there are conversions already; --force replaces them")
    features = build_raw_features(config)
    made: list[Made] = []
    failed: dict[str, str] = {}
    for utt in data.utts:
        try:
            original = data.source(utt).load(config.sample_rate)
        except DataError as error:
            failed[utt] = str(error)
            if len(failed) > max_failed * len(data.utts):
                raise DataError(
                    f"{data.path}: {len(failed)} of {len(data.utts)} utterances cannot be copied, and --max-failed "
                    f"allows a share of {max_failed:g}; mend or remove them. The last: {utt}: {error}"
                ) from None
            continue
        log_mel = features(torch.from_numpy(original)[None], torch.tensor([len(original)])).frames[0]
        sound = speak(log_mel, analyse(original, config.grid), config)
        samples, gain = as_loud(fit_length(sound.numpy(), len(original)), original)
        path = out / COPY / f"{file_name(utt)}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_audio(path, samples, config.sample_rate)
        seconds = len(samples) / config.sample_rate
        home = str(path.relative_to(out))
        made.append(Made(f"{COPY}-{utt}", utt, data.utt2spk[utt], COPY, home, seconds, gain, "source"))
        progress(1)
    write_manifest(out, sorted(made))
    return Copied(sorted(made), failed)
