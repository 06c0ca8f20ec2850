"""Probes: small supervised readers of frozen units or features, trained on one set of speakers, scored on another."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import rnn

from unitdisc.errors import DataError
from unitdisc.evaluate.clusters import silence_to_drop
from unitdisc.evaluate.edits import edits
from unitdisc.evaluate.mapping import merged
from unitdisc.evaluate.per import per_score, reference
from unitdisc.evaluate.scores import Counts, Groups, Score, bootstrap
from unitdisc.evaluate.sides import LabelledUtterance, Side, check_sides, stretches

EMBEDDING = 64  # dimensions of a unit's vector
MOST_CODES = 1 << 18  # that have a vector each
BLANK = 0  # of CTC; phone p is p + 1


@dataclass(frozen=True)
class ProbeConfig:
    """How probes are trained; the same config and data give the same number."""

    kind: str = "lstm"  # of the CTC probe: "linear" or "lstm" (one bidirectional layer)
    hidden: int = 128  # of the LSTM (each direction) and of the two-layer frame probe
    epochs: int = 30
    rate: float = 1e-2  # of Adam, falling to zero along a half cosine
    batch: int = 16  # stretches (CTC)
    seconds: float = 1.0  # that a stretch of training speech lasts at least (CTC)
    frames: int = 2048  # in a batch of the frame probe, at most
    seed: int = 0


DEFAULT = ProbeConfig()
SUFFIX = {"drop": "nosil", "keep": "sil"}


class Reader(nn.Module):
    """Embed units or standardise features, then read them: linear, through a hidden layer, or through a BiLSTM."""

    mean: Tensor
    scale: Tensor

    def __init__(self, train: Side, kind: str, hidden: int, classes: int) -> None:
        super().__init__()
        dim = EMBEDDING if train.codes else train.dim
        self.embedding = nn.Embedding(train.codes, dim) if 0 < train.codes <= MOST_CODES else None
        self.known = None  # of more codes, the units [A] of the training side, sorted; the last vector is of all others
        if train.codes > MOST_CODES:
            self.known = torch.from_numpy(np.unique(np.concatenate([u.x for u in train.utterances])))
            self.embedding = nn.Embedding(len(self.known) + 1, dim)
        x = np.zeros((1, dim), np.float32) if train.codes else np.concatenate([u.x for u in train.utterances])
        self.register_buffer("mean", torch.from_numpy(x.mean(axis=0)))
        self.register_buffer("scale", torch.from_numpy(np.maximum(x.std(axis=0), 1e-5)))
        # Two layers of one direction over padded batches: 25 times as fast on a CPU as one of two over packed ones.
        directions = 2 if kind == "lstm" else 0
        self.lstms = nn.ModuleList(nn.LSTM(dim, hidden, batch_first=True) for _ in range(directions))
        layers: dict[str, list[nn.Module]] = {
            "linear": [nn.Linear(dim, classes)],
            "two-layer": [nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, classes)],
            "lstm": [nn.Linear(2 * hidden, classes)],
        }
        if kind not in layers:
            raise DataError(f"a probe is {', '.join(layers)}, got {kind!r}")
        self.out = nn.Sequential(*layers[kind])

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map units [.., T] or features [.., T, D] to log odds [.., T, C]."""
        if self.known is not None:
            places = torch.searchsorted(self.known, x).clamp(max=len(self.known) - 1)
            x = torch.where(self.known[places] == x, places, len(self.known))
        h = self.embedding(x) if self.embedding is not None else (x - self.mean) / self.scale
        if len(self.lstms) and lengths is not None:
            turn = _turned(lengths, h.shape[1])[..., None]
            forward, backward = self.lstms
            back = backward(h.gather(1, turn.expand_as(h)))[0]
            h = torch.cat([forward(h)[0], back.gather(1, turn.expand_as(back))], dim=-1)
        return self.out(h)


def _turned(lengths: Tensor, longest: int) -> Tensor:
    """Return the places [B, T] that turn each sequence round and leave the padding after it."""
    places = torch.arange(longest).expand(len(lengths), longest)
    return torch.where(places < lengths[:, None], lengths[:, None] - 1 - places, places)


