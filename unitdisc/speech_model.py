"""A model that speaks: the network, and what training has fitted beside it for its voices."""

from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from unitdisc.checkpoint import build_model, load_tree
from unitdisc.correction import Correction
from unitdisc.decoders.base import Decoder, Streams
from unitdisc.decoders.configs import LOG_MEL
from unitdisc.errors import ConfigError
from unitdisc.model import UnitModel
from unitdisc.postfilter import Heard, Postfilter
from unitdisc.voices import Voices


class SpeechModel(NamedTuple):
    """A network with the postfilter and the pitch ranges of its voices, where a checkpoint has them."""

    path: Path  # of the checkpoint or its run, for errors
    network: UnitModel
    postfilter: Postfilter | None
    voices: Voices | None

    def check_speaks(self) -> None:
        """Refuse a model without a decoder."""
        if self.network.decoder is None:
            raise ConfigError(
                f"{self.path}: its model has no decoder (decoder.kind: none), so it cannot speak; "
                "train.units_of trains one for its units"
            )

    @property
    def decoder(self) -> Decoder:
        """Return the decoder; a model without one cannot speak."""
        self.check_speaks()
        assert self.network.decoder is not None
        return self.network.decoder

    def say(
        self,
        content: Tensor,
        units: Tensor,
        speaker: Tensor | None,
        seeds: Tensor,
        temperature: float = 1.0,
        emphasis: float | None = None,
        told: Tensor | None = None,
    ) -> Streams:
        """Return what the decoder says, as the network's `say` does, with the voice made more of what it is.

        By the emphasis, log-mel is moved on in the direction in which it differs from what the mean of all voices
        says; none: by as much as the decoder's kind is used with.
        """
        said = self.network.say(content, units, speaker, seeds, temperature, told)
        by, conditioning = self.decoder.emphasis if emphasis is None else emphasis, self.network.conditioning
        if not by or LOG_MEL not in said or conditioning is None or conditioning.table is None:
            return said
        mean = conditioning.table.weight.detach().mean(0).expand(len(units), -1)
        usual = self.network.say(content, units, mean, seeds, temperature)[LOG_MEL]
        return {**said, LOG_MEL: said[LOG_MEL] + by * (said[LOG_MEL] - usual)}

    def corrected(self, said: Streams, content: Tensor, correction: Correction | None) -> Streams:
        """Return what the decoder said of one utterance's content [T', ...], [T, D] each, with a voice's correction."""
        if correction is None:
            return said
        return {**said, LOG_MEL: correction(said[LOG_MEL], self.network.content_vectors(content[None])[0])}

    def filtered(self, said: Streams, voice: int | None, heard: Heard | None = None) -> Streams:
        """Return what the decoder said of one utterance, [T, D] each, after the postfilter of a voice."""
        if self.postfilter is None or LOG_MEL not in said or not self.decoder.says_means:
            return said
        return {**said, LOG_MEL: self.postfilter(said[LOG_MEL], voice, heard)}


def load_speech_model(path: str | Path, device: str = "cpu") -> SpeechModel:
    """Load the newest checkpoint of a run's folder with averaged weights, a checkpoint file, or a packed model."""
    tree = load_tree(path, device)
    network = build_model(tree).to(device)
    postfilter = Postfilter.of_tree(tree["postfilter"]) if tree.get("postfilter") else None
    voices = Voices.of_tree(tree["voices"]) if tree.get("voices") else None
    return SpeechModel(Path(path), network, postfilter, voices)
