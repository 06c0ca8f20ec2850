"use strict";
(() => {
const content = JSON.parse(document.getElementById("content").textContent);
const RATE = 16000, HEIGHT = 96, FFT = 512, WINDOW = 400;
const root = document.documentElement;
let scale = innerWidth > 900 ? 330 : 240; // pixels per second
let playing = null; // {audio, stop, frame}

// What comes from data is only ever set as text or as an attribute's value, never parsed as HTML.
function add(parent, tag, attributes = {}, ...children) {
  const svg = parent instanceof SVGElement || tag === "svg";
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value);
  }
  node.append(...children);
  parent.append(node);
  return node;
}

function bytesOf(sound) {
  const text = atob(sound), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

function urlOf(sound) {
  return URL.createObjectURL(new Blob([bytesOf(sound)], {type: "audio/ogg"}));
}

async function samplesOf(sound) {
  try {
    const context = new OfflineAudioContext(1, 1, RATE);
    return (await context.decodeAudioData(bytesOf(sound).buffer)).getChannelData(0);
  } catch (error) {
    document.getElementById("deaf").hidden = false;
    return null;
  }
}

// Spectrograms

function fft(re, im) { // in place, radix 2
  const n = re.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) { [re[i], re[j]] = [re[j], re[i]]; [im[i], im[j]] = [im[j], im[i]]; }
  }
  for (let size = 2; size <= n; size <<= 1) {
    const half = size >> 1, angle = -2 * Math.PI / size;
    for (let k = 0; k < half; k++) {
      const c = Math.cos(angle * k), s = Math.sin(angle * k);
      for (let i = k; i < n; i += size) {
        const j = i + half, x = re[j] * c - im[j] * s, y = re[j] * s + im[j] * c;
        re[j] = re[i] - x; im[j] = im[i] - y; re[i] += x; im[i] += y;
      }
    }
  }
}

const mel = hz => 1127 * Math.log(1 + hz / 700), hertz = m => 700 * (Math.exp(m / 1127) - 1);

function spectrogram(wave, columns, step, rows, first = 0) { // levels in dB, [columns][rows], low frequencies first
  const bins = Array.from({length: rows + 1}, (_, r) => hertz(mel(8000) * r / rows) * FFT / RATE);
  const taper = Float64Array.from({length: WINDOW}, (_, i) => 0.5 - 0.5 * Math.cos(2 * Math.PI * (i + 0.5) / WINDOW));
  const re = new Float64Array(FFT), im = new Float64Array(FFT), levels = [];
  for (let column = 0; column < columns; column++) {
    const start = Math.round(first + (column + 0.5) * step - WINDOW / 2);
    re.fill(0); im.fill(0);
    for (let i = 0; i < WINDOW; i++) re[i] = taper[i] * (wave[start + i] || 0);
    fft(re, im);
    const power = Float64Array.from({length: FFT / 2 + 1}, (_, i) => re[i] * re[i] + im[i] * im[i]);
    levels.push(Float64Array.from({length: rows}, (_, r) => {
      let most = 0;
      for (let i = Math.floor(bins[r]); i <= Math.ceil(bins[r + 1]) && i <= FFT / 2; i++) most = Math.max(most, power[i]);
      return 10 * Math.log10(most + 1e-10);
    }));
  }
  return levels;
}

function colourOf(name) {
  const text = getComputedStyle(root).getPropertyValue(name).trim();
  return [1, 3, 5].map(i => parseInt(text.slice(i, i + 2), 16));
}