def probe_ctc(
    train: Side, test: Side, config: ProbeConfig = DEFAULT, silence: str = "drop", resamples: int = 1000
) -> Score:
    """Train a CTC probe on one side and return the PER of its greedy decoding on the other."""
    check_sides(train, test)  # before the minutes of training
    return CTCProbe(train, config, silence).score(test, resamples)


class CTCProbe:
    """A CTC probe, trained on one side, to score as many others as one likes."""

    def __init__(self, train: Side, config: ProbeConfig = DEFAULT, silence: str = "drop") -> None:
        self.train, self.config, self.silence = train, config, silence
        self._drop = drop = silence_to_drop(silence, train.labeller)
        # CTC learns from short stretches where whole utterances would leave it at saying nothing for long.
        parts = [(u, torch.from_numpy(reference(u.labels, drop) + 1)) for u in stretches(train, config.seconds)]
        usable = [(u, string) for u, string in parts if 0 < frames_needed(string.numpy()) <= len(u.x)]
        if not usable:
            raise DataError(f"{train.path}: no utterance has phones and at least as many frames; nothing to train on")
        self.too_short = sum(len(string) > 0 for _, string in parts) - len(usable)

        def loss(reader: Reader, chosen: np.ndarray) -> Tensor:
            batch, targets = zip(*(usable[i] for i in chosen), strict=True)
            x, lengths = _padded(batch)
            odds = reader(x, lengths).log_softmax(dim=-1).transpose(0, 1)
            counts = torch.tensor([len(t) for t in targets])
            return nn.functional.ctc_loss(odds, torch.cat(targets), lengths, counts, BLANK)

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.reader = Reader(train, config.kind, config.hidden, len(train.labeller.names) + 1)
            lengths = np.array([len(u.x) for u, _ in usable])
            _train(self.reader, _batches_of_alike(lengths, config), loss, config)

    def score(self, test: Side, resamples: int = 1000, name: str = "") -> Score:
        """Return the PER of greedy decoding; `name` goes before the definition."""
        check_sides(self.train, test)
        rows = Groups()
        for u, read in _decoded(self.reader, test.renumbered(self.train.labeller), self.config.batch):
            string = merged(read)
            wanted = reference(u.labels, self._drop)
            rows.add(u.utt, [*edits([wanted], [string[string != BLANK] - 1]).counts[0], len(wanted)])
        about = _about(self.train, test, self.config, self.silence)
        about["counts"].dropped["training stretches with too few frames for their phones"] = self.too_short
        definition = f"{name}per-probe-ctc-{self.config.kind}-{SUFFIX[self.silence]}"
        return per_score(rows, definition, self.config.seed, resamples, **about)


def frame_probes(
    train: Side, test: Side, config: ProbeConfig = DEFAULT, silence: str = "keep", resamples: int = 1000
) -> list[Score]:
    """Return the frame accuracies of a linear and of a two-layer probe."""
    check_sides(train, test)
    drop = silence_to_drop(silence, train.labeller)
    x = torch.from_numpy(np.concatenate([u.x for u in train.utterances]))
    y = torch.from_numpy(np.concatenate([u.labels.frames for u in train.utterances]))
    if drop is not None:
        x, y = x[y != drop], y[y != drop]
    if not len(y):
        raise DataError(f"{train.path}: no frame is left to train on; all are silence in {train.labeller.where}")

    def loss(reader: Reader, chosen: np.ndarray) -> Tensor:
        return nn.functional.cross_entropy(reader(x[chosen]), y[chosen])

    scores = []
    for kind in ("linear", "two-layer"):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            reader = Reader(train, kind, config.hidden, len(train.labeller.names))
            _train(reader, _batches_of_any(len(y), config), loss, config)
        scores.append(_accuracy(reader, kind, train, test, config, silence, resamples))
    return scores


