"""Names of phones: which labels mean silence, and what an aligner adds to a name."""

import re

SILENCE = "SIL"
# What means silence or noise in the alignments of the field: Kaldi, MFA, TIMIT, Buckeye, Festival, eSpeak, BAS.
SILENCES = frozenset({
    "", "SIL", "sil", "<SIL>", "<sil>", "SP", "sp", "SPN", "spn", "+SPN+", "NSN", "+NSN+", "<eps>", "<p:>", "(...)",
    "h#", "pau", "epi", "#", "_", "-",
})  # fmt: skip


def plain(label: str) -> str:
    """Return an aligner's name of a phone without position (_B, _I, _E, _S) and stress; of silence, SIL."""
    label = re.sub(r"_[BIES]$", "", label)
    return SILENCE if label in SILENCES else re.sub(r"(?<=[A-Z])[0-2]$", "", label)