function paint(canvas, levels, rows) {
  const columns = levels.length, paper = colourOf("--panel"), ink = colourOf("--ink");
  canvas.width = Math.max(columns, 1); canvas.height = rows;
  if (!columns) return;
  const image = new ImageData(columns, rows);
  let top = -100;
  for (const column of levels) for (const level of column) top = Math.max(top, level);
  for (let x = 0; x < columns; x++) for (let y = 0; y < rows; y++) {
    const share = Math.min(Math.max((levels[x][rows - 1 - y] - top + 62) / 62, 0), 1) ** 1.4, at = 4 * (y * columns + x);
    for (let c = 0; c < 3; c++) image.data[at + c] = paper[c] + (ink[c] - paper[c]) * share;
    image.data[at + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  canvas.dataset.painted = "true";
}

// Playing: one sound at a time

function halt() {
  if (!playing) return;
  playing.audio.pause();
  cancelAnimationFrame(playing.frame);
  const done = playing.done;
  playing = null;
  done();
}

function play(audio, from, to, moved, done) {
  halt();
  audio.currentTime = from;
  const now = playing = {audio, done, frame: 0};
  const move = () => {
    if (playing !== now) return;
    if (audio.ended || (to !== null && audio.currentTime >= to)) { halt(); return; }
    moved(audio.currentTime);
    now.frame = requestAnimationFrame(move);
  };
  audio.play().then(move, () => { if (playing === now) halt(); });
}

// Utterances

const hues = content.heat.map(heat => heat && new Map(heat.units.map((unit, i) => [unit, 330 * i / heat.units.length])));
const hueOf = (exp, unit) => hues[exp]?.get(unit) ?? (unit * 137.508) % 360;

class Utterance {
  constructor(parent, about) {
    this.about = about;
    this.chosen = 0;
    this.waves = new Map();
    const box = add(parent, "article", {class: "utterance"});
    const title = add(box, "h3", {}, about.utt);
    if (about.speaker) add(title, "span", {class: "soft"}, ` · ${about.speaker}`);
    if (about.text) add(box, "p", {}, about.text);
    const notes = [];
    if (about.cut) notes.push(`the first ${about.seconds} s are shown`);
    if (about.unreadable) notes.push(`cannot be read: ${about.unreadable.join(", ")}`);
    if (about.left_out) notes.push(`left out, to keep the page small: ${about.left_out.join(", ")}`);
    if (!about.tracks.length) notes.push("no sound");
    if (!about.phones.length) notes.push("no phone labels");
    if (notes.length) add(box, "p", {class: "soft"}, `${notes.join("; ")}.`);
    const tracks = add(box, "div", {class: "tracks"});
    this.tracks = about.tracks.map((track, n) => {
      const audio = add(box, "audio", {preload: "auto", src: urlOf(track.sound)});
      const cell = add(tracks, "div", {class: "track"});
      const button = add(cell, "button", {type: "button", "aria-pressed": "false", onclick: () => this.toggle(n)}, `▶ ${track.label}`);
      if (track.figures) add(cell, "span", {class: "soft"}, track.figures);
      return {...track, audio, button};
    });
    if (about.units.length) {
      const files = add(box, "p", {class: "files soft"}, "Save: ");
      add(files, "button", {type: "button", onclick: () => save(`${about.file ?? about.utt}.TextGrid`, "text/plain", textGrid(tiersOf(about)))}, "TextGrid");
      files.append(" ");
      add(files, "button", {type: "button", onclick: () => save(`${about.file ?? about.utt}.eaf`, "application/xml", elan(tiersOf(about)))}, "ELAN");
    }
    this.strip = add(box, "div", {class: "strip", tabindex: "0", "aria-label": `${about.utt} in time`});
    this.draw();
  }

  draw() {
    const {about} = this, width = Math.ceil(about.seconds * scale);
    this.strip.replaceChildren();
    const inner = add(this.strip, "div", {class: "inner"});
    inner.style.width = `${width}px`;
    this.canvas = add(inner, "canvas", {width, height: HEIGHT, onclick: event => this.from(event.offsetX / scale)});
    if (!this.tracks.length) this.canvas.hidden = true;
    if (about.phones.length) {
      const edges = add(inner, "svg", {class: "edges", width, height: HEIGHT, "aria-hidden": "true"});
      if (this.tracks.length) add(edges, "path", {d: about.phones.map(([start]) => `M${start * scale} 0V${HEIGHT}`).join("")});
      add(inner, "span", {class: "rowname"}, "phones");
      this.phones(inner, width);
    }
    for (const row of about.units) {
      add(inner, "span", {class: "rowname"}, (row.longer ? "longer units" : "units") + (content.names.length > 1 ? `: ${content.names[row.exp]}` : ""));
      this.units(inner, width, row);
    }
    this.seconds(inner, width);
    this.cursor = add(inner, "div", {class: "cursor"});
    this.cursor.hidden = !this.tracks.length;
    this.picture();
  }

  async picture() {
    const track = this.tracks[this.chosen];
    if (!track) return;
    if (!this.waves.has(this.chosen)) this.waves.set(this.chosen, await samplesOf(track.sound));
    const wave = this.waves.get(this.chosen);
    if (wave) paint(this.canvas, spectrogram(wave, Math.ceil(this.about.seconds * scale), RATE / scale, HEIGHT), HEIGHT);
  }

  phones(inner, width) {
    const svg = add(inner, "svg", {width, height: 24});
    for (const [start, end, label] of this.about.phones) {
      if (start >= this.about.seconds) break;
      const group = add(svg, "g", {class: label ? "phone" : "phone silence"}), wide = (end - start) * scale;
      add(group, "title", {}, `${label || "silence"} ${start.toFixed(3)} to ${end.toFixed(3)} s`);
      add(group, "rect", {x: start * scale, y: 1, width: wide, height: 22});
      if (wide > 7.5 * label.length + 1) add(group, "text", {x: (start + end) / 2 * scale, y: 16, "text-anchor": "middle"}, label);
    }
  }

  units(inner, width, row) {
    const svg = add(inner, "svg", {width, height: 30});
    let frame = 0;
    row.units.forEach((unit, n) => {
      const x = (row.offset + frame * row.period) * scale, wide = row.durations[n] * row.period * scale;
      frame += row.durations[n];
      if (x >= width) return;
      const group = add(svg, "g", {class: "unit", "data-unit": unit, "data-exp": row.exp, onclick: () => show(row.exp, unit)});
      add(group, "title", {}, `unit ${unit}, ${Math.round(1000 * row.durations[n] * row.period)} ms: click to hear more of it`);
      const rect = add(group, "rect", {x, y: 1, width: wide, height: 28});
      rect.style.fill = `hsl(${hueOf(row.exp, unit)} 60% ${root.classList.contains("dark") ? 30 : 80}%)`;
      if (wide >= 9) add(group, "text", {transform: `translate(${x + wide / 2 + 3} 26) rotate(-90)`}, String(unit));
    });
  }

  seconds(inner, width) {
    const svg = add(inner, "svg", {width, height: 16, "aria-hidden": "true"});
    const step = scale >= 200 ? 0.1 : 0.5;
    for (let n = 0; n * step < this.about.seconds; n++) {
      const whole = Math.abs(n * step - Math.round(n * step)) < 1e-6;
      add(svg, "path", {d: `M${n * step * scale} 0v${whole ? 6 : 3}`, stroke: "currentColor"});
      if (whole) add(svg, "text", {class: "time", x: n * step * scale + 2, y: 14}, `${Math.round(n * step)} s`);
    }
  }

  toggle(n) {
    const track = this.tracks[n];
    if (playing?.audio === track.audio) { halt(); return; }
    this.chosen = n;
    this.picture();
    this.from(0);
  }

  from(time) {
    const track = this.tracks[this.chosen];
    if (!track) return;
    play(track.audio, time, null, now => this.move(now), () => track.button.setAttribute("aria-pressed", "false"));
    track.button.setAttribute("aria-pressed", "true");
  }

  move(time) {
    const x = time * scale, {strip} = this;
    this.cursor.style.left = `${x}px`;
    if (x < strip.scrollLeft || x > strip.scrollLeft + strip.clientWidth - 40) strip.scrollLeft = x - 40;
  }
}

// Examples of a unit

const panel = document.getElementById("examples");
let shown = null; // {exp, unit, audio}

function shut() {
  halt();
  if (shown?.audio) URL.revokeObjectURL(shown.audio.src);
  shown = null;
  panel.hidden = true;
  panel.replaceChildren();
  mark();
}

function mark() {
  for (const group of document.querySelectorAll(".unit.chosen")) group.classList.remove("chosen");
  if (shown) for (const group of document.querySelectorAll(`.unit[data-unit="${shown.unit}"][data-exp="${shown.exp}"]`)) group.classList.add("chosen");
}

function told(exp, unit) {
  const heat = content.heat[exp], column = heat ? heat.units.indexOf(unit) : -1;
  if (column < 0) return "";
  const shares = heat.phones.map((phone, row) => [(heat.shares.charCodeAt(row * heat.units.length + column) - 35) / 90, phone]);
  shares.sort((a, b) => b[0] - a[0]);
  return shares.slice(0, 4).filter(([share]) => share >= 0.02).map(([share, phone]) => `${phone} ${Math.round(100 * share)} %`).join(", ");
}

async function show(exp, unit) {
  shut();
  const found = content.examples[exp]?.[unit];
  shown = {exp, unit, audio: null};
  mark();
  panel.hidden = false;
  const top = add(panel, "div", {class: "top"});
  add(top, "b", {}, `unit ${unit}${content.names.length > 1 ? ` of ${content.names[exp]}` : ""}`);
  const all = found && add(top, "button", {type: "button"}, `▶ all ${found.clips.length}`);
  add(top, "button", {type: "button", "aria-label": "close", onclick: shut}, "✕");
  const phones = told(exp, unit);
  if (phones) add(panel, "div", {class: "soft"}, phones);
  if (!found) {
    add(panel, "p", {}, "There are no examples of this unit on the page: no audio, or no room for it.");
    return;
  }
  const audio = add(panel, "audio", {src: urlOf(found.sound), preload: "auto"});
  shown.audio = audio;
  const grid = add(panel, "div", {class: "clips"});
  const buttons = found.clips.map(clip => {
    const button = add(grid, "button", {type: "button", class: "clip", title: `${clip.utt}, ${clip.at} s, ${clip.speaker}`});
    add(button, "canvas", {width: 1, height: 48});
    add(button, "span", {}, `${clip.phone ? `${clip.phone} · ` : ""}${Math.round(1000 * clip.seconds)} ms`);
    add(button, "span", {class: "soft"}, clip.speaker);
    add(button, "span", {class: "soft"}, `${clip.utt} ${clip.at.toFixed(2)} s`);
    return button;
  });
  const lit = time => found.clips.forEach((clip, n) => buttons[n].classList.toggle("playing", time >= clip.from && time < clip.to));
  buttons.forEach((button, n) => button.addEventListener("click", () => play(audio, found.clips[n].from, found.clips[n].to, lit, () => lit(-1))));
  all.addEventListener("click", () => play(audio, 0, null, lit, () => lit(-1)));
  play(audio, 0, null, lit, () => lit(-1));
  const wave = await samplesOf(found.sound);
  if (wave && shown?.audio === audio) found.clips.forEach((clip, n) => picture(buttons[n].firstChild, wave, clip));
}

function picture(canvas, wave, clip) {
  const columns = 88, step = (clip.to - clip.from) * RATE / columns;
  paint(canvas, spectrogram(wave, columns, step, 48, clip.from * RATE), 48);
  const brush = canvas.getContext("2d");
  brush.fillStyle = getComputedStyle(root).getPropertyValue("--c1");
  for (const time of clip.mark) brush.fillRect((time - clip.from) / (clip.to - clip.from) * columns - 0.5, 0, 1, 48);
}

// Heat maps, lists of units, tables, theme

for (const heat of document.querySelectorAll(".heat")) {
  const exp = Number(heat.dataset.exp), {units} = content.heat[exp], cells = heat.querySelector(".cells");
  const column = heat.querySelector(".column"), text = heat.parentNode.querySelector(".told");
  let at = 0;
  const point = n => {
    at = Math.min(Math.max(n, 0), units.length - 1);
    column.hidden = false;
    column.style.left = `${100 * at / units.length}%`;
    column.style.width = `${100 / units.length}%`;
    text.textContent = `unit ${units[at]}: ${told(exp, units[at])}`;
  };
  const under = event => Math.floor(event.offsetX / cells.clientWidth * units.length);
  cells.addEventListener("pointermove", event => point(under(event)));
  cells.addEventListener("click", event => { point(under(event)); show(exp, units[at]); });
  cells.addEventListener("keydown", event => {
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") { event.preventDefault(); point(at + (event.key === "ArrowLeft" ? -1 : 1)); }
    if (event.key === "Enter") show(exp, units[at]);
  });
}

// Files to take along: made here, of what the page holds

function save(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], {type}));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

