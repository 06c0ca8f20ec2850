"""Score the conversions of a run, as far as voices and phones are known, by features that are made for it (MFCC).

python conversions.py EXP DATA OUT.json    of EXP/PART, made of EXP/to-convert/PART (pairs.py), and real speech of DATA

With --judges, models from outside are asked too (`unitdisc score conversion --judges`), and the report shows what they
heard of each sound.
"""

import subprocess
from pathlib import Path

from scripts import Output, run

from unitdisc.data.kaldi import DataDir
from unitdisc.data.subsets import combine
from unitdisc.errors import UnitdiscError
from unitdisc.files import whole_file
from unitdisc.made import Making, made

CONFIG = Path(__file__).parent / "conf" / "mfcc.yaml"


def score(exp: Path, data: Path, out: Path, jobs: int, judges: str) -> None:
    """Make the features and score."""
    work, real = exp / "to-convert", [data / "mfcc" / name for name in ("train", "test")]
    parts = (work / "parts").read_text("utf-8").split()
    made, sources = [exp / part for part in parts], [work / "mfcc" / part for part in parts]
    copies = {data / "mfcc" / name: data / name for name in ("train", "test")}
    for copy, of in (copies | {work / "mfcc" / part: work / part for part in parts}).items():
        copy_without_features(of, copy)
    unitdisc("features", CONFIG, *real, *made, *sources, "--jobs", jobs, "--renew")
    how: list[object] = ["--real", *real] if (work / "others").exists() else []
    how += ["--train", real[0]] if (work / "labelled").exists() else []
    if judges:
        how += ["--judges", judges, "--rows", out.parent / "judged.jsonl"]
    else:
        print("no judge from outside is asked; --judges all asks those that are installed", flush=True)
    unitdisc("score", "conversion", *made, "--source", *sources, *how, "--json", out=out)


def copy_without_features(data: Path, copy: Path) -> None:
    """Copy the lists of a data directory, if they are not there, so that other features can be made beside them."""
    reads = [f"data/{name}" for name in ("wav.scp", "segments", "utt2spk", "text", "phones.ctm")]
    making = Making(copy, {}, {"data": data}, lambda: reads, holds=("wav.scp", "utt2spk"), noun="copy")
    with made(making, renew=True) as task:
        if not task.unchanged:
            combine([DataDir.read(data)], copy)
            for name in ("feats", "targets", "excitation"):
                for path in copy.glob(f"{name}*"):
                    path.unlink()


def unitdisc(*words: object, out: Path | None = None) -> None:
    """Show a command, and run it; what it prints may go into a file."""
    command = ["unitdisc", *map(str, words)]
    print(*command, flush=True)
    done = subprocess.run(command, stdout=None if out is None else subprocess.PIPE)
    if done.returncode:
        raise UnitdiscError(f"unitdisc {words[0]} ended with code {done.returncode}")
    if out is not None:
        with whole_file(out, binary=True) as file:
            file.write(done.stdout)


def main() -> None:
    """Parse and score."""
    files = [f"data/{part}/{file}" for part in ("train", "test") for file in ("wav.scp", "utt2spk", "phones.ctm")]
    reads = ("exp/*/manifest.jsonl", "exp/to-convert/*", "local/conf/mfcc.yaml", *files)
    options = {"jobs": {"type": int, "default": 1}, "judges": {"default": ""}}
    run(score, "exp", "data", "out", makes=Output("out", (), reads), **options)


if __name__ == "__main__":
    main()
