"""Models by name: a folder, a checkpoint file, or hf://ORGANISATION/NAME, a repository of packed models' files.

A repository is asked for by its prefix alone, so that a mistyped folder never reaches the network.
"""

import re
from pathlib import Path

from unitdisc.errors import CheckpointError
from unitdisc.packed import FILES

NAME = r"[\w.-]+/[\w.-]+"
REPOSITORY = re.compile(rf"hf:/{{1,2}}({NAME})(?:@([\w./-]+))?")  # a Path makes one slash of two
HOST = "huggingface.co"


def local(path: str | Path) -> Path:
    """Return where a model lies; a repository hf://ORGANISATION/NAME[@REVISION] is fetched, or taken from its cache."""
    name = REPOSITORY.fullmatch(str(path))
    if name is None:
        if str(path).startswith("hf:"):
            raise CheckpointError(f"{path}: expected hf://ORGANISATION/NAME or hf://ORGANISATION/NAME@REVISION")
        return Path(path)
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise CheckpointError(
            f"{path}: fetching it needs a package: pip install 'unitdisc[hub]', or fetch the folder by hand"
        ) from None
    try:
        return Path(snapshot_download(name[1], revision=name[2], allow_patterns=list(FILES)))
    except Exception as error:  # its errors are of many libraries; to the user all mean the same
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise CheckpointError(f"{path}: cannot be fetched from {HOST}: {reason}") from None


def hint(path: Path) -> str:
    """Return how to name a repository, where what is not there looks like one."""
    return f"; a repository of Hugging Face is named hf://{path}" if re.fullmatch(NAME, str(path)) else ""
