"""Make the embedded corpus: eSpeak NG reads our sentences in many voices, rooms and microphones.

    python local/make_corpus.py CORPUS [--minutes M] [--speakers N] [--seed S] [--jobs J] [--force]

It writes CORPUS/wav/<speaker>/<utterance>.wav (16 kHz, 16 bits), phones.ctm (every phone's exact time, silence
included, in whole milliseconds), sentences.tsv, speakers.tsv and corpus.json. Train, dev and test share neither
speakers nor sentences. The same options give the same bytes, whatever the number of jobs.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import shutil
import sys
import zlib
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from channel import apply_channel, draw_channel
from espeak import Phone, Speech, Voice
from scipy import signal

HERE = Path(__file__).parent
RATE = 16_000
TICK = RATE // 1000  # samples per millisecond; every boundary lies on one
STOPS = frozenset(["P", "B", "T", "D", "K", "G", "CH", "JH"])
SHARES = {"train": 0.74, "dev": 0.11, "test": 0.15}  # of the sentences
READS = {"train": 45, "dev": 24, "test": 36}  # sentences that one speaker reads
FULL_MINUTES = 60.0  # about what READS come to with all speakers


class Speaker(NamedTuple):
    """A row of speakers.txt."""

    name: str
    split: str
    voice: str
    pitch: int
    spread: int
    words_per_minute: int
    tract: float


class Segment(NamedTuple):
    """A phone of an utterance."""

    start: int  # milliseconds
    end: int
    phone: str


class Task(NamedTuple):
    """One speaker's share of the work."""

    folder: Path
    speaker: Speaker
    sentences: list[tuple[str, str]]  # (id, text)
    seed: int


def read_rows(name: str) -> list[list[str]]:
    """Return the fields of the lines of a table beside this file."""
    lines = (HERE / name).read_text("utf-8").splitlines()
    return [line.split() for line in lines if line and not line.startswith("#")]


def read_speakers(count: int | None) -> list[Speaker]:
    """Return the speakers, or so many of them from all splits, women and men by turns."""
    everyone = [
        Speaker(name, split, voice, int(pitch), int(spread), int(wpm), float(tract))
        for name, split, voice, pitch, spread, wpm, tract in read_rows("speakers.txt")
    ]
    if count is None or count >= len(everyone):
        return everyone
    shares = {split: [s for s in everyone if s.split == split] for split in SHARES}
    sizes = {split: max(2, round(count * len(shares[split]) / len(everyone))) for split in ("dev", "test")}
    sizes["train"] = count - sum(sizes.values())
    chosen: set[Speaker] = set()
    for split, size in sizes.items():
        women, men = ([s for s in shares[split] if s.name[0] == sex] for sex in "fm")
        chosen |= set([s for pair in zip_longest(women, men) for s in pair if s is not None][:size])
    return [s for s in everyone if s in chosen]


def read_sentences(seed: int) -> dict[str, list[tuple[str, str]]]:
    """Return each split's own sentences, shuffled."""
    texts = (HERE / "sentences.txt").read_text("utf-8").splitlines()
    numbered = [(f"s{number:03d}", text) for number, text in enumerate(texts, 1)]
    order = [numbered[i] for i in np.random.default_rng(seed).permutation(len(numbered))]
    splits, first = {}, 0
    for split, share in SHARES.items():
        last = first + round(share * len(order))
        splits[split] = order[first:last]
        first = last
    return splits


def plan(folder: Path, speakers: list[Speaker], minutes: float, seed: int) -> list[Task]:
    """Decide who reads what: everyone of dev and of test the same sentences, those of train each their own draw."""
    sentences = read_sentences(seed)
    scale = minutes / FULL_MINUTES * len(read_rows("speakers.txt")) / len(speakers)
    tasks = []
    for speaker in speakers:
        pool = sentences[speaker.split]
        count = max(2, min(len(pool), round(READS[speaker.split] * scale)))
        if speaker.split == "train":
            chosen = generator_for(seed, "reads", speaker.name).choice(len(pool), count, replace=False)
            tasks.append(Task(folder, speaker, sorted(pool[i] for i in chosen), seed))
        else:
            tasks.append(Task(folder, speaker, sorted(pool[:count]), seed))
    return tasks


def generator_for(seed: int, *names: str) -> np.random.Generator:
    """Return a generator of its own for a named purpose."""
    return np.random.default_rng([seed, zlib.crc32("/".join(names).encode())])


def segments_of(speech: Speech, rate: int, table: dict[str, str]) -> list[tuple[int, str]]:
    """Return (first sample, phone) of all phones and silences, in order, from sample 0 on.

    eSpeak says where each phone's sound begins and writes exact zeros where nothing sounds. The zeros before a stop
    are its closure, shorter ones elsewhere belong to the phone that they lead to, and the rest is silence.
    """
    starts = [(0, "SIL")]
    phones = [Phone(sample, table[ipa]) for sample, ipa in speech.phones if ipa not in ("", "ʲ")]
    for sample, phone in phones:
        quiet = sample
        while quiet > starts[-1][0] and speech.samples[quiet - 1] == 0:
            quiet -= 1
        gap = sample - quiet
        if len(starts) == 1:
            starts.append((sample, phone))
        elif phone in STOPS and gap <= 0.12 * rate:
            starts.append((quiet, phone))
        elif phone in STOPS:
            starts += [(quiet, "SIL"), (sample - int(0.05 * rate), phone)]
        elif gap < 0.03 * rate:
            starts.append((quiet, phone))
        else:
            starts += [(quiet, "SIL"), (sample, phone)]
    end = len(speech.samples)
    while end > starts[-1][0] and speech.samples[end - 1] == 0:
        end -= 1
    return [*starts, (end, "SIL")]