const csv = rows => rows.map(row => row.map(cell => {
  // A spreadsheet takes what begins so for a formula.
  const text = typeof cell === "string" && /^[=+\-@\t\r]/.test(cell) ? `'${cell}` : String(cell);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}).join(",")).join("\r\n") + "\r\n";

// Units, and stretches that come back

function sheet(parent, kind, heads) {
  const table = add(add(parent, "div", {class: "scroll rolled", tabindex: "0"}), "table", {class: `scores ${kind}`});
  const row = add(add(table, "thead"), "tr");
  const words = ["unit", "hear", "said most by", "phones", "units"]; // the others hold numbers
  for (const head of heads) add(add(row, "th", {"aria-sort": "none", class: words.includes(head) ? "" : "number"}), "button", {type: "button"}, head);
  return add(table, "tbody");
}

const percent = share => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;

for (const section of document.querySelectorAll(".inventory")) {
  const exp = Number(section.dataset.exp), about = content.inventory[exp];
  if (!about) continue;
  const names = Object.keys(about.shares), phones = content.heat[exp] !== null;
  const mostly = (n, times) => names.map(name => [about.shares[name][n] / Math.max(times, 1), name]).sort((a, b) => b[0] - a[0]).filter(([share]) => share > 0);
  const heads = ["unit", "times", "of the time", "ms", ...(names.length ? ["speakers", "said most by"] : []), ...(phones ? ["phones"] : [])];
  const body = sheet(section, "units", heads);
  about.rows.forEach(([unit, times, frames, seconds, speakers], n) => {
    const row = add(body, "tr");
    const head = add(row, "th", {scope: "row", "data-value": unit});
    add(head, "button", {type: "button", title: "hear it", disabled: "", onclick: () => show(exp, unit)}, String(unit));
    if (content.examples[exp]?.[unit]) head.firstChild.removeAttribute("disabled");
    const number = (value, text) => add(row, "td", {class: "number", "data-value": value}, text);
    number(times, String(times));
    number(frames, percent(frames / Math.max(about.frames, 1)));
    number(seconds, String(Math.round(1000 * seconds)));
    if (names.length) {
      number(speakers, `${speakers} of ${about.speakers}`);
      const most = mostly(n, times);
      add(row, "td", {"data-value": most.length ? most[0][0] : 0}, most.slice(0, 2).map(([share, name]) => `${name} ${percent(share)}`).join(", "));
    }
    if (phones) add(row, "td", {class: "soft"}, told(exp, unit));
  });
  const rows = () => [
    ["unit", "times", "share_of_time", "mean_seconds", ...(names.length ? ["speakers"] : []), ...names.map(name => `share: ${name}`)],
    ...about.rows.map(([unit, times, frames, seconds, speakers], n) => [unit, times, (frames / Math.max(about.frames, 1)).toFixed(6), seconds,
      ...(names.length ? [speakers] : []), ...names.map(name => (about.shares[name][n] / Math.max(times, 1)).toFixed(4))]),
  ];
  add(add(section, "p"), "button", {type: "button", class: "csv", onclick: () => save("units.csv", "text/csv", csv(rows()))}, "units.csv");
}

