"""The page: everything in one file that opens from the disk, asks nobody for anything, and runs no foreign script."""

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from unitdisc import __version__
from unitdisc.errors import ConfigError, DataError
from unitdisc.evaluate.definitions import glossary
from unitdisc.files import whole_file
from unitdisc.report.collect import Experiment, collect
from unitdisc.report.options import ReportOptions

TEMPLATES = Path(__file__).parent / "templates"
HEAT = ("units", "phones", "shares")  # what the script needs of a heat map
UTTERANCES_SHARE = 0.5  # of what is left for sound
WORDS_SHARE = 0.2  # of what is left then; examples of units get the rest


def write_report(
    exps: Sequence[str | Path],
    out: str | Path,
    options: ReportOptions | None = None,
    *,
    units: Sequence[str | Path] = (),
    force: bool = False,
    progress: Callable[[str], None] = lambda what: None,
) -> int:
    """Write the report on experiments, or on foreign unit files, to one HTML file; return its size in bytes."""
    out, options = Path(out), options or ReportOptions()
    check_installed()
    if out.exists() and not force:
        raise DataError(f"{out}: is there already; --force replaces it")
    page = render(collect(exps, units, options), options, progress).encode()
    if len(page) > options.max_mb * 1e6:
        raise ConfigError(
            f"{out}: the page needs {len(page) / 1e6:.1f} MB even without sound, more than --max-mb {options.max_mb:g}"
        )
    with whole_file(out, binary=True) as file:
        file.write(page)
    return len(page)


def check_installed() -> None:
    """Complain, in one line, if what only reports need is not installed."""
    try:
        import jinja2  # noqa: F401
    except ImportError:
        raise ConfigError("a report needs jinja2, which is not installed; pip install 'unitdisc[report]'") from None


def render(exps: Sequence[Experiment], options: ReportOptions, progress: Callable[[str], None]) -> str:
    """Return the page's text."""
    import jinja2

    from unitdisc.report.facts import gather
    from unitdisc.report.inventory import inventory, words
    from unitdisc.report.listen import choose_utterances, unit_examples, utterances
    from unitdisc.report.sections import experiment_section, learning_curves
    from unitdisc.report.sounds import Budget
    from unitdisc.report.tables import data_card, differences, model_card, score_rows

    facts = [gather(exp, options.examples) if exp.units is not None else None for exp in exps]
    progress("units read")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    script = (TEMPLATES / "page.js").read_text("utf-8")
    rows = score_rows(exps)
    content: dict[str, Any] = {
        "version": __version__,
        "exps": exps,
        "sections": [experiment_section(exp, fact, n) for n, (exp, fact) in enumerate(zip(exps, facts, strict=True))],
        "curves": learning_curves(exps),
        "rows": rows,
        "glossary": glossary(row.definition for row in rows),
        "differences": differences(exps),
        "data_cards": [data_card(exp, fact) for exp, fact in zip(exps, facts, strict=True)],
        "model_cards": [model_card(exp) for exp in exps],
        "style": (TEMPLATES / "page.css").read_text("utf-8"),
        "script": script,
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }
    heats = [section.heat and {key: section.heat[key] for key in HEAT} for section in content["sections"]]
    names = [exp.name for exp in exps]
    data: dict[str, Any] = {"names": names, "heat": heats, "utterances": [], "examples": [{} for _ in exps]}
    data["inventory"] = [
        inventory(exp, fact) if fact is not None else None for exp, fact in zip(exps, facts, strict=True)
    ]
    data["words"] = [[] for _ in exps]

    def page(**about: Any) -> str:
        return environment.get_template("page.html").render(**content, **about, data=script_json(data))

    silent: dict[str, Any] = {"shown": 0, "total": 0, "heard": [0 for _ in exps], "options": options}
    left = options.max_mb * 1e6 * 0.97 - len(page(**silent).encode())
    budget = Budget(left * UTTERANCES_SHARE)
    utts = choose_utterances(exps, facts, options.samples, options.seed)
    data["utterances"] = utterances(exps, utts, budget)
    progress("utterances chosen")
    left -= len(script_json(data["utterances"]))
    data["words"] = [words(exp, Budget(left * WORDS_SHARE / len(exps))) for exp in exps]
    left -= len(script_json(data["words"]))
    for n, (exp, fact) in enumerate(zip(exps, facts, strict=True)):
        if fact is not None:
            data["examples"][n] = unit_examples(exp, fact, Budget(left / (len(exps) - n)))
            left -= len(script_json(data["examples"][n]))
        progress(f"examples of units: {exp.name}")
    total = max((fact.utterances for fact in facts if fact is not None), default=0)
    heard = [len(examples) for examples in data["examples"]]
    return page(shown=len(utts), total=total, heard=heard, options=options)


def script_json(value: Any) -> str:
    """Return JSON that can stand inside a script element: nothing in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text