def speak(task: Task) -> list[tuple[str, list[Segment]]]:
    """Write one speaker's wav files; return the segments of each utterance."""
    speaker = task.speaker
    table = dict(read_rows("phones.txt"))
    voice = Voice(speaker.voice, speaker.pitch, speaker.spread, speaker.words_per_minute, task.seed)
    channel = draw_channel(generator_for(task.seed, "channel", speaker.name), RATE)
    up, down = RATE // 50, round(voice.sample_rate / 50 * speaker.tract)
    (task.folder / "wav" / speaker.name).mkdir(parents=True)
    spoken = []
    for sentence, text in task.sentences:
        utt = f"{speaker.name}-{sentence}"
        generator = generator_for(task.seed, "utterance", utt)
        speech = voice.speak(text)
        starts = segments_of(speech, voice.sample_rate, table)
        clean = signal.resample_poly(speech.samples / 32768, up, down)
        before, after = (int(ms) * TICK for ms in generator.integers(100, 300, 2))
        whole = -(-(before + len(clean) + after) // TICK) * TICK
        padded = np.zeros(whole)
        padded[before : before + len(clean)] = clean
        heard = apply_channel(padded, channel, generator)
        samples = np.round(heard * 32767).astype(np.int16)
        soundfile.write(task.folder / "wav" / speaker.name / f"{utt}.wav", samples, RATE, "PCM_16")
        spoken.append((utt, _in_milliseconds(starts, before / TICK, up / down / TICK, whole // TICK)))
    return spoken


def _in_milliseconds(starts: list[tuple[int, str]], before: float, per_sample: float, end: int) -> list[Segment]:
    places = [0] + [round(before + sample * per_sample) for sample, _ in starts[1:]] + [end]
    pairs = zip(places, places[1:], (phone for _, phone in starts), strict=False)
    return [Segment(start, stop, phone) for start, stop, phone in pairs if stop > start]


def write_tables(folder: Path, tasks: list[Task], spoken: list[tuple[str, list[Segment]]], settings: dict) -> None:
    """Write phones.ctm, sentences.tsv, speakers.tsv and corpus.json."""
    spoken = sorted(spoken)
    ctm = [
        f"{utt} 1 {s.start / 1000:.3f} {(s.end - s.start) / 1000:.3f} {s.phone}"
        for utt, phones in spoken
        for s in phones
    ]
    (folder / "phones.ctm").write_text("".join(line + "\n" for line in ctm), "utf-8")
    rows = sorted({(*sentence, task.speaker.split) for task in tasks for sentence in task.sentences})
    (folder / "sentences.tsv").write_text("".join(f"{n}\t{split}\t{text}\n" for n, text, split in rows), "utf-8")
    people = ["\t".join([task.speaker.name, *map(str, task.speaker[1:])]) for task in tasks]
    (folder / "speakers.tsv").write_text("".join(line + "\n" for line in sorted(people)), "utf-8")
    seconds = sum(phones[-1].end for _, phones in spoken) / 1000
    figures = {"speakers": len(tasks), "sentences": len(rows), "utterances": len(spoken)}
    figures |= {"segments": len(ctm), "minutes": round(seconds / 60, 2)}
    (folder / "corpus.json").write_text(json.dumps(settings | figures, indent=1) + "\n", "utf-8")


def settings_of(options: argparse.Namespace) -> dict:
    """Return all that the corpus depends on, this program's own text included."""
    digest = hashlib.sha256()
    for name in ("make_corpus.py", "espeak.py", "channel.py", "phones.txt", "sentences.txt", "speakers.txt"):
        digest.update((HERE / name).read_bytes())
    wanted = {"seed": options.seed, "wanted_minutes": options.minutes, "wanted_speakers": options.speakers}
    return wanted | {"made_by": digest.hexdigest()[:12]}


def make(options: argparse.Namespace) -> str:
    """Make the corpus unless it is there already; return the line to print."""
    settings = settings_of(options)
    summary = options.corpus / "corpus.json"
    there = json.loads(summary.read_text("utf-8")) if summary.exists() else {}
    if settings.items() <= there.items() and not options.force:
        return f"{options.corpus}: unchanged"
    if options.corpus.exists() and not (options.force or options.renew):
        raise SystemExit(f"{options.corpus} exists and was made with other options; give --force to replace it")
    part = options.corpus.with_name(options.corpus.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    tasks = plan(part, read_speakers(options.speakers), options.minutes, options.seed)
    # A process per speaker: eSpeak keeps its state in globals, and what it says must not depend on who spoke before.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    with context.Pool(options.jobs, maxtasksperchild=1) as pool:
        spoken = [utt for utts in pool.imap_unordered(speak, tasks, chunksize=1) for utt in utts]
    write_tables(part, tasks, spoken, settings)
    shutil.rmtree(options.corpus, ignore_errors=True)
    part.rename(options.corpus)
    figures = json.loads(summary.read_text("utf-8"))
    return "{}: {speakers} speakers, {utterances} utterances, {minutes} minutes".format(options.corpus, **figures)


def main() -> None:
    """Parse, make, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--minutes", type=float, default=FULL_MINUTES, help="about how much speech to make")
    parser.add_argument("--speakers", type=int, help="how many of the speakers to use (at least 6)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--force", action="store_true", help="replace a corpus that is there")
    parser.add_argument("--renew", action="store_true", help="replace one that was made with other options")
    options = parser.parse_args()
    if options.speakers is not None and options.speakers < 6:
        parser.error(f"--speakers: expected 6 or more (two for each of train, dev and test), got {options.speakers}")
    if options.minutes <= 0 or options.jobs < 1:
        parser.error("--minutes and --jobs: expected more than 0")
    print(make(options))


if __name__ == "__main__":
    main()
