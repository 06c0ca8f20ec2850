"""What stands beside an archive: which config and which data made it, and what could not be made."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from unitdisc.data.kaldi import data_digest
from unitdisc.errors import DataError
from unitdisc.features.configs import ArchiveConfig, archive_tree
from unitdisc.reading import parse_json, reading

FORMAT = "unitdisc-features"
VERSION = 1


@dataclass(frozen=True)
class Manifest:
    """The content of feats.json or targets.json."""

    digest: str  # of `config`
    config: dict[str, Any]  # what the archive's bytes depend on
    data: str  # hash of the lists that name the audio and its speakers
    dim: int
    period: float  # s
    offset: float  # s
    utterances: int
    frames: int
    failed: dict[str, str] = field(default_factory=dict)  # utterances that are not in the archive, and why
    short: dict[str, float] = field(
        default_factory=dict
    )  # utterances that ended before their header says, by how many s

    def to_json(self) -> str:
        """Write as JSON text."""
        record = {"format": FORMAT, "version": VERSION, **asdict(self)}
        return json.dumps(record, indent=1, ensure_ascii=False) + "\n"


def tree_digest(tree: dict[str, Any]) -> str:
    """Hash what an archive depends on to 12 hexadecimal digits."""
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:12]


def read_manifest(data_dir: Path, name: str) -> Manifest | None:
    """Read DATA/NAME.json; None if there is no archive, or none that is whole."""
    path = data_dir / f"{name}.json"
    if not path.exists():
        return None
    again = "run `unitdisc features --force` to make them again"
    with reading(path, f"a description of features, format {FORMAT} {VERSION}", advice=again):
        record = parse_json(path.read_text("utf-8"))
        if (record.pop("format"), record.pop("version")) != (FORMAT, VERSION):
            raise ValueError("another format or version")
        return Manifest(**record)


def layer_archive(layer: int) -> str:
    """Return the name of the archive of one of several layers."""
    return f"layer-{layer}"


def archive_of(data_dir: Path, config: ArchiveConfig) -> str | None:
    """Return the name of the archive that a config's features are read from: of its layer, or feats; None: of none."""
    if (layer := getattr(config, "layer", None)) is not None:
        manifest = read_manifest(data_dir, layer_archive(layer))
        if manifest is not None and manifest.digest == tree_digest(archive_tree(config)):
            return layer_archive(layer)
    return "feats" if read_manifest(data_dir, "feats") is not None else None


def check_manifest(data_dir: Path, config: ArchiveConfig, name: str) -> Manifest:
    """Return what stands beside an archive, if it was made by this config (normalisation aside) of these tables."""
    manifest = read_manifest(data_dir, name)
    if manifest is None:
        raise DataError(f"{data_dir}: no {name}.json, so no features that are whole; run `unitdisc features` first")
    if problem := outdated(manifest, archive_tree(config), data_digest(data_dir)):
        raise DataError(f"{data_dir / f'{name}.json'}: {problem}; run `unitdisc features --force` to make them again")
    return manifest


def outdated(manifest: Manifest, tree: dict[str, Any], digest: str) -> str:
    """Say why an archive is not what a config makes of tables of this digest; empty if it is."""
    if manifest.digest != tree_digest(tree):
        return f"made with another config ({differences(manifest.config, tree)})"
    return "" if manifest.data == digest else "made before wav.scp, segments or utt2spk changed"


def differences(made: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Name the settings in which two configs differ."""
    keys = [key for key in {**wanted, **made} if made.get(key) != wanted.get(key)]
    return ", ".join(f"{key}: {made.get(key)} there, {wanted.get(key)} wanted" for key in keys)
