"""The validator of data directories: everything that is wrong in one, with file and line, not only the first."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from unitdisc.data.alignment import check_end, read_alignment
from unitdisc.data.audio import AudioSource
from unitdisc.data.band import band_end, long_term_spectrum
from unitdisc.data.headers import ogg_is_cut
from unitdisc.data.kaldi import FORMS, DataDir, data_digest
from unitdisc.data.tables import scan_rows
from unitdisc.errors import DataError
from unitdisc.reading import json_if_any

LISTENED, LISTENED_S = 20, 30.0  # utterances whose spectrum is looked at, and seconds of each
SHORT = 0.1  # s; shorter utterances hardly hold a phone


class Finding(NamedTuple):
    """One thing that is wrong, or (a warning) perhaps not as it was meant."""

    message: str
    is_error: bool


class Report(NamedTuple):
    """What the validator saw."""

    path: Path
    utts: int
    speakers: int
    seconds: float  # of audio; 0 when audio was not looked at
    rates: dict[int, int]  # Hz -> utterances
    findings: list[Finding]

    @property
    def errors(self) -> list[str]:
        """Return the messages of what is wrong."""
        return [f.message for f in self.findings if f.is_error]

    @property
    def warnings(self) -> list[str]:
        """Return the messages of what is doubtful."""
        return [f.message for f in self.findings if not f.is_error]


def check_data_dir(
    path: str | Path,
    allow_pipes: bool | None = None,
    decode: bool = False,
    rate: int | None = None,
    alignment: str | Path | None = None,
) -> Report:
    """Check tables, then audio headers (all samples with `decode`; a rate to require), then an alignment."""
    path = Path(path)
    findings = [Finding(problem, True) for problem in _table_problems(path)]
    data = DataDir(path)
    if not findings:  # what the tables say of each other is only worth checking when each is sound
        try:
            data = DataDir.read(path, allow_pipes)
        except DataError as error:
            findings.append(Finding(str(error), True))
    findings += [Finding(message, True) for message in _missing_images(data)]
    findings += [Finding(message, False) for message in (*_doubts(data), *_stale_features(data))]
    durations, rates = {}, Counter[int]()
    if data.recordings:
        for utt in data.utts:
            try:
                source = data.source(utt) if rate is None else data.source(utt).at(rate)
                if decode:
                    source.load(source.native_rate())
                durations[utt] = source.seconds()
                rates[source.native_rate()] += 1
                findings += [Finding(message, False) for message in _audio_doubts(data, utt, source, durations[utt])]
            except DataError as error:
                findings.append(Finding(f"{utt}: {error}", True))
        if len(rates) > 1:
            mixed = ", ".join(f"{count} at {hz} Hz" for hz, count in sorted(rates.items()))
            findings.append(
                Finding(f"{path}: utterances are {mixed}; all will be resampled to the model's rate", False)
            )
    if durations:
        findings += [Finding(message, False) for message in _band_doubts(data, list(durations))]
    if alignment is not None and data.utts:
        findings += _alignment_findings(data, Path(alignment), durations)
    return Report(path, len(data.utts), len(data.spk2utt), sum(durations.values()), dict(rates), findings)


def _band_doubts(data: DataDir, utts: list[str]) -> Iterator[str]:
    """Listen to some utterances: do their spectra end below half the rate?"""
    some = [utts[i] for i in np.unique(np.linspace(0, len(utts) - 1, LISTENED).astype(int))]
    rate = Counter(data.source(utt).native_rate() for utt in some).most_common(1)[0][0]
    try:
        waves = (data.source(utt).load(rate, count=round(LISTENED_S * rate)) for utt in some)
        end = band_end(long_term_spectrum(waves), rate)
    except DataError:  # said of the utterance itself, when it is used or with --decode
        return
    if end is not None:
        yield (
            f"{data.path}: the recordings hold nothing above {end / 1000:.1f} kHz of their {rate / 2000:g} kHz, as "
            "after a lossy codec or a telephone. The recipes set features.floor_db to 25 for that (mfcc, fbank); "
            f"without it, or features.fmax at {end:.0f}, the empty bands weigh as much as speech"
        )


def _table_problems(path: Path) -> Iterator[str]:
    for name, form in FORMS.items():
        if (path / name).exists():
            yield from (row.problem for row in scan_rows(path / name, form) if row.problem)


def _doubts(data: DataDir) -> Iterator[str]:
    if not data.utts:
        return
    if not (data.path / "spk2utt").exists():
        yield f"{data.path}: no spk2utt; it is made of utt2spk in memory, and --fix writes it for other tools"
    unlike = [(utt, spk) for utt, spk in data.utt2spk.items() if not utt.startswith(spk)]
    if unlike:
        yield (
            f"{data.path / 'utt2spk'}: {len(unlike)} of {len(data.utts)} utterances do not begin with their speaker, "
            f"as {unlike[0][0]!r} of {unlike[0][1]!r}; fine here, but Kaldi's own tools want it so"
        )
    if data.text:
        yield from _lacking(data, "text", data.text, data.utts)
    if data.spk2gender:
        yield from _lacking(data, "spk2gender", data.spk2gender, data.spk2utt)


def _stale_features(data: DataDir) -> Iterator[str]:
    """Tell of features that were made before the tables that they follow from were changed."""
    for path in (data.path / "feats.json", data.path / "targets.json"):
        if not data.utts or not path.exists():
            continue
        again = "`unitdisc features --force` makes them again"
        made_of = json_if_any(path).get("data")
        if made_of is None:
            yield f"{path}: no description of features; {again}"
        elif made_of != data_digest(data.path):
            yield f"{path}: made before wav.scp, segments or utt2spk changed; {again}"


def _missing_images(data: DataDir) -> Iterator[str]:
    for number, (utt, image) in enumerate(data.images.items(), start=1):
        if not image.exists():
            yield f"{utt}: {data.path / 'images.scp'}:{number}: {image}: no such image file"


def _lacking(
    data: DataDir, name: str, table: Mapping[str, object], wanted: Mapping[str, object] | list[str]
) -> Iterator[str]:
    lacking = [key for key in wanted if key not in table]
    if lacking:
        yield f"{data.path / name}: nothing for {len(lacking)} of {len(wanted)}, as {lacking[0]!r}"


def _audio_doubts(data: DataDir, utt: str, source: AudioSource, seconds: float) -> Iterator[str]:
    if seconds < SHORT:
        yield f"{utt}: only {seconds:.3f} s of audio"
    if source.command is None and source.offset is None and ogg_is_cut(source.path):
        yield f"{source.path}: an Ogg file without its last page; it may be truncated"
    stated = data.utt2dur.get(utt)
    if stated is not None and abs(stated - seconds) > max(0.05, 0.01 * seconds):
        yield f"{data.path / 'utt2dur'}: {utt}: {stated:g} s stated, {seconds:.3f} s of audio"
    segment = data.segments.get(utt)
    if segment is not None and segment.end is not None and segment.end - segment.start > seconds + 0.01:
        yield f"{data.path / 'segments'}: {utt}: ends at {segment.end:g} s, after its recording; cut to {seconds:.3f} s"


def _alignment_findings(data: DataDir, path: Path, durations: Mapping[str, float]) -> Iterator[Finding]:
    try:
        alignment = read_alignment(path)
    except DataError as error:
        yield Finding(str(error), True)
        return
    lacking = [utt for utt in data.utts if utt not in alignment]
    if len(lacking) == len(data.utts):
        yield Finding(
            f"{path}: expected alignments of {data.path}, got none of its utterances, as {lacking[0]!r}, "
            f"but {next(iter(alignment))!r}; are the ids made another way?",
            True,
        )
        return
    if lacking:
        yield Finding(
            f"{path}: no alignment for {len(lacking)} of {len(data.utts)} utterances, as {lacking[0]!r}", False
        )
    for utt in data.utts:
        if utt in alignment:
            try:
                intervals = alignment[utt]
                if utt in durations:
                    check_end(intervals, durations[utt], f"{path}: {utt}")
            except DataError as error:
                yield Finding(str(error), True)
