"""What features there are, and their defaults; light to import.

A config names everything that an archive's bytes depend on. Normalisation (`cmvn*`) is not among that: archives hold
features as they come, and are normalised when read, so that one archive serves every kind of normalisation.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Union

from unitdisc.config import to_tree
from unitdisc.data.timing import FrameGrid
from unitdisc.digests import add_file
from unitdisc.errors import ConfigError

LATER = ("dither", "floor", "floor_db")  # options that are off by default and came after version 0.1.0
CmvnKind = Literal["none", "global", "speaker", "utterance", "sliding"]


@dataclass(frozen=True)
class _Normalised:
    """What all features have in common."""

    cmvn: CmvnKind = "global"  # over what mean and deviation are taken
    cmvn_variance: bool = True  # divide by the standard deviation too, not only subtract the mean
    cmvn_window: int = 600  # frames; of "sliding" only, as the next two
    cmvn_min_window: int = 100  # frames at the start of an utterance, where the window is not centred
    cmvn_centred: bool = True  # frames to both sides, not only those before

    def __post_init__(self) -> None:
        if not 1 <= self.cmvn_min_window <= self.cmvn_window:
            raise ConfigError(
                f"cmvn_min_window must lie in 1..cmvn_window = {self.cmvn_window}, got {self.cmvn_min_window}"
            )


@dataclass(frozen=True)
class _Framed(_Normalised):
    """Framing in samples; frame i is centred at (i + 1/2) * hop unless snip_edges."""

    sample_rate: int = 16000  # Hz
    hop: int = 160  # samples
    window: int = 400  # samples
    snip_edges: bool = False  # Kaldi's own default is True

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.sample_rate, self.hop, self.window) < 1:
            raise ConfigError(
                f"sample_rate, hop and window must be above 0, got {self.sample_rate}, {self.hop}, {self.window}"
            )

    @property
    def grid(self) -> FrameGrid:
        """Return where the frames lie."""
        return FrameGrid(self.sample_rate, self.hop, self.window, self.snip_edges)


@dataclass(frozen=True)
class _Kaldi(_Framed):
    """What Kaldi's fbank and MFCC share, with Kaldi's defaults except `dither`, which is 1 there."""

    mels: int = 23
    fmin: float = 20.0  # Hz
    fmax: float = 0.0  # Hz; 0 or less: below half the sample rate
    preemphasis: float = 0.97
    window_type: Literal["povey", "hanning", "hamming", "rectangular"] = "povey"
    energy: bool = False  # the log energy: before the filters of fbank, in place of c0 of MFCC
    deltas: int = 2  # orders of differences
    delta_window: int = 2  # frames to each side
    dither: float = 0.0  # deviation of the noise that is added to the samples, in 16-bit numbers; Kaldi's default is 1
    floor: float = 0.0  # lowest energy of a filter, of 16-bit samples; 0: the smallest step of a float, as in Kaldi
    floor_db: float = 0.0  # lowest energy of a filter, dB below the mean of all in the utterance; 0: no such floor

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.dither, self.floor, self.floor_db) < 0:
            raise ConfigError(
                f"dither, floor and floor_db must be 0 or more, got {self.dither}, {self.floor}, {self.floor_db}"
            )
        check_band(self.fmin, self.fmax if self.fmax > 0 else self.sample_rate / 2 + self.fmax, self.sample_rate)
        if self.mels < 3 or self.deltas < 0 or self.delta_window < 1:
            raise ConfigError(
                "mels must be 3 or more, deltas 0 or more, delta_window 1 or more, "
                f"got {self.mels}, {self.deltas}, {self.delta_window}"
            )


@dataclass(frozen=True)
class FbankConfig(_Kaldi):
    """Log mel filter banks as Kaldi's compute-fbank-feats makes them."""

    kind: Literal["fbank"] = "fbank"
    mels: int = 80