for (const section of document.querySelectorAll(".words")) {
  const exp = Number(section.dataset.exp), words = content.words[exp];
  if (!words?.length) continue;
  const body = sheet(section, "stretches", ["hear", "times", "utterances", "speakers", "s", "units"]);
  for (const word of words) {
    const row = add(body, "tr"), head = add(row, "th", {scope: "row", "data-value": word.word});
    if (word.sound) {
      const button = add(head, "button", {type: "button", title: word.clips.map(clip => `${clip.utt} ${clip.at} s`).join(", ")}, `▶ ${word.clips.length}`);
      button.addEventListener("click", () => {
        const audio = new Audio(urlOf(word.sound));
        play(audio, 0, null, () => {}, () => URL.revokeObjectURL(audio.src));
      });
    } else head.append(word.word);
    for (const key of ["occurrences", "utterances", "speakers", "seconds"]) add(row, "td", {class: "number", "data-value": word[key]}, word[key]);
    add(row, "td", {class: "stretch"}, word.units);
  }
}

// An utterance as Praat and ELAN read it

function tiersOf(about) {
  const tiers = about.units.map(row => {
    let time = row.offset;
    const name = (row.longer ? "longer units" : "units") + (content.names.length > 1 ? `: ${content.names[row.exp]}` : "");
    return [name, row.units.map((unit, n) => [time, time += row.durations[n] * row.period, String(unit)])];
  });
  return about.phones.length ? [...tiers, ["phones", about.phones]] : tiers;
}

