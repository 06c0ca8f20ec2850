"""Render a stand-in for a corpus of handwriting: fonts, slanted, wobbling, smeared and noisy, by several "hands".

It shows that the recipe runs; numbers on it say nothing of people's handwriting.

python local/render.py CORPUS [--lines N] [--hands N] [--seed S]

Writes CORPUS/images/*.png, lines.tsv (image, hand, split, text), chars.ctm (where each character lies; one column of a
line is 0.01 "seconds") and, last of all, corpus.json.
"""

import json
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from lines import COLUMN, HEIGHT, SPACE
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from scripts import Output, run

from unitdisc.data.alignment import Interval, write_ctm
from unitdisc.errors import DataError
from unitdisc.files import whole_file

SENTENCES = Path(__file__).resolve().parents[2] / "mini" / "local" / "sentences.txt"
# All come with matplotlib, so that the same seed gives the same corpus on any machine with that version of it.
FONTS = (
    "DejaVuSans", "DejaVuSans-Oblique", "DejaVuSerif", "DejaVuSerif-Italic", "DejaVuSansMono",
    "STIXGeneral", "STIXGeneralItalic", "cmr10", "cmss10", "cmtt10",
)  # fmt: skip
SCALE = 2  # lines are drawn so much larger than they are kept
BASELINE, MIDDLE = 23, 19  # rows of a line; a slant turns about the middle of the small letters
CHARACTERS = 26  # of a line, at most


class Hand(NamedTuple):
    """How somebody writes."""

    name: str
    font: str
    size: float  # pixels
    slant: float  # columns per row
    spacing: float  # over the font's own
    wobble: float  # pixels by which letters leave the baseline
    ink: float  # 0..1
    blur: float  # pixels
    paper: float  # grey level
    noise: float  # grey levels


def make_hand(number: int, seed: int) -> Hand:
    """Draw the manner of a hand."""
    random = np.random.default_rng([seed, 1, number])
    low_high = {
        "size": (17, 21), "slant": (-0.1, 0.45), "spacing": (0.92, 1.1), "wobble": (0.0, 0.8),
        "ink": (0.65, 1.0), "blur": (0.2, 0.6), "paper": (225, 250), "noise": (3, 12),
    }  # fmt: skip
    return Hand(
        f"hand{number:02d}", FONTS[number % len(FONTS)], **{k: float(random.uniform(*v)) for k, v in low_high.items()}
    )


def find_font(name: str, size: float) -> ImageFont.FreeTypeFont:
    """Open a font that came with matplotlib."""
    try:
        from matplotlib import get_data_path
    except ImportError:
        raise DataError("rendering needs the fonts of matplotlib: pip install 'unitdisc[images]'") from None
    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"), size)


def render(text: str, hand: Hand, random: np.random.Generator) -> tuple[np.ndarray, list[float]]:
    """Return a line as uint8 [32, W], and the columns where its characters begin, then where the last ends."""
    font = find_font(hand.font, hand.size * SCALE)
    edges = [float(random.uniform(4, 12)) * SCALE]
    for character in text:
        edges.append(edges[-1] + font.getlength(character) * hand.spacing * float(random.uniform(0.95, 1.08)))
    width = int(edges[-1] + random.uniform(4, 12) * SCALE)
    ink = Image.new("L", (width, HEIGHT * SCALE))
    draw = ImageDraw.Draw(ink)
    for character, left in zip(text, edges, strict=False):
        row = (BASELINE + hand.wobble * float(random.standard_normal())) * SCALE
        draw.text((left, row), character, font=font, fill=255, anchor="ls")
    sheared = (1, hand.slant, -hand.slant * MIDDLE * SCALE, 0, 1, 0)
    ink = ink.transform(ink.size, Image.Transform.AFFINE, sheared, Image.Resampling.BILINEAR)
    ink = ink.filter(ImageFilter.GaussianBlur(hand.blur * SCALE)).resize((width // SCALE, HEIGHT), Image.Resampling.BOX)
    grey = hand.paper * (1 - hand.ink * np.asarray(ink, np.float64) / 255)
    grey += hand.noise * random.standard_normal(grey.shape)
    return grey.round().clip(0, 255).astype(np.uint8), [edge / SCALE for edge in edges]


def cut_text(sentence: str) -> list[str]:
    """Cut a sentence into lines of whole words: letters in lower case, apostrophes, single blanks."""
    lines: list[str] = []
    for word in re.findall(r"[a-z']+", sentence.lower()):
        if lines and len(lines[-1]) + 1 + len(word) <= CHARACTERS:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def make_corpus(corpus: Path, lines: int, hands: int, seed: int) -> list[str]:
    """Write the corpus; return a line to print. Splits share hands, but no sentence."""
    written = [make_hand(number, seed) for number in range(hands)]
    splits = ["train"] * 8 + ["dev", "test"]
    texts = [
        (splits[n % 10], text) for n, s in enumerate(SENTENCES.read_text("utf-8").splitlines()) for text in cut_text(s)
    ]
    if not 0 < lines <= len(texts):
        raise DataError(f"--lines: expected 1 to {len(texts)}, got {lines}")
    (corpus / "images").mkdir(parents=True, exist_ok=True)
    table, alignment = [], {}
    for number, (split, text) in enumerate(texts[:lines]):
        random = np.random.default_rng([seed, 2, number])
        hand = written[int(random.integers(hands))]
        name = f"{hand.name}-{number:04d}"
        pixels, edges = render(text, hand, random)
        Image.fromarray(pixels).save(corpus / "images" / f"{name}.png")
        table.append(f"images/{name}.png\t{hand.name}\t{split}\t{text}\n")
        alignment[name] = [
            Interval(left * COLUMN, right * COLUMN, SPACE if character == " " else character)
            for character, left, right in zip(text, edges, edges[1:], strict=False)
        ]
    with whole_file(corpus / "lines.tsv") as out:
        out.write("".join(sorted(table)))
    write_ctm(corpus / "chars.ctm", sorted(alignment.items()))
    with whole_file(corpus / "corpus.json") as out:
        facts = {"lines": lines, "hands": [hand._asdict() for hand in written], "seed": seed}
        out.write(json.dumps(facts, indent=1) + "\n")
    return [f"{corpus}: {lines} lines"]


if __name__ == "__main__":
    number = {"type": int}
    run(
        make_corpus,
        "corpus",
        makes=Output("corpus", ("corpus.json", "lines.tsv", "chars.ctm"), ("local/../../mini/local/sentences.txt",)),
        lines=number | {"default": 1000},
        hands=number | {"default": 12},
        seed=number | {"default": 1},
    )