@dataclass(frozen=True)
class MfccConfig(_Kaldi):
    """Mel cepstra as Kaldi's compute-mfcc-feats makes them; 39-d with the two orders of differences."""

    kind: Literal["mfcc"] = "mfcc"
    ceps: int = 13
    lifter: float = 22.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.ceps <= self.mels:
            raise ConfigError(f"ceps must lie in 1..mels = {self.mels}, got {self.ceps}")


@dataclass(frozen=True)
class LogMelConfig(_Framed):
    """Log mel magnitudes (natural log, Hann window, Slaney's mel scale and norm, samples in -1..1).

    A decoder's target: one frame per frame of the encoder's input with the same hop; `griffin_lim` inverts it.
    """

    kind: Literal["logmel"] = "logmel"
    n_fft: int = 512
    mels: int = 80
    fmin: float = 0.0  # Hz
    fmax: float = 8000.0  # Hz
    floor: float = 1e-5  # of the magnitude

    def __post_init__(self) -> None:
        super().__post_init__()
        check_band(self.fmin, self.fmax, self.sample_rate)
        if self.n_fft < self.window:
            raise ConfigError(f"n_fft must be at least window = {self.window}, got {self.n_fft}")
        if self.mels < 1 or self.floor <= 0:
            raise ConfigError(f"mels and floor must be above 0, got {self.mels}, {self.floor}")


@dataclass(frozen=True)
class ExcitationConfig(_Framed):
    """Pitch, voicing and band aperiodicity: what a decoder says beside log-mel, so that it need not whisper."""

    kind: Literal["excitation"] = "excitation"
    fmin: float = 60.0  # Hz; of the pitch
    fmax: float = 450.0  # Hz

    def __post_init__(self) -> None:
        super().__post_init__()
        check_band(self.fmin, self.fmax, self.sample_rate)
        if self.fmin < 20:
            raise ConfigError(f"fmin of the pitch must be 20 Hz or more, got {self.fmin:g}")


@dataclass(frozen=True)
class _SelfSupervised(_Normalised):
    """A layer of a transformer that was trained on speech without labels; 16 kHz, hop 320, window 400, snipped edges.

    `checkpoint` is a file of torchaudio weights (torch.save of a state dict), or a folder as transformers writes it
    (config.json with model.safetensors). Nothing is downloaded.
    """

    cmvn: CmvnKind = "none"  # as is usual in the field
    checkpoint: Path = Path("checkpoint")  # a file or folder of weights; nothing is downloaded
    layer: int = 6  # of the transformer, counted from 1
    normalise: bool | None = None  # each utterance to mean 0 and variance 1; null: as the folder's preprocessor says
    heads: int | None = None  # null: as the checkpoint says, else one per 64 channels
    precision: Literal["float32", "bfloat16", "float16"] = "float32"  # of the network's arithmetic

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layer < 1:
            raise ConfigError(f"layer must be 1 or more, got {self.layer}")

    @property
    def sample_rate(self) -> int:
        """Return the only sample rate that these models know."""
        return 16000

    @property
    def grid(self) -> FrameGrid:
        """Return where the frames lie: that of the seven convolutions without padding."""
        return FrameGrid(16000, 320, 400, snip_edges=True)


@dataclass(frozen=True)
class HubertConfig(_SelfSupervised):
    """A layer of HuBERT."""

    kind: Literal["hubert"] = "hubert"


@dataclass(frozen=True)
class WavLMConfig(_SelfSupervised):
    """A layer of WavLM."""

    kind: Literal["wavlm"] = "wavlm"


@dataclass(frozen=True)
class Wav2Vec2Config(_SelfSupervised):
    """A layer of wav2vec 2.0."""

    kind: Literal["wav2vec2"] = "wav2vec2"


@dataclass(frozen=True)
class Data2VecConfig(_SelfSupervised):
    """A layer of data2vec for audio."""

    kind: Literal["data2vec"] = "data2vec"


