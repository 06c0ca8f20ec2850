"""A hook of mkdocs.yml: docs/gallery.md gets sounds of the mini recipe, if it was run here."""

import io
import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import soundfile
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

from unitdisc.data.kaldi import DataDir
from unitdisc.errors import UnitdiscError
from unitdisc.evaluate.converted import SAME

RUN = Path(__file__).resolve().parent.parent / "egs" / "mini" / "exp" / "base-0"
PAGE, MARK = "docs/gallery.md", "<!-- sounds -->"
SENTENCES = 4  # of each part
PARTS = {  # folders of the run
    "converted": "Speakers whom the model has never heard, in other voices",
    "resynthesised": "Speakers of the training data, in their own voices",
}
NOTHING = (
    "*There are no sounds here, because the mini recipe was not run where this site was built. "
    "Run `make demo`, then `make docs`.*"
)


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add the sounds."""
    try:
        for name, content in sounds(RUN).items():
            files.append(File.generated(config, f"docs/sounds/{name}.wav", content=content))
    except (UnitdiscError, OSError) as error:
        raise PluginError(f"{PAGE}: {error}") from None
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Add the tables of players."""
    return markdown.replace(MARK, tables(RUN)) if page.file.src_uri == PAGE else markdown


def conversions(run: Path, part: str) -> list[dict[str, Any]]:
    """Return some rows of a part's manifest: a few sentences, in all voices or in the speaker's own."""
    manifest = run / part / "manifest.jsonl"
    if not manifest.exists():
        return []
    rows = [json.loads(line) for line in manifest.read_text("utf-8").splitlines()]
    rows = [row for row in rows if part == "converted" or row["target"] == SAME]
    sentences = sorted({row["source"] for row in rows})
    chosen = set(sentences[:: max(len(sentences) // SENTENCES, 1)][:SENTENCES])
    return sorted((row for row in rows if row["source"] in chosen), key=lambda row: (row["source"], row["target"]))


def sounds(run: Path) -> dict[str, bytes]:
    """Return the WAV file of each conversion, and of each recording that was converted, by name."""
    files: dict[str, bytes] = {}
    for part in PARTS:
        rows = conversions(run, part)
        recordings = DataDir.read(run / "to-convert" / part) if rows else None
        for row in rows:
            said = run / part / row["path"]
            files[row["utt"]] = said.read_bytes()
            if recordings is not None and row["source"] not in files:
                rate, file = soundfile.info(said).samplerate, io.BytesIO()
                soundfile.write(file, recordings.source(row["source"]).load(rate), rate, format="WAV", subtype="PCM_16")
                files[row["source"]] = file.getvalue()
    return files


def tables(run: Path) -> str:
    """Return a heading and a table in Markdown for each part that was run; without any, a note."""
    parts = {part: conversions(run, part) for part in PARTS}
    made = [
        f"## {PARTS[part]}\n\n{table(rows, DataDir.read(run / 'to-convert' / part).text)}"
        for part, rows in parts.items()
        if rows
    ]
    return "\n\n".join(made) or NOTHING


def table(rows: list[dict[str, Any]], text: Mapping[str, str]) -> str:
    """Return sentences with players: each recording, and the voices that speak its units."""
    lines = ["| sentence | voice | sound |", "|---|---|---|"]
    for n, row in enumerate(rows):
        source, speaker = row["source"], escape(row["speaker"])
        if n == 0 or rows[n - 1]["source"] != source:
            words = escape(text.get(source, source))
            lines.append(f"| {words} | {speaker}, the recording | {player(source)} |")
        voice = f"{speaker}, own voice" if row["target"] == SAME else escape(row["target"])
        lines.append(f"| | {voice} | {player(row['utt'])} |")
    return "\n".join(lines)


def player(name: str) -> str:
    """Return the element that plays a sound."""
    return f'<audio controls preload="none" src="sounds/{escape(name)}.wav"></audio>'