function textGrid(tiers) {
  const end = Math.max(...tiers.map(([, rows]) => rows.length ? rows.at(-1)[1] : 0));
  const quoted = text => `"${text.replaceAll('"', '""')}"`;
  const lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", `xmax = ${end}`, "tiers? <exists>", `size = ${tiers.length}`, "item []:"];
  tiers.forEach(([name, rows], n) => {
    const whole = [];
    let last = 0;
    for (const [start, stop, label] of rows) { // Praat wants no gap
      if (start - last > 1e-6) whole.push([last, start, ""]);
      whole.push([last = Math.max(start, last), stop, label]);
      last = stop;
    }
    if (end - last > 1e-6) whole.push([last, end, ""]);
    lines.push(`    item [${n + 1}]:`, '        class = "IntervalTier"', `        name = ${quoted(name)}`, "        xmin = 0", `        xmax = ${end}`, `        intervals: size = ${whole.length}`);
    whole.forEach(([start, stop, label], i) => lines.push(`        intervals [${i + 1}]:`, `            xmin = ${start}`, `            xmax = ${stop}`, `            text = ${quoted(label)}`));
  });
  return lines.join("\n") + "\n";
}

function elan(tiers) {
  const safe = text => text.replace(/[&<>"]/g, letter => ({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})[letter]);
  const times = [...new Set(tiers.flatMap(([, rows]) => rows.flatMap(([a, b]) => [Math.round(1000 * a), Math.round(1000 * b)])))].sort((a, b) => a - b);
  const slots = new Map(times.map((time, n) => [time, `ts${n + 1}`]));
  let number = 0;
  const body = tiers.map(([name, rows]) => `  <TIER LINGUISTIC_TYPE_REF="units" TIER_ID="${safe(name)}">\n${rows.map(([a, b, label]) =>
    `    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a${++number}" TIME_SLOT_REF1="${slots.get(Math.round(1000 * a))}" TIME_SLOT_REF2="${slots.get(Math.round(1000 * b))}"><ANNOTATION_VALUE>${safe(label)}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>`).join("\n")}\n  </TIER>`);
  const order = times.map(time => `    <TIME_SLOT TIME_SLOT_ID="${slots.get(time)}" TIME_VALUE="${time}"/>`);
  return `<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="unitdisc" DATE="${new Date().toISOString()}" FORMAT="3.0" VERSION="3.0" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">
  <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"></HEADER>
  <TIME_ORDER>
${order.join("\n")}
  </TIME_ORDER>
${body.join("\n")}
  <LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="units" TIME_ALIGNABLE="true"/>
</ANNOTATION_DOCUMENT>
`;
}

for (const button of document.querySelectorAll(".scores thead button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th"), body = head.closest("table").tBodies[0], index = [...head.parentNode.children].indexOf(head);
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of head.parentNode.children) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    const key = row => row.children[index].dataset.value ?? row.children[index].textContent.trim();
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === "" || y === "") return (x === "") - (y === ""); // what has no value stays last
      return sign * (isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y);
    });
    body.append(...rows);
  });
}

const place = document.getElementById("utterances");
const utterances = content.utterances.map(about => new Utterance(place, about));
for (const button of document.querySelectorAll("[data-zoom]")) {
  button.addEventListener("click", () => {
    halt();
    scale = Math.min(Math.max(scale * Number(button.dataset.zoom), 60), 960);
    for (const utterance of utterances) utterance.draw();
    mark();
  });
}

const theme = document.getElementById("theme");
function dress(dark) {
  root.classList.toggle("dark", dark);
  theme.textContent = dark ? "light" : "dark";
  for (const utterance of utterances) utterance.draw();
  mark();
}
theme.addEventListener("click", () => dress(!root.classList.contains("dark")));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", event => dress(event.matches));
if (matchMedia("(prefers-color-scheme: dark)").matches) dress(true);
document.addEventListener("keydown", event => { if (event.key === "Escape") shut(); });
})();