SSLConfig = Union[HubertConfig, WavLMConfig, Wav2Vec2Config, Data2VecConfig]  # noqa: UP007
FeatureConfig = Union[MfccConfig, FbankConfig, LogMelConfig, SSLConfig]  # noqa: UP007
ArchiveConfig = Union[FeatureConfig, ExcitationConfig]  # noqa: UP007  # whatever has an archive


def check_band(fmin: float, fmax: float, sample_rate: int) -> None:
    """Refuse a band that is empty or goes over half the sample rate."""
    if not 0 <= fmin < fmax <= sample_rate / 2:
        raise ConfigError(f"expected 0 <= fmin < fmax <= {sample_rate / 2:g} Hz, got fmin {fmin:g}, fmax {fmax:g}")


def archive_tree(config: ArchiveConfig) -> dict[str, Any]:
    """Return what an archive's bytes depend on: the config without normalisation, a checkpoint by its content."""
    tree = {key: value for key, value in to_tree(config).items() if not key.startswith("cmvn")}
    for key in LATER:  # archives that were made before these options existed keep their digest
        if not tree.get(key, True):
            del tree[key]
    if isinstance(config, _SelfSupervised):
        tree["checkpoint"] = _content_hash(config.checkpoint)
        if config.precision == "float32":  # came later, too
            del tree["precision"]
    return tree


def _content_hash(path: Path) -> str:
    try:
        files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
        return _hash_of(tuple((file, file.stat().st_size, file.stat().st_mtime_ns) for file in files))
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such checkpoint; nothing is downloaded, so fetch it first and name the file or folder"
        ) from None


@lru_cache(maxsize=8)  # a checkpoint of gigabytes is read once, not for each archive
def _hash_of(files: tuple[tuple[Path, int, int], ...]) -> str:
    hasher = hashlib.sha256()
    for file, _, _ in files:
        add_file(hasher, file)
    return hasher.hexdigest()[:12]


@dataclass(frozen=True)
class AugmentConfig:
    """How an encoder hears the utterances that it trains on."""

    versions: int = 8  # of each utterance; one is drawn each time
    warp: float = 0.0  # the frequencies of voices are multiplied by up to 1 + warp, or divided
    tempo: float = 0.0  # speech is up to 1 + tempo times as fast, or as slow; its pitch stays
    degraded: float = 0.0  # share of the versions that are heard through a room, a microphone and noise, as follows
    rooms: float = 0.5  # share of these that are in a room
    decay: tuple[float, float] = (0.2, 0.8)  # s in which its sound falls by 60 dB
    microphones: float = 0.5  # share that are equalised
    telephones: float = 0.1  # share of which only a band is left
    noises: float = 0.8  # share with noise: white, coloured, or of other utterances
    snr: tuple[float, float] = (3.0, 25.0)  # dB over the whole utterance
    noise_folder: str = ""  # of recordings that are used as noise, too
    kept: float = 4.0  # GB of versions that are kept on the disk while training; half of it for decoded recordings

    def __post_init__(self) -> None:
        if self.versions < 1 or not (0 <= self.warp < 0.5 and 0 <= self.tempo < 0.5) or self.kept < 0:
            raise ConfigError(
                "augment: versions must be above 0, warp and tempo in 0..0.5, kept not below 0, "
                f"got {self.versions}, {self.warp}, {self.tempo}, {self.kept}"
            )
        for name in ("degraded", "rooms", "microphones", "telephones", "noises"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"augment.{name} is a share between 0 and 1, got {getattr(self, name)}")
        if not 0 < self.decay[0] <= self.decay[1] or self.snr[0] > self.snr[1]:
            raise ConfigError(f"augment: decay and snr are ranges, low and high, got {self.decay} and {self.snr}")

    @property
    def on(self) -> bool:
        """Tell whether anything is changed."""
        return self.warp > 0 or self.tempo > 0 or self.degraded > 0
