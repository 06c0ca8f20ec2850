"""The report in a real browser: quiet, self-contained, audible, usable by mouse, in both themes and on a phone."""

import csv
import io
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import textgrid
from browser import Browser, find_browser
from report_files import EVIL, put_data, put_exp

from unitdisc.evaluate.word_options import WordOptions
from unitdisc.evaluate.words import write_words
from unitdisc.report.html import write_report
from unitdisc.report.options import ReportOptions
from unitdisc.segment import UnitCorpus, segment

pytest.importorskip("jinja2")
PROGRAM = find_browser()
if PROGRAM is None:
    MESSAGE = "no Chromium on the PATH (or in $CHROMIUM): THE REPORT IS NOT TESTED IN A BROWSER; install chromium"
    warnings.warn(MESSAGE, stacklevel=1)
    pytest.skip(MESSAGE, allow_module_level=True)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert PROGRAM is not None
    browser = Browser(PROGRAM, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page on two experiments, one of them with markup in all of its names."""
    root = tmp_path_factory.mktemp("page")
    plain, evil = put_data(root / "data"), put_data(root / "evil", evil=EVIL)
    exps = [put_exp(root / "run-a", plain), put_exp(root / "run-b", evil, evil=EVIL)]
    write_report(exps, root / "r.html", ReportOptions(samples=4, data=None))
    return root / "r.html"


@pytest.fixture
def opened(browser: Browser, page: Path) -> Iterator[Browser]:
    """Open the page; afterwards it must have been quiet, and have asked nobody for anything."""
    browser.complaints.clear()
    browser.requests.clear()
    browser.open(page)
    browser.wait("document.querySelectorAll('.utterance').length === 4")
    yield browser
    assert browser.complaints == []
    assert all(url.startswith(("file://", "data:", "blob:")) for url in browser.requests), browser.requests
    assert {url for url in browser.requests if url.startswith("file:")} == {page.as_uri()}
    assert browser.run("window.hacked === undefined && document.querySelectorAll('img:not(.heat img)').length === 0")


def test_every_sound_decodes_and_plays(opened: Browser):
    assert opened.run("document.querySelectorAll('audio').length") == opened.run(
        "JSON.parse(document.getElementById('content').textContent).utterances.reduce((n, u) => n + u.tracks.length, 0)"
    )
    played = opened.run("""(async () => {
      const times = [];
      for (const audio of document.querySelectorAll('audio')) {
        await audio.play();
        const end = performance.now() + 5000;
        while (audio.currentTime < 0.05 && performance.now() < end) await new Promise(done => setTimeout(done, 10));
        times.push([audio.currentTime, audio.duration, audio.error === null]);
        audio.pause();
      }
      return times;
    })()""")
    assert len(played) > 4
    for time, duration, fine in played:
        assert time >= 0.05
        assert duration == pytest.approx(0.8, abs=0.02)
        assert fine


def test_sounds_have_what_judges_heard_beside_them(opened: Browser):
    said = opened.run("[...document.querySelectorAll('.track')].map(track => track.innerText.replace(/\\s+/g, ' '))")
    assert any("original" in text and "DNSMOS 3.4 · WER 0%" in text for text in said)
    assert any("resynthesis" in text and "DNSMOS 2.9 · WER 25% · nearest voice the target's" in text for text in said)
    opened.run("document.body.style.width = '400px'")
    assert opened.run("[...document.querySelectorAll('.track')].every(track => track.scrollWidth <= 401)")
    opened.run("document.body.style.width = ''")


def test_every_example_decodes(opened: Browser):
    lengths = opened.run("""(async () => {
      const content = JSON.parse(document.getElementById('content').textContent), found = [];
      for (const examples of content.examples) for (const {sound, clips} of Object.values(examples)) {
        const bytes = Uint8Array.from(atob(sound), letter => letter.charCodeAt(0));
        const wave = await new OfflineAudioContext(1, 1, 16000).decodeAudioData(bytes.buffer);
        const samples = wave.getChannelData(0);
        found.push([wave.duration - clips.at(-1).to, Math.max(...samples.map(Math.abs))]);
      }
      return found;
    })()""")
    assert len(lengths) == 16
    for rest, loudest in lengths:
        assert 0 <= rest < 0.3
        assert 0.1 < loudest < 1.0


def test_playing_moves_the_cursor_over_the_picture(opened: Browser):
    opened.run("document.querySelector('.tracks button').click()")
    left = "parseFloat(document.querySelector('.cursor').style.left || 0)"
    opened.wait(f"{left} > 20")
    assert opened.run("document.querySelector('.tracks button').getAttribute('aria-pressed')") == "true"
    opened.wait("document.querySelector('.tracks button').getAttribute('aria-pressed') === 'false'")  # it has ended
    width = opened.run("document.querySelector('.strip canvas').clientWidth")
    assert 0.7 * width < opened.run(left) <= 1.05 * width


def test_a_spectrogram_shows_the_tones(opened: Browser):
    """The made-up utterances are tones of 360 to 900 Hz: the darkest row of each tone's middle must be its own."""
    opened.wait("document.querySelector('.strip canvas').dataset.painted")
    rows = opened.run("""(() => {
      const about = JSON.parse(document.getElementById('content').textContent).utterances[0];
      const {width, height} = document.querySelector('.strip canvas');
      const {data} = document.querySelector('.strip canvas').getContext('2d').getImageData(0, 0, width, height);
      return about.phones.map(([start, end, phone]) => {
        const x = Math.round((start + end) / 2 / about.seconds * width), level = y => data[4 * (y * width + x)];
        let best = 0;
        for (let y = 0; y < height; y++) if (level(y) < level(best)) best = y;
        return [phone[0], height - 1 - best];
      });
    })()""")
    for phone, row in rows:
        mel = 1127 * math.log(1 + 180 * (2 + "ABCD".index(phone)) / 700)
        assert abs(row - 96 * mel / 2840.02) <= 3, (phone, row)


def test_clicking_a_unit_shows_and_plays_its_examples(opened: Browser):
    opened.run("document.querySelector('.unit').dispatchEvent(new MouseEvent('click', {bubbles: true}))")
    unit = opened.run("document.querySelector('.unit').dataset.unit")
    assert opened.run("document.querySelector('#examples b').textContent").startswith(f"unit {unit} of ")
    clips = opened.run("document.querySelectorAll('#examples .clip').length")
    assert 1 <= clips <= 10
    opened.wait("!document.querySelector('#examples audio').paused && document.querySelector('.clip.playing')")
    opened.wait("document.querySelectorAll('.clip canvas')[0].width > 1")  # its spectrogram
    assert opened.run("document.querySelectorAll('.unit.chosen').length") >= 1
    opened.run(f"document.querySelectorAll('.clip')[{clips - 1}].click()")
    opened.wait(f"document.querySelectorAll('.clip')[{clips - 1}].classList.contains('playing')")
    opened.wait("document.querySelector('#examples audio').paused")  # it stops by itself
    opened.run("document.querySelector('#examples [aria-label=close]').click()")
    assert opened.run("document.getElementById('examples').hidden")
    assert opened.run("document.querySelectorAll('.unit.chosen').length") == 0


def test_a_column_of_the_heat_map_tells_and_plays_its_unit(opened: Browser):
    opened.run("""(() => {
      const cells = document.querySelector('.heat .cells');
      cells.scrollIntoView({behavior: 'instant'});
      const box = cells.getBoundingClientRect();
      const place = {bubbles: true, clientX: box.left + 0.4 * box.width, clientY: box.top + 9};
      for (const kind of ['pointermove', 'click']) cells.dispatchEvent(new MouseEvent(kind, place));
    })()""")
    told = opened.run("document.querySelector('.heat').parentNode.querySelector('.told').textContent")
    assert "100 %" in told
    assert opened.run("document.querySelector('#examples b').textContent").split()[1] == told.split()[1].rstrip(":")


def test_tables_sort(opened: Browser):
    column = "[...document.querySelectorAll('#score-table tbody tr')].map(row => row.children[2].dataset.value)"
    button = "document.querySelectorAll('#score-table thead th')[2].querySelector('button').click()"
    opened.run(button)
    rising = [value for value in opened.run(column) if value]
    assert rising == sorted(rising, key=float)
    opened.run(button)
    falling = opened.run(column)
    assert [value for value in falling if value] == rising[::-1]
    assert falling[-1] == "" or all(falling)  # what has no value stays last
    names = "[...document.querySelectorAll('#score-table tbody th')].map(cell => cell.textContent)"
    opened.run("document.querySelector('#score-table thead button').click()")
    assert opened.run(names) == sorted(opened.run(names), key=str.lower)
    assert opened.run("document.querySelector('#score-table th').getAttribute('aria-sort')") == "ascending"


@pytest.mark.parametrize("dark", [False, True])
def test_both_themes_can_be_read(opened: Browser, page: Path, dark: bool):
    opened.open(page, dark=dark)
    contrast = """(() => {
      const light = text => {
        const linear = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
        const [r, g, b] = text.match(/[0-9.]+/g).map(linear);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const style = node => getComputedStyle(document.querySelector(node));
      return ['body', '.soft', 'nav a', 'figcaption'].map(node => {
        const [a, b] = [light(style(node).color), light(style('body').backgroundColor)];
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      });
    })()"""
    assert opened.run("document.documentElement.classList.contains('dark')") is dark
    assert min(opened.run(contrast)) > 4.5
    opened.run("document.getElementById('theme').click()")
    assert opened.run("document.documentElement.classList.contains('dark')") is not dark
    assert min(opened.run(contrast)) > 4.5


@pytest.mark.parametrize("width", [320, 400, 1280])
def test_nothing_overflows(opened: Browser, page: Path, width: int):
    opened.open(page, width=width, height=800)
    assert opened.run("document.documentElement.scrollWidth") <= width
    opened.run("document.querySelector('.unit').dispatchEvent(new MouseEvent('click', {bubbles: true}))")
    box = opened.run("(({left, right}) => [left, right])(document.getElementById('examples').getBoundingClientRect())")
    assert 0 <= box[0] < box[1] <= width
    assert opened.run("document.documentElement.scrollWidth") <= width


def test_zoom_keeps_time(opened: Browser):
    widths = "[...document.querySelectorAll('.strip .inner')].map(inner => inner.clientWidth)"
    before = opened.run(widths)
    opened.run("document.querySelector('[data-zoom=\"2\"]').click()")
    assert opened.run(widths) == pytest.approx([2 * width for width in before], abs=2)


def test_it_prints(opened: Browser):
    data = opened.call("Page.printToPDF", printBackground=True)["data"]
    assert len(data) > 20_000


CAUGHT = """
window.caught = [];
const made = URL.createObjectURL;
HTMLAnchorElement.prototype.click = function () { window.caught.push([this.download, window.blob]); };
URL.createObjectURL = blob => {
  URL.createObjectURL = made;
  blob.text().then(text => window.caught.at(-1).push(text));
  return "blob:x";
};
"""


def saved(browser: Browser, button: str) -> tuple[str, str]:
    """Press a button that saves a file; return the file's name and text."""
    browser.run(f"(() => {{ {CAUGHT} }})()")
    browser.run(f"{button}.click()")
    browser.wait("window.caught.length === 1 && window.caught[0].length === 3")
    name, _, text = browser.run("window.caught[0]")
    return name, text


def test_units_are_a_table_to_sort_and_to_save(opened: Browser):
    rows = "[...document.querySelectorAll('.inventory[data-exp=\"0\"] tbody tr')]"
    assert opened.run(f"{rows}.length") == 8
    opened.run("document.querySelectorAll('.inventory[data-exp=\"0\"] thead button')[1].click()")
    times = opened.run(f"{rows}.map(row => Number(row.children[1].textContent))")
    assert times == sorted(times)
    name, text = saved(opened, "document.querySelector('.inventory[data-exp=\"0\"] .csv')")
    table = list(csv.reader(io.StringIO(text)))
    assert name == "units.csv"
    assert table[0] == ["unit", "times", "share_of_time", "mean_seconds", "speakers", "share: a", "share: b"]
    assert sum(int(row[1]) for row in table[1:]) == sum(times)
    assert sum(float(row[2]) for row in table[1:]) == pytest.approx(1, abs=1e-4)
    assert all(float(row[5]) + float(row[6]) == pytest.approx(1, abs=1e-3) for row in table[1:])
    opened.run("document.querySelector('.inventory[data-exp=\"0\"] tbody button').click()")
    opened.wait("!document.getElementById('examples').hidden")


def test_an_utterance_is_saved_for_praat_and_elan_under_the_name_of_its_sound_file(opened: Browser, tmp_path: Path):
    about = opened.run("JSON.parse(document.getElementById('content').textContent).utterances[0]")
    name, text = saved(opened, "document.querySelectorAll('.files button')[0]")
    assert name == f"{about['file']}.TextGrid"
    (tmp_path / "x.TextGrid").write_text(text, "utf-8")
    grid = textgrid.TextGrid.fromFile(str(tmp_path / "x.TextGrid"))
    units = {tier.name: [mark.mark for mark in tier if mark.mark] for tier in grid.tiers}
    for row, tier in zip(about["units"], grid.tiers, strict=False):
        assert [mark.mark for mark in tier] == [str(unit) for unit in row["units"]]
    assert units["phones"] == [label for _, _, label in about["phones"]]
    name, text = saved(opened, "document.querySelectorAll('.files button')[1]")
    assert name == f"{about['file']}.eaf"
    document = ElementTree.fromstring(text)
    tiers = document.findall("TIER")
    assert [tier.get("TIER_ID") for tier in tiers] == [tier.name for tier in grid.tiers]
    assert [value.text for value in tiers[0].iter("ANNOTATION_VALUE")] == [str(u) for u in about["units"][0]["units"]]


def test_recurring_stretches_are_listed_and_longer_units_drawn(browser: Browser, tmp_path: Path):
    exp = put_exp(tmp_path / "exp", put_data(tmp_path / "data"))
    units = exp / "units" / "test" / "units.jsonl"
    segment(UnitCorpus(units), exp / "longer" / "units.jsonl", rate=8.0)
    write_words(units, exp / "words", {}, WordOptions(2, 6))
    write_report([exp], tmp_path / "r.html")
    browser.complaints.clear()
    browser.open(tmp_path / "r.html", width=400)
    browser.wait("document.querySelectorAll('.words tbody tr').length > 2")
    assert browser.run("document.querySelector('.words tbody button').textContent").startswith("▶ ")
    browser.run("document.querySelector('.words tbody button').click()")
    named = browser.run(
        "[...document.querySelectorAll('.utterance .rowname')].slice(0, 3).map(node => node.textContent)"
    )
    assert named == ["phones", "units", "longer units"]
    assert browser.run("document.documentElement.scrollWidth") <= 400
    assert browser.complaints == []
