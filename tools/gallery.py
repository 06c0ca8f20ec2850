"""A hook of mkdocs.yml: docs/gallery.md gets sounds of the mini recipe, if it has been run here."""

import io
import json
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from unitdisc.data.kaldi import DataDir

MINI = Path(__file__).resolve().parent.parent / "egs" / "mini"
PAGE, MARK = "docs/gallery.md", "<!-- sounds -->"
SENTENCES = 4  # of all that were converted
NOTHING = "*No sounds: the mini recipe has not been run where this site was made. `make demo`, then `make docs`.*"


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add the sounds."""
    rows = conversions(MINI / "exp" / "base-0" / "converted")
    for name, (samples, rate) in sounds(rows, MINI / "exp" / "base-0" / "converted", MINI / "data" / "test").items():
        file = io.BytesIO()
        soundfile.write(file, samples, rate, format="OGG", subtype="VORBIS")
        files.append(File.generated(config, f"docs/sounds/{name}.ogg", content=file.getvalue()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Add the table."""
    if page.file.src_uri != PAGE:
        return markdown
    return markdown.replace(MARK, table(conversions(MINI / "exp" / "base-0" / "converted")))


def conversions(converted: Path) -> list[dict[str, Any]]:
    """Return some rows of a manifest of conversions: all voices of a few sentences."""
    if not (converted / "manifest.jsonl").exists():
        return []
    rows = [json.loads(line) for line in (converted / "manifest.jsonl").read_text("utf-8").splitlines()]
    sentences = sorted({row["source"] for row in rows})
    chosen = set(sentences[:: max(len(sentences) // SENTENCES, 1)][:SENTENCES])
    return sorted((row for row in rows if row["source"] in chosen), key=lambda row: (row["source"], row["target"]))


def sounds(rows: list[dict[str, Any]], converted: Path, data: Path) -> dict[str, tuple[np.ndarray, int]]:
    """Return samples and rate of each conversion and of each recording that was converted, by name."""
    if not rows:
        return {}
    heard = {row["utt"]: soundfile.read(converted / row["path"]) for row in rows}
    recordings, rate = DataDir.read(data), next(iter(heard.values()))[1]
    return heard | {row["source"]: (recordings.source(row["source"]).load(rate), rate) for row in rows}


def table(rows: list[dict[str, Any]]) -> str:
    """Return the sentences in Markdown: each recording, and the voices that say its units."""
    lines = ["| sentence | voice | sound |", "|---|---|---|"]
    for row in rows:
        first = f"| {escape(row['source'])} | {escape(row['speaker'])}, the recording | {player(row['source'])} |"
        lines += [first] * (first not in lines)
        lines.append(f"| | {escape(row['target'])} | {player(row['utt'])} |")
    return "\n".join(lines) if rows else NOTHING


def player(name: str) -> str:
    """Return the element that plays a sound."""
    return f'<audio controls preload="none" src="sounds/{escape(name)}.ogg"></audio>'
