"""The whole model: frames > encoder > quantiser > conditioning > decoder, and supervised heads beside it.

Here the parts are built, and put in order for units and for sound; loss.py does so for a training. Neither knows an
optimiser or touches a file.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from typing import Literal, NamedTuple

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from unitdisc import config as configs
from unitdisc.buffers import unit_state
from unitdisc.decoders.base import Decoder, Fit, Randomness, Streams, fit_steps, set_statistics_
from unitdisc.decoders.build import build_decoder
from unitdisc.errors import ConfigError, DataError
from unitdisc.features.acoustic import centre_frequencies
from unitdisc.features.build import feature_dim
from unitdisc.features.cmvn import Normalisation
from unitdisc.features.configs import FbankConfig, archive_tree
from unitdisc.features.frames import FrameMaker
from unitdisc.hashes import codebook_hash, model_hash
from unitdisc.loss import Learner, Loss, TrainingBatch, batch_loss
from unitdisc.model_config import LossWeights, ModelConfig
from unitdisc.networks.blocks import BlockEncoder, one_thread
from unitdisc.networks.conditioning import Conditioning
from unitdisc.networks.encoders.build import build_encoder
from unitdisc.networks.heads import CTCHead, FramewiseHead
from unitdisc.networks.input_reconstruction import InputReconstruction
from unitdisc.networks.jitter import TimeJitter
from unitdisc.networks.padding import ceil_divide, masked, padding_mask
from unitdisc.networks.perturb import Perturbation
from unitdisc.networks.prediction import Prediction
from unitdisc.quantizers.base import Reestimation
from unitdisc.quantizers.build import build_quantizer

__all__ = ["Encoded", "LossWeights", "ModelConfig", "Point", "UnitModel", "UnitStream"]

Point = Literal["encoder", "projection", "vq", "conditioning"]


class Encoded(NamedTuple):
    """Units of a batch and the vectors they stand for."""

    units: Tensor  # [B, T', G] int64; -1 on padding; G is 0 without a quantiser
    values: Tensor  # [B, T', D]; zero on padding
    lengths: Tensor  # [B] units


class UnitModel(nn.Module):
    """A vector-quantised autoencoder of speech, and its supervised relatives.

    Buffers: mean and std [D] of the encoder's input.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: ModelConfig, speakers: Sequence[str] = (), phones: Sequence[str] = ()) -> None:
        """Build the model for the training data's speakers, and the phones that its heads tell apart."""
        super().__init__()
        self.config, self.speakers, self.phones = config, tuple(speakers), tuple(phones)
        self.dim_in, self.grid = feature_dim(config.features), config.features.grid
        self.perturbation: Perturbation | None = None
        if config.perturbation.on:
            assert isinstance(config.features, FbankConfig)
            self.perturbation = Perturbation(config.perturbation, centre_frequencies(config.features))
        self.encoder = build_encoder(config.encoder, self.dim_in)
        self.unit_grid = self.grid.strided(self.encoder.stride)
        self.quantizer = build_quantizer(config.quantizer, self.encoder.dim)
        self.jitter = TimeJitter(config.jitter)
        self.conditioning: Conditioning | None = None
        self.decoder: Decoder | None = None
        if config.decoder.speaks:
            self.conditioning = Conditioning(config.conditioning, self.quantizer.dim, self.dim_in, len(self.speakers))
            told = [feature_dim(stream.features) for stream in config.told if stream.features]
            dim = self.conditioning.dim + sum(told) * self.encoder.stride
            fit = Fit(config.targets, self.grid, self.encoder.stride, dim)
            self.decoder = build_decoder(config.decoder, fit)
        if config.needs_phones and not self.phones:
            raise ConfigError("weights.ctc or weights.framewise is above 0, but no phones were given to the model")
        shape = (config.heads, self.quantizer.dim, len(self.phones))
        self.ctc = CTCHead(*shape) if config.weights.ctc > 0 else None
        self.framewise = FramewiseHead(*shape) if config.weights.framewise > 0 else None
        self.input_reconstruction: InputReconstruction | None = None
        if config.weights.input_reconstruction > 0:
            self.input_reconstruction = InputReconstruction(
                config.input_reconstruction, self.quantizer.dim, self.encoder.stride, self.dim_in
            )
        self.prediction: Prediction | None = None
        if config.weights.prediction > 0:
            self.prediction = Prediction(
                config.prediction, self.encoder.dim, self.dim_in, self.encoder.stride, self.unit_grid.period
            )
        self.register_buffer("mean", torch.zeros(self.dim_in))
        self.register_buffer("std", torch.ones(self.dim_in))

    def set_normalisation_(self, mean: Tensor, std: Tensor) -> None:
        """Set the mean and deviation [D] that the encoder's input is normalised by."""
        set_statistics_(self.mean, self.std, mean, std, "the encoder's input")

    def set_target_normalisation_(self, mean: Tensor, std: Tensor) -> None:
        """Set the mean and deviation [D] of the decoder's targets."""
        if self.decoder is None:
            raise ConfigError("only a frame decoder has targets to normalise; this model has none")
        self.decoder.set_normalisation_(mean, std)

    def normalise(self, frames: Tensor) -> Tensor:
        """Return frames [B, T, D] as the encoder reads them."""
        return (frames - self.mean) / self.std

    @property
    def stride(self) -> int:
        """Return the frames per unit."""
        return self.encoder.stride

    # Training

    def begin_step_(self, step: int) -> Reestimation | None:
        """Do what falls due before this training step; the caller restarts moments and averages if it returns one."""
        return self.quantizer.begin_step_(step)

    def parameter_groups(self, rate: float) -> list[dict[str, object]]:
        """Return the optimiser's groups, the model's first, then the codebook's with its own learning rate."""
        own = {id(p) for p in self.quantizer.codebook_parameters()}
        rest = [p for p in self.parameters() if p.requires_grad and id(p) not in own]
        groups: list[dict[str, object]] = [{"params": rest, "lr": rate, "name": "model"}]
        if own:
            factor = self.quantizer.learning_rate_factor
            codebook = self.quantizer.codebook_parameters()
            groups.append({"params": codebook, "lr": rate * factor, "name": "codebook"})
        return groups

    def loss(self, batch: TrainingBatch, generator: Randomness = None, learner: Learner = "all") -> Loss:
        """Return the loss of a batch, or of the part of the model that learns.

        A generator draws one seed for each row, from which jitter and hidden frames follow; a tensor [B] int64 gives
        these seeds, for draws that must not depend on how a global batch is split. Speaker -1 gets the mean voice.
        """
        return batch_loss(self, batch, generator, learner)

    # Units

    def frames_of(self, samples: ArrayLike, rate: int, of_speaker: Normalisation | None = None) -> Tensor:
        """Return the frames [T, D] that `encode` reads of a recording: its samples [S] in -1..1 at a rate in Hz."""
        frames = self._frame_maker.frames_of(samples, rate, of_speaker)
        return torch.from_numpy(frames).to(self.mean.device)

    @cached_property
    def _frame_maker(self) -> FrameMaker:
        # Made when it is first asked for, and no part of the state: a self-supervised model's weights are large.
        return FrameMaker(self.config.features)

    def encode(self, frames: Tensor, lengths: Tensor) -> Encoded:
        """Return the units of frames [B, T, D] of `frames_of`: the same for any batch, padding and threads."""
        with self.inference(frames.device):
            rows = self._rows_in_blocks([row[: int(n)] for row, n in zip(frames, lengths, strict=True)], self._quantize)
            units, values = (nn.utils.rnn.pad_sequence(list(x), True) for x in zip(*rows, strict=True))
            unit_lengths = ceil_divide(lengths.to(units.device), self.encoder.stride)
            mask = padding_mask(unit_lengths, units.shape[1])
            return Encoded(units if mask is None else units.masked_fill(~mask[:, :, None], -1), values, unit_lengths)

    def stream(self) -> "UnitStream":
        """Return what encodes one utterance piece by piece, to the same units."""
        return UnitStream(self)

    def _units_of(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return units [T', G] and values [T', D] of one utterance [T, D]."""
        units, values = self._in_blocks(frames, self._quantize)
        return units, values

    def _quantize(self, y: Tensor) -> tuple[Tensor, ...]:
        """Return units and values of the encoder's outputs [1, T', C]."""
        units = self.quantizer.encode(y)
        # Without a quantiser, and during its warm-up, vectors pass on as they do in training.
        quantised = bool(self.quantizer.codes) and bool((units >= 0).all())
        return units, self.quantizer.decode(units) if quantised else self.quantizer.project(y)

    def _rows_in_blocks(
        self, rows: list[Tensor], then: Callable[[Tensor], tuple[Tensor, ...]]
    ) -> list[tuple[Tensor, ...]]:
        """Do the same with many utterances, block by block on a CPU, many blocks at once on a GPU."""
        if rows[0].device.type == "cpu" or self.encoder.context is None or not all(map(len, rows)):
            return [self._in_blocks(row, then) for row in rows]
        return self._block_encoder(then).many([self.normalise(row) for row in rows])

    def _in_blocks(self, frames: Tensor, then: Callable[[Tensor], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """Encode one utterance [T, D] and apply `then` to the outputs; return tensors [T', ...]."""
        if len(frames) == 0:
            return tuple(part[0, :0] for part in then(frames.new_zeros(1, 1, self.encoder.dim)))
        frames = self.normalise(frames)
        if self.encoder.context is None:
            y, _ = self.encoder(frames[None], torch.tensor([len(frames)]))
            return tuple(part[0] for part in then(y))
        blocks = self._block_encoder(then)
        pieces = blocks.push(frames) + blocks.finish()
        return tuple(torch.cat(parts, 1)[0] for parts in zip(*pieces, strict=True))

    def _block_encoder(self, then: Callable[[Tensor], tuple[Tensor, ...]]) -> BlockEncoder:
        assert self.encoder.context is not None

        def compute(frames: Tensor, lengths: Tensor, first: int, last: int) -> tuple[Tensor, ...]:
            return then(self.encoder.between(frames, lengths, first, last).contiguous())

        return BlockEncoder(compute, self.encoder.stride, self.encoder.context)

    def probe(self, frames: Tensor, lengths: Tensor, point: Point) -> tuple[Tensor, Tensor]:
        """Return vectors [B, T', D] of a point in the model, and their lengths [B].

        encoder: its outputs; projection: what is compared with the codewords; vq: the codewords; conditioning: after
        the convolution that the decoder reads.
        """
        with self.inference(frames.device):
            if point == "vq":
                encoded = self.encode(frames, lengths)
                return encoded.values, encoded.lengths
            if point == "conditioning":
                if self.conditioning is None:
                    raise ConfigError("probe point 'conditioning': this model has no decoder; take encoder or vq")
                conditioning = self.conditioning
                units = [self._units_of(row[: int(n)])[1] for row, n in zip(frames, lengths, strict=True)]
                rows = [conditioning.content(u[None], torch.tensor([len(u)], device=u.device))[0] for u in units]
            elif point in ("encoder", "projection"):
                then = (lambda y: (y,)) if point == "encoder" else (lambda y: (self.quantizer.project(y),))
                cut = [row[: int(n)] for row, n in zip(frames, lengths, strict=True)]
                rows = [made[0] for made in self._rows_in_blocks(cut, then)]
            else:
                raise ConfigError(f"unknown probe point {point!r}; there are encoder, projection, vq, conditioning")
            return nn.utils.rnn.pad_sequence(rows, True), ceil_divide(lengths.to(frames.device), self.encoder.stride)

    def content(self, frames: Tensor, lengths: Tensor, vectors: bool | None = None) -> tuple[Tensor, Tensor]:
        """Return what the decoder is to say of frames [B, T, D], and the length of each row: units, or vectors.

        None: vectors, if the decoder has heard them while training.
        """
        if self.config.vectors > 0 if vectors is None else vectors:
            return self.probe(frames, lengths, "projection")
        encoded = self.encode(frames, lengths)
        return encoded.units if self.quantizer.codes else encoded.values, encoded.lengths

    def content_vectors(self, content: Tensor) -> Tensor:
        """Return the vectors [B, T', D] of units, or of vectors as they are."""
        return content if content.is_floating_point() else self.quantizer.decode(content)

    def decode_phones(self, frames: Tensor, lengths: Tensor) -> list[list[int]]:
        """Return the phones that the CTC head hears, by its best path."""
        if self.ctc is None:
            raise ConfigError("this model has no CTC head; train with weights.ctc above 0")
        encoded = self.encode(frames, lengths)
        with self.inference(frames.device):
            return self.ctc.decode(encoded.values, encoded.lengths)

    # Sound

    def speaker_vectors(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Return a speaker vector [B, S] for frames [B, T, D] of a voice, known or not."""
        if self.conditioning is None or self.conditioning.reference is None:
            raise ConfigError(
                "this model takes no voice from speech; train with conditioning.speaker: reference, "
                "or name one of the speakers that it knows"
            )
        with self.inference(frames.device):
            return self.conditioning.reference(self.normalise(frames), lengths)

    def generate(
        self,
        content: Tensor,
        lengths: Tensor,
        speaker: Tensor | None = None,
        generator: Randomness = None,
        temperature: float = 1.0,
        told: Tensor | None = None,
    ) -> Tensor:
        """Return the first of the streams of `say`: log-mel frames [B, T' * stride, M], or a waveform [B, samples]."""
        return next(iter(self.say(content, lengths, speaker, generator, temperature, told).values()))

    def say(
        self,
        content: Tensor,
        lengths: Tensor,
        speaker: Tensor | None = None,
        generator: Randomness = None,
        temperature: float = 1.0,
        told: Tensor | None = None,
    ) -> Streams:
        """Return what the decoder says of units, stream by stream, [B, T' * hold, ...] each; 0 on padding.

        Content is units [B, T', G] int64, or values [B, T', D]; lengths [B] count units. Speaker is numbers [B] int64,
        places in `speakers`, or vectors [B, S] of `speaker_vectors`. A tensor of seeds [B] in place of a generator
        makes each row's sound depend on its own seed, not on the rows beside it. Some decoders are told of each frame
        what no unit says, [B, T, D]: see `DecoderSettings.told`.
        """
        with self.inference(content.device, exact=False):
            lengths = lengths.to(content.device)
            decoder, condition = self._condition(content, lengths, speaker, told)
            said = decoder.say(condition, lengths, generator, temperature)
            steps = lengths * decoder.hold
            return {name: masked(x, padding_mask(steps, x.shape[1])) for name, x in said.items()}

    def generate_stream(
        self,
        content: Tensor,
        lengths: Tensor,
        speaker: Tensor | None = None,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
        told: Tensor | None = None,
    ) -> Iterator[Tensor]:
        """Yield what `generate` returns piece by piece, as it is ready; what lies on padding has no meaning."""
        with self.inference(content.device, exact=False):
            lengths = lengths.to(content.device)
            decoder, condition = self._condition(content, lengths, speaker, told)
            pieces = decoder.say_by_piece(condition, lengths, generator, temperature)
        return (next(iter(piece.values())) for piece in pieces)

    def _condition(
        self, content: Tensor, lengths: Tensor, speaker: Tensor | None, told: Tensor | None
    ) -> tuple[Decoder, Tensor]:
        """Return the decoder and what it is told: [B, T', dim]."""
        if self.decoder is None or self.conditioning is None:
            raise ConfigError("this model has no decoder; train with decoder.kind frame or waveform")
        values = self.content_vectors(content)
        if speaker is not None and not speaker.is_floating_point():
            speaker = self.conditioning.speaker_vectors(speaker)
        condition = self.conditioning(self.conditioning.content(values, lengths), speaker)
        return self.decoder, self.with_told(condition, told)

    def with_told(self, condition: Tensor, told: Tensor | None) -> Tensor:
        """Put what the decoder is told of a unit's frames, of [B, T, D], beside its condition [B, T', dim]."""
        if not self.config.told:
            return condition
        if told is None:
            raise DataError(
                "this decoder is told the pitch of each frame, which units alone do not have; convert a recording"
            )
        frames = fit_steps(told.to(condition), condition.shape[1] * self.stride)
        return torch.cat([condition, frames.unflatten(1, (-1, self.stride)).flatten(2)], -1)

    # State

    @contextmanager
    def inference(self, device: torch.device, exact: bool = True) -> Iterator[None]:
        """Switch to evaluation, without gradients or autocast, for the length of a with block.

        Exact: the same bits for any number of threads, by using one.
        """
        # Going through all modules costs as much as a short utterance. Some may be held still while others learn.
        learning = [module for module in self.modules() if module.training] if self.training else []
        threads = one_thread(device) if exact else nullcontext()
        if learning:
            self.eval()
        try:
            with torch.no_grad(), torch.autocast(device.type, enabled=False), threads:
                yield
        finally:
            for module in learning:
                module.training = True

    def codebook_hash(self) -> str:
        """Return 12 hexadecimal digits that change when a unit's meaning does."""
        with self.inference(self.mean.device):
            return codebook_hash(self.quantizer, self.mean.device)

    def model_hash(self) -> str:
        """Return 12 hexadecimal digits of everything that units depend on: features, encoder, quantiser."""
        ways = {k: v for k, v in configs.to_tree(self.config.features).items() if k.startswith("cmvn")}
        settings = [{**ways, **archive_tree(self.config.features)}, configs.to_tree(self.config.encoder)]
        state = {"mean": self.mean, "std": self.std}
        for name, tensor in unit_state(self.encoder):  # named as in version 0.1.0, so that a model keeps its hash
            old = name.replace(".running_mean", ".mean").replace(".running_var", ".variance")
            state[f"encoder.{old}"] = tensor
        state |= {f"quantizer.{name}": tensor for name, tensor in unit_state(self.quantizer)}
        return model_hash(settings, self.codebook_hash(), state)


class UnitStream:
    """Encodes one utterance as its frames come in; the units are those of the whole utterance, bit for bit."""

    def __init__(self, model: UnitModel) -> None:
        if model.encoder.context is None:
            raise ConfigError("this encoder needs whole utterances (its LSTM reads them from both ends): no streaming")
        self._model = model
        self._blocks = model._block_encoder(model._quantize)

    def push(self, frames: Tensor) -> Encoded:
        """Take frames [T, D]; return the units [1, T', G] that are certain now, often none."""
        with self._model.inference(frames.device):
            return self._encoded(self._blocks.push(self._model.normalise(frames)), frames.device)

    def finish(self) -> Encoded:
        """Return the last units; the next frames pushed begin another utterance."""
        device = self._model.mean.device
        with self._model.inference(device):
            return self._encoded(self._blocks.finish(), device)

    def _encoded(self, pieces: list[tuple[Tensor, ...]], device: torch.device) -> Encoded:
        quantizer = self._model.quantizer
        units = torch.zeros(1, 0, len(quantizer.codes), dtype=torch.int64, device=device)
        values = torch.zeros(1, 0, quantizer.dim, device=device)
        for more_units, more_values in pieces:
            units, values = torch.cat([units, more_units], 1), torch.cat([values, more_values], 1)
        return Encoded(units, values, torch.tensor([units.shape[1]], device=device))
