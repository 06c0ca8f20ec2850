"""ELAN's annotation documents (.eaf): units as a tier, longer units as another, beside the sound that they are of."""

from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from xml.sax.saxutils import quoteattr

from unitdisc.data.kaldi import DataDir
from unitdisc.data.tiers import Rows, tiers_of
from unitdisc.errors import DataError
from unitdisc.files import file_name, whole_file

_SCHEMA = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" ' \
          'xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd"'  # fmt: skip


def write_eaf(
    units: Path, folder: Path, data: DataDir | None = None, longer: Path | None = None, by_recording: bool = False
) -> None:
    """Write one document per utterance, or per sound file; its times count from the start, in milliseconds."""
    # The time of the units, so that the same units give the same document.
    date = datetime.fromtimestamp(int(units.stat().st_mtime), timezone.utc).isoformat()
    for name, utt, tiers in tiers_of(units, longer, data if by_recording else None):
        media = _media(utt, data, by_recording) if data is not None else ""
        with whole_file(folder / eaf_name(name)) as out:
            out.write(_document(tiers, media, date))


def eaf_name(utt: str) -> str:
    """Return the name of an utterance's document."""
    return f"{file_name(utt)}.eaf"


def _document(tiers: Mapping[str, Rows], media: str, date: str) -> str:
    slots: dict[int, str] = {}
    body: list[str] = []
    number = 0
    times = [round(1000 * t) for rows in tiers.values() for a, b, _ in rows for t in (a, b)]
    for time in sorted(set(times)):
        slots[time] = f"ts{len(slots) + 1}"
    for name, rows in tiers.items():
        body.append(f'  <TIER LINGUISTIC_TYPE_REF="units" TIER_ID="{name}">')
        for start, end, unit in rows:
            number += 1
            first, last = slots[round(1000 * start)], slots[round(1000 * end)]
            body.append(
                f'    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{number}" TIME_SLOT_REF1="{first}" '
                f'TIME_SLOT_REF2="{last}"><ANNOTATION_VALUE>{unit}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>'
            )
        body.append("  </TIER>")
    order = [f'    <TIME_SLOT TIME_SLOT_ID="{slot}" TIME_VALUE="{time}"/>' for time, slot in slots.items()]
    return "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>',
            f'<ANNOTATION_DOCUMENT AUTHOR="unitdisc" DATE="{date}" FORMAT="3.0" VERSION="3.0" {_SCHEMA}>',
            f'  <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">{media}</HEADER>',
            "  <TIME_ORDER>",
            *order,
            "  </TIME_ORDER>",
            *body,
            '  <LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="units" TIME_ALIGNABLE="true"/>',
            "</ANNOTATION_DOCUMENT>\n",
        ]
    )


def _media(utt: str, data: DataDir, whole: bool) -> str:
    """Describe the sound of an utterance, which may begin within it unless the document is of the whole."""
    if utt not in data.utt2spk:
        raise DataError(f"{data.path}: does not have utterance {utt!r} of the unit file")
    source = data.source(utt)
    if source.command:
        raise DataError(f"{data.path}: {utt} comes from a command; ELAN opens files only")
    kind = "audio/x-wav" if source.path.suffix.lower() == ".wav" else "audio/*"
    origin = f' TIME_ORIGIN="{round(1000 * source.start)}"' if source.start and not whole else ""
    return f'<MEDIA_DESCRIPTOR MEDIA_URL={quoteattr(source.file().resolve().as_uri())} MIME_TYPE="{kind}"{origin}/>'
