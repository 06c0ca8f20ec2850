"""Verbs `convert`, `speak` and `copy`: whatever makes sound."""

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from unitdisc.cli.arguments import add_device, add_max_failed, add_renew, count, positive, zero_or_more
from unitdisc.errors import counted

if TYPE_CHECKING:
    from unitdisc.made import Making


def add_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add this module's verbs."""
    _add_convert(verbs)
    _add_speak(verbs)
    _add_copy(verbs)


def _add_convert(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    convert = verbs.add_parser(
        "convert",
        help="convert speech to another voice, or resynthesise it in the same one",
        description="Encode speech into units and let the decoder say them: OUT/<target>/<utt>.wav, and a manifest; "
        "OUT is a data directory itself.",
        allow_abbrev=False,
    )
    convert.add_argument("exp", metavar="EXP", help="folder of a training run, or a checkpoint file")
    convert.add_argument("source", metavar="SOURCE", nargs="+", help="a data directory, or audio files")
    convert.add_argument("out", metavar="OUT", help="folder to write to")
    convert.add_argument(
        "--to", action="append", metavar="TARGET",
        help="a speaker of the training data, 'same' (resynthesis), 'all', or audio of a voice; may be repeated",
    )  # fmt: skip
    convert.add_argument(
        "--pairs", type=Path, metavar="FILE", help="file of lines '<utterance> <target>', in place of --to"
    )
    convert.add_argument(
        "--format", choices=("wav", "flac"), default="wav", help="file format of the sound (default: %(default)s)"
    )
    convert.add_argument(
        "--seed",
        type=count,
        default=0,
        help="seed of sampling and of Griffin-Lim's first phases (default: %(default)s)",
    )
    convert.add_argument(
        "--temperature",
        type=zero_or_more,
        default=1.0,
        help="how freely samples are drawn; below 1 they stay nearer to the likeliest (default: %(default)s)",
    )
    convert.add_argument(
        "--pitch", default="source", metavar="PITCH",
        help="source (the source's contour, moved to the range of the target's voice), predicted (from units, by a "
        "decoder of kind voice), flat, a factor for the source's own pitch, or none (a whisper, by Griffin-Lim) "
        "(default: %(default)s)",
    )  # fmt: skip
    convert.add_argument(
        "--iterations",
        type=positive,
        default=60,
        help="iterations of Griffin-Lim, for --pitch none (default: %(default)s)",
    )
    convert.add_argument(
        "--no-postfilter", action="store_true", help="no postfilter: leave log-mel as flat as the decoder makes it"
    )
    convert.add_argument(
        "--batch", type=positive, default=8, help="how many utterances are made together (default: %(default)s)"
    )
    convert.add_argument(
        "--vectors",
        action=argparse.BooleanOptionalAction,
        help="speak from the encoder's vectors, or from units alone (default: vectors, if the decoder was trained on "
        "them by model.vectors; more words are understood)",
    )
    convert.add_argument(
        "--emphasis", type=zero_or_more, metavar="X",
        help="how far a voice is moved on, away from the mean of all voices (default: 0.5 for a decoder of kind voice, "
        "0 for others)",
    )  # fmt: skip
    add_device(convert)
    convert.add_argument("--force", action="store_true", help="replace conversions that are there")
    add_renew(convert)
    convert.set_defaults(run=run_convert)


def _add_speak(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    speak = verbs.add_parser(
        "speak",
        help="turn units of a file, of text or of a pipe into speech",
        description="Units to sound: OUT/<utt>.wav and a manifest. UNITS is a unit file, a folder of an encoding, "
        "or text with an utterance a line (an optional name, then units as 7, or 7x3 for three frames); - reads text "
        "from standard input. Units of another codebook are refused.",
        allow_abbrev=False,
    )
    speak.add_argument("exp", metavar="EXP", help="folder of a training run, or a checkpoint file")
    speak.add_argument("units", metavar="UNITS", help="unit file, text, or -")
    speak.add_argument("out", metavar="OUT", nargs="?", default="spoken", help="folder (default: %(default)s)")
    speak.add_argument("--speaker", required=True, metavar="VOICE", help="a speaker of the training data, or audio")
    speak.add_argument(
        "--pitch", default="predicted", metavar="PITCH",
        help="predicted (by a decoder of kind voice; others whisper), flat, a factor, or none (default: %(default)s)",
    )  # fmt: skip
    speak.add_argument(
        "--repeat", type=positive, default=1, metavar="N",
        help="how many frames a unit lasts where the text does not say (default: %(default)s)",
    )  # fmt: skip
    speak.add_argument("--seed", type=count, default=0, help="seed of everything random (default: %(default)s)")
    add_device(speak)
    speak.add_argument("--force", action="store_true", help="replace sounds that are there")
    speak.set_defaults(run=run_speak)


def _add_copy(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    copy = verbs.add_parser(
        "copy",
        help="take speech apart into bands, pitch and noise, and put it together again",
        description="Copy-synthesis, without a model: what the synthesiser alone makes of recordings, to compare "
        "conversions with. OUT/copy/<utt>.wav and a manifest, as `unitdisc convert` writes them.",
        allow_abbrev=False,
    )
    copy.add_argument("data", metavar="DATA", help="a data directory")
    copy.add_argument("out", metavar="OUT", help="folder to write to")
    copy.add_argument("--mels", type=positive, default=40, help="bands of the envelope (default: %(default)s)")
    copy.add_argument("--rate", type=positive, default=16000, metavar="HZ", help="sample rate (default: %(default)s)")
    add_max_failed(copy, "copied")
    copy.add_argument("--force", action="store_true", help="replace copies that are there")
    copy.set_defaults(run=run_copy)


def run_speak(options: argparse.Namespace) -> None:
    """Speak and print what was made."""
    from unitdisc import dist
    from unitdisc.speaking import SpeakOptions, open_lines, speak_units

    dist.check_device(options.device)
    wanted = SpeakOptions(options.pitch, options.repeat, options.seed)
    lines, codebook = open_lines(options.units, sys.stdin, options.repeat)
    made = speak_units(
        options.exp, lines, options.out, options.speaker, wanted,
        codebook=codebook, where=options.units, force=options.force, device=options.device,
    )  # fmt: skip
    print(
        f"{options.out}: {counted(len(made), 'utterance')}, {sum(row.seconds for row in made):.1f} s (manifest.jsonl)"
    )


def run_copy(options: argparse.Namespace) -> None:
    """Copy and print what was made."""
    from tqdm import tqdm

    from unitdisc.copying import copy_speech
    from unitdisc.data.kaldi import DataDir
    from unitdisc.features.configs import LogMelConfig

    rate, data = options.rate, DataDir.read(options.data)
    hop, window = round(0.01 * rate), round(0.025 * rate)
    config = LogMelConfig(
        sample_rate=rate, hop=hop, window=window, n_fft=1 << (window - 1).bit_length(), mels=options.mels,
        fmax=min(8000.0, rate / 2),
    )  # fmt: skip
    with tqdm(total=len(data.utts), unit="utt", disable=None, file=sys.stderr) as bar:
        made, failed = copy_speech(
            data, options.out, config, force=options.force, max_failed=options.max_failed, progress=bar.update
        )
    for utt, reason in list(failed.items())[:5]:
        print(f"failed: {utt}: {reason}", file=sys.stderr)
    print(
        f"{options.out}: {counted(len(made), 'utterance')}, {sum(row.seconds for row in made):.1f} s (manifest.jsonl)"
        + f"; {len(failed)} failed" * bool(failed)
    )


def run_convert(options: argparse.Namespace) -> None:
    """Convert and print what was made."""
    from unitdisc import dist
    from unitdisc.cli.making import making
    from unitdisc.errors import ConfigError

    if (options.to is None) == (options.pairs is None):
        raise ConfigError("say what to convert to: with --to TARGET, or with --pairs FILE")
    dist.check_device(options.device)
    with making(options, making_of_converting(options)) as task:
        if not task.unchanged:
            convert_and_print(options, task.force)


def making_of_converting(options: argparse.Namespace) -> "Making":
    """Say of what conversions are made, without loading what makes them."""
    from unitdisc.data.pairs import read_pairs
    from unitdisc.made import Making

    names = (
        "to",
        "format",
        "seed",
        "temperature",
        "pitch",
        "iterations",
        "no_postfilter",
        "vectors",
        "emphasis",
        "batch",
    )
    places = {f"source-{n}": Path(source) for n, source in enumerate(options.source)}
    if options.pairs is not None:
        places["pairs"] = options.pairs
    targets = options.to if options.pairs is None else read_pairs(options.pairs)
    voices = [path for path in map(Path, targets) if path.is_file()]
    places |= {f"voice-{n}": path for n, path in enumerate(voices)}
    return Making(
        Path(options.out), {name: getattr(options, name) for name in names}, {"model": Path(options.exp), **places},
        lambda: ("model/**/*.pt", "model/**/*.safetensors", *read_by_converting(places)), holds=("manifest.jsonl",),
    )  # fmt: skip


def read_by_converting(places: Mapping[str, Path]) -> Iterator[str]:
    """Give what counts of the places that a conversion reads: of a data directory its frames or its recordings."""
    for name, path in places.items():
        if path.is_dir():
            frames = ("feats.scp",) if (path / "feats.scp").is_file() else ("wav.scp", "segments")
            yield from (f"{name}/{file}" for file in (*frames, "utt2spk"))
        else:
            yield name


def convert_and_print(options: argparse.Namespace, force: bool) -> None:
    """Convert and print what was made."""
    from tqdm import tqdm

    from unitdisc.convert import ConvertOptions, convert
    from unitdisc.data.pairs import read_pairs

    wanted = ConvertOptions(
        options.seed, options.temperature, options.iterations, options.batch, options.format,
        not options.no_postfilter, options.pitch, options.vectors, options.emphasis,
    )  # fmt: skip
    to = options.to if options.pairs is None else read_pairs(options.pairs)
    with tqdm(unit="utt", disable=None, file=sys.stderr) as bar:
        made = convert(
            options.exp, options.source, options.out, to, wanted,
            force=force, device=options.device, progress=bar.update,
        )  # fmt: skip
    seconds = sum(row.seconds for row in made)
    targets = len({row.target for row in made})
    print(
        f"{options.out}: {counted(len(made), 'utterance')}, {seconds:.1f} s, "
        f"{counted(targets, 'target')} (manifest.jsonl)"
    )