def _accuracy(
    reader: Reader, kind: str, train: Side, test: Side, config: ProbeConfig, silence: str, resamples: int
) -> Score:
    drop = silence_to_drop(silence, train.labeller)
    rows = Groups()
    for u, read in _decoded(reader, test.renumbered(train.labeller), config.batch):
        wanted = u.labels.frames
        counted = np.ones(len(wanted), bool) if drop is None else wanted != drop
        rows.add(u.utt, [int((read == wanted)[counted].sum()), int(counted.sum())])
    table = rows.table()
    right, total = table.sum(axis=0)
    if not total:
        raise DataError(f"{test.path}: no frame is left to score; all are silence in {test.labeller.where}")
    return Score(
        "accuracy",
        float(right / total),
        f"frame-accuracy-{kind}-{SUFFIX[silence]}",
        interval=bootstrap(table, seed=config.seed, resamples=resamples),
        parts={"right": int(right), "frames": int(total)},
        **_about(train, test, config, silence),
    )


def frames_needed(string: np.ndarray) -> int:
    """Return the least frames of which CTC can read a string: a blank must stand between equal neighbours."""
    return len(string) + int((string[1:] == string[:-1]).sum())


def _train(
    reader: Reader, batches: list[np.ndarray], loss: Callable[[Reader, np.ndarray], Tensor], config: ProbeConfig
) -> None:
    """Take one step for each batch in turn."""
    optimiser = torch.optim.Adam(reader.parameters(), lr=config.rate)
    for step, batch in enumerate(batches):
        for group in optimiser.param_groups:
            group["lr"] = config.rate * (1 + math.cos(math.pi * step / len(batches))) / 2
        optimiser.zero_grad()
        loss(reader, batch).backward()
        nn.utils.clip_grad_norm_(reader.parameters(), 5.0)
        optimiser.step()


def _batches_of_any(count: int, config: ProbeConfig) -> list[np.ndarray]:
    rng = np.random.default_rng(config.seed)
    size = min(config.frames, max(count // 20, 64))  # small corpora still take about 20 steps an epoch
    return [batch for _ in range(config.epochs) for batch in _cut(rng.permutation(count), size)]


def _batches_of_alike(lengths: np.ndarray, config: ProbeConfig) -> list[np.ndarray]:
    """Put utterances of like lengths together, in another order each epoch."""
    rng = np.random.default_rng(config.seed)
    batches: list[np.ndarray] = []
    for _ in range(config.epochs):
        order = np.argsort(lengths * rng.uniform(0.9, 1.1, len(lengths)), kind="stable")
        of_epoch = _cut(order, config.batch)
        batches += [of_epoch[i] for i in rng.permutation(len(of_epoch))]
    return batches


def _cut(order: np.ndarray, size: int) -> list[np.ndarray]:
    return [order[i : i + size] for i in range(0, len(order), size)]


def _padded(batch: Sequence[LabelledUtterance]) -> tuple[Tensor, Tensor]:
    x = rnn.pad_sequence([torch.from_numpy(u.x) for u in batch], batch_first=True)
    return x, torch.tensor([len(u.x) for u in batch])


@torch.no_grad()
def _decoded(
    reader: Reader, utterances: Sequence[LabelledUtterance], size: int
) -> Iterator[tuple[LabelledUtterance, np.ndarray]]:
    """Yield utterances with their likeliest class per frame [T]."""
    order = np.argsort([len(u.x) for u in utterances], kind="stable")
    for chosen in _cut(order, size):
        batch = [utterances[i] for i in chosen]
        x, lengths = _padded(batch)
        best = reader(x, lengths).argmax(dim=-1).numpy()
        for u, row in zip(batch, best, strict=True):
            yield u, row[: len(u.x)]


def _about(train: Side, test: Side, config: ProbeConfig, silence: str) -> dict[str, Any]:
    used = test.counts.used | {f"training {noun}": count for noun, count in train.counts.used.items()}
    return {
        "options": {"silence": silence, **asdict(config)},
        "counts": Counts(used, dict(test.counts.dropped)),
        "period": test.period,
        "hashes": test.hashes | {f"train-{key}": value for key, value in train.hashes.items()},
    }
