"""Figures as inline SVG, whose colours come from the page's style sheet; pictures of many cells as PNG."""

import base64
import math
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup, escape

WIDTH, HEIGHT = 440, 220
LEFT, RIGHT, TOP, BOTTOM = 52, 20, 10, 34
MOST_POINTS = 400  # of a line
LARGEST = 1e30  # of what is drawn
Place = Callable[[float], float]  # from a value to where it is drawn
Range = tuple[float, float]


class NamedLine(NamedTuple):
    """A named line of a figure."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int = 0  # which of the page's series colours
    faint: bool = False
    dots: bool = False


class Axes(NamedTuple):
    """What a figure's axes show."""

    x: str
    y: str = ""
    from_zero: bool = False
    log: bool = False
    whole: bool = False  # only whole numbers on the x axis


def figure(lines: Sequence[NamedLine], axes: Axes, marks: Sequence[float] = (), steps: bool = False) -> Markup:
    """Draw lines, or (with `steps`) the outlines of bars around whole numbers; dashed uprights at the marks."""
    lines = [line for line in map(thinned, lines) if len(line.x)]
    if not lines:
        return Markup()
    x_low, x_high = min(min(line.x) for line in lines), max(max(line.x) for line in lines)
    x_low, x_high = (x_low - 0.5, x_high + 0.5) if steps or x_low == x_high else (x_low, x_high)
    values = np.concatenate([np.asarray(line.y, dtype=np.float64) for line in lines])
    y_low, y_high = y_range(values, lines, axes)

    def px(x: float) -> float:
        return LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)

    def py(y: float) -> float:
        if axes.log:
            y = math.log10(max(y, 10**y_low))
        return HEIGHT - BOTTOM - (min(max(y, y_low), y_high) - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)

    parts = [_grid(px, py, (x_low, x_high), (y_low, y_high), axes)]
    parts += [f'<path class="mark" d="M{px(x):.1f} {TOP}V{HEIGHT - BOTTOM}"/>' for x in marks if x_low <= x <= x_high]
    for line in lines:
        kind = f"line c{line.colour % 8}" + (" faint" if line.faint else "")
        if steps:
            corners = [(x + side, y) for x, y in zip(line.x, line.y, strict=True) for side in (-0.5, 0.5)]
        else:
            corners = list(zip(line.x, line.y, strict=True))
        path = "L".join(f"{px(x):.1f} {py(y):.1f}" for x, y in corners)
        if steps:
            area = f"M{px(corners[0][0]):.1f} {HEIGHT - BOTTOM}L{path}V{HEIGHT - BOTTOM}Z"
            parts.append(f'<path class="area k{line.colour % 8}" d="{area}"/>')
        parts.append(f'<path class="{kind}" d="M{path}"><title>{escape(line.name)}</title></path>')
        if line.dots:
            parts += [
                f'<circle class="dot c{line.colour % 8}" cx="{px(x):.1f}" cy="{py(y):.1f}" r="3">'
                f"<title>{escape(line.name)}: {y:.4g} at {x:g}</title></circle>"
                for x, y in zip(line.x, line.y, strict=True)
            ]
    return svg("".join(parts), f"{axes.y} by {axes.x}")


def svg(content: str, label: str, width: int = WIDTH, height: int = HEIGHT) -> Markup:
    """Wrap drawn elements."""
    return Markup(
        f'<svg class="figure" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">{content}</svg>'
    )


def thinned(line: NamedLine) -> NamedLine:
    """Return a line with at most MOST_POINTS points, none of them NaN or, as of a run that diverged, endless."""
    points = [(x, y) for x, y in zip(line.x, line.y, strict=True) if y is not None and abs(y) < LARGEST]
    every = max(1, -(-len(points) // MOST_POINTS))
    points = points[::every] + (points[-1:] if points and (len(points) - 1) % every else [])
    return line._replace(x=[x for x, _ in points], y=[y for _, y in points])


def y_range(values: np.ndarray, lines: Sequence[NamedLine], axes: Axes) -> tuple[float, float]:
    """Return the range of the y axis: what a loss falls from in its first steps may leave it at the top."""
    if axes.log:
        positive = values[values > 0]
        low, high = (0.0, 1.0) if not len(positive) else (math.log10(positive.min()), math.log10(positive.max()))
        return math.floor(low), max(math.ceil(high), math.floor(low) + 1)
    skipped = 0 if axes.from_zero else 20
    later = np.concatenate([np.asarray(line.y[skipped and len(line.y) // skipped :], np.float64) for line in lines])
    low, high = (0.0 if axes.from_zero else float(later.min())), float(later.max())
    margin = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    return (low if axes.from_zero else low - margin), high + margin


def _grid(px: Place, py: Place, x_range: Range, y_range: Range, axes: Axes) -> str:
    parts = []
    if axes.log:
        ticks = [(10.0**n, f"{10.0**n:g}") for n in range(int(y_range[0]), int(y_range[1]) + 1)]
    else:
        ticks = [(y, f"{y:.6g}") for y in nice_ticks(y_range, 5)]
    for y, text in ticks:
        parts.append(f'<path class="grid" d="M{LEFT} {py(y):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{py(y) + 4:.1f}" text-anchor="end">{text}</text>')
    for x in (x for x in nice_ticks(x_range, 6) if not axes.whole or x == int(x)):
        parts.append(f'<text x="{px(x):.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{x:g}</text>')
    parts.append(f'<path class="axis" d="M{LEFT} {HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="name" x="{middle}" y="{HEIGHT - 4}" text-anchor="middle">{escape(axes.x)}</text>')
    return "".join(parts)


def nice_ticks(span: Range, most: int) -> list[float]:
    """Return round numbers in a range, at most about so many."""
    low, high = span
    rough = (high - low) / most
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough)
    return [float(f"{n * step:.10g}") for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def bars(items: Sequence[tuple[str, float]], most: float, baseline: float | None = None) -> Markup:
    """Draw named horizontal bars from 0 to `most`, with a dashed upright at a baseline."""
    row, left, width = 20, 110, WIDTH
    scale = (width - left - 50) / (most or 1.0)
    parts = []
    for n, (name, value) in enumerate(items):
        y = n * row
        shown = name if len(name) <= 15 else f"{name[:14]}…"
        parts.append(f'<text x="{left - 6}" y="{y + 14}" text-anchor="end">{escape(shown)}</text>')
        parts.append(f'<rect class="bar" x="{left}" y="{y + 3}" width="{max(value, 0) * scale:.1f}" height="14"/>')
        parts.append(f'<text x="{left + max(value, 0) * scale + 4:.1f}" y="{y + 14}">{value:.3g}</text>')
    if baseline is not None:
        parts.append(f'<path class="mark" d="M{left + baseline * scale:.1f} 0V{len(items) * row}"/>')
    return svg("".join(parts), "bars", width, max(len(items) * row, 1))


def png(shares: np.ndarray) -> str:
    """Return cells [H, W] between 0 and 1 as a data URL of a grey PNG with transparency: 0 is clear, 1 is black."""
    height, width = shares.shape
    alpha = np.rint(np.clip(shares, 0, 1) * 15).astype(np.uint8)
    padded = np.pad(alpha, ((0, 0), (0, width % 2)))
    packed = (padded[:, ::2] << 4) | padded[:, 1::2]  # 4 bits a cell
    rows = b"".join(b"\0" + row.tobytes() for row in packed)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 4, 3, 0, 0, 0)  # 4 bits, by palette
    file = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"PLTE", bytes(48))
    file += chunk(b"tRNS", bytes(range(0, 256, 17))) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return f"data:image/png;base64,{base64.b64encode(file).decode()}"
