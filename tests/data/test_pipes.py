"""Decode commands are understood, or refused with the word that was not."""

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_data import noise, put_audio, put_tables

from unitdisc.cli import parser
from unitdisc.data.kaldi import DataDir
from unitdisc.data.pipes import Decode, _words, parse_command, replace_path
from unitdisc.errors import DataError


@pytest.mark.parametrize(
    ("command", "decode"),
    [
        ("flac -dc x.flac |", Decode("x.flac")),
        ("flac -c -d -s /a/b c.flac |".replace("b c", "'b c'"), Decode("/a/b c.flac")),
        ("/usr/bin/flac --decode --stdout --silent x.flac|", Decode("x.flac")),
        ("flac -d -c -s x.flac 2>/dev/null |", Decode("x.flac")),
        ("cat x.wav |", Decode("x.wav")),
        ("sph2pipe -f wav x.sph |", Decode("x.sph")),
        ("sph2pipe -f wav -p -c 1 x.sph |", Decode("x.sph", channel=0)),
        ("sph2pipe -p -c 2 -f rif x.sph - |", Decode("x.sph", channel=1)),
        ("sox x.flac -t wav - |", Decode("x.flac")),
        ("sox -t flac x -t wav -r 16k -b 16 -e signed - |", Decode("x", rate=16000)),
        ("sox x.wav -c 1 -t wav - |", Decode("x.wav", "mix")),
        ("sox x.wav -t wav - remix 2 |", Decode("x.wav", 1)),
        ("sox -V1 x.wav -t wav - remix - rate -v 8000 |", Decode("x.wav", "mix", 8000)),
        ("sox x.wav -r 8000 -c 1 -t wav - remix 1 |", Decode("x.wav", 0, 8000)),
        ("ffmpeg -i x.mp3 -f wav - |", Decode("x.mp3")),
        (
            "ffmpeg -v 8 -nostdin -i 'a b.m4a' -f wav -ar 16000 -ac 1 -c:a pcm_s16le pipe:1 |",
            Decode("a b.m4a", "mix", 16000),
        ),
        ("sph2pipe -f wav -p -c 1 x.sph | sox -t wav - -t wav -r 16000 - |", Decode("x.sph", 0, 16000)),
        ("flac -dc x.flac | sox - -t wav -c 1 - |", Decode("x.flac", "mix")),
    ],
)
def test_what_decodes_is_understood(command, decode):
    program = Path(command.split()[0]).name
    assert parse_command(command, "wav.scp:1") == decode._replace(program=program.replace("cat", ""))


@pytest.mark.parametrize(
    ("command", "word"),
    [
        ("rm -rf / |", "'rm'"),
        ("python -c 'print(1)' |", "'python'"),
        ("flac -dc x.flac; touch y |", "';'"),
        ("flac -dc x.flac && touch y |", "'&&'"),
        ("flac -dc x.flac > y |", "'>'"),
        ("flac -dc $(touch y) |", "'$'"),
        ("flac -dc `touch y` |", "'`'"),
        ("flac -dc *.flac |", "'*'"),
        ("flac -dc x\\ y |", r"'\\'"),
        ("flac x.flac |", "flac without -d"),
        ("flac -dc --until=10 x.flac |", "'--until=10'"),
        ("flac -dc x.flac y.flac |", "'x.flac y.flac' where one path is expected"),
        ("flac -dc |", "the lack of a path"),
        ("flac -dc 'x |", "no closing quotation"),
        ("sph2pipe -f raw x.sph |", "'-f raw'"),
        ("sph2pipe -t 1:2 x.sph |", "'-t'"),
        ("sph2pipe x.sph y.wav |", "'y.wav'"),
        ("sox x.wav -t wav - speed 1.1 |", "'speed'"),
        ("sox x.wav -t wav - gain -3 |", "'gain'"),
        ("sox x.wav -t wav - trim 0 1 |", "'trim'"),
        ("sox -v 0.5 x.wav -t wav - |", "'-v'"),
        ("sox x.wav -t raw - |", "'-t raw'"),
        ("sox x.wav -t wav -r 16000.5 - |", "rate '16000.5'"),
        ("sox x.wav -t wav y.wav |", "'y.wav', an output other than '-',"),
        ("sox x.wav -t wav - remix 0 |", "channel '0'"),
        ("sox x.wav -t wav |", "the lack of '-', the output"),
        ("ffmpeg -i x.mp3 -af atempo=2 -f wav - |", "'-af'"),
        ("ffmpeg -i x.mp3 - |", "the lack of -f wav"),
        ("ffmpeg -f wav - |", "the lack of -i"),
        ("ffmpeg -ss 1 -i x.mp3 -f wav - |", "'-ss'"),
        ("ffmpeg -ar 8000 -i x.raw -f wav - |", "'-ar'"),
        ("ffmpeg -i x.mp3 -f wav y.wav |", "'y.wav', an output other than '-',"),
        ("sox - -t wav - |", "'sox' of standard input"),
        ("flac -dc x.flac | sox y.wav -t wav - |", "'sox' of 'y.wav' behind a pipe"),
        ("sph2pipe -c 1 x.sph | sox - -t wav - remix 2 |", "channel 2 of one channel"),
        ("sox x.wav -r 8000 -t wav - | sox - -r 16000 -t wav - |", "rate 16000 after rate 8000"),
        ("flac -dc x.flac | | |", "'| |'"),
    ],
)
def test_what_does_more_is_refused_with_its_reason(command, word):
    with pytest.raises(DataError) as error:
        parse_command(command, "wav.scp:7")
    assert str(error.value) == (
        "wav.scp:7: expected a path or a command that only decodes a file (flac, sph2pipe, sox, ffmpeg), got "
        f"{command!r}, in which {word} is not understood; write the path instead, or use --allow-pipes to run it"
    )


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_understood_or_refused(text):
    try:
        decode = parse_command(f"{text} |", "here")
    except DataError:
        return
    assert decode.path


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("ab.-/ \t|=é\u00a0#~"), max_size=30))
def test_simple_commands_are_split_as_shlex_splits_them(command):
    lexer = shlex.shlex(command, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split, lexer.commenters = True, ""
    assert _words(command) == list(lexer)


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="$`*?\\\0\n\r"), min_size=1, max_size=12)


@settings(max_examples=100, deadline=None)
@given(NAMES.filter(lambda name: not name.startswith("-") and not set(name) <= set("();<>|&")))
def test_a_replaced_path_is_the_path(name):
    command = replace_path("sph2pipe -f wav -c 2 old.sph | sox -t wav - -r 8000 -t wav - |", "old.sph", name)
    assert parse_command(command, "here") == Decode(name, 1, 8000, "sph2pipe")


def test_decode_commands_are_read_without_starting_anything(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", None)
    wave = put_audio(tmp_path / "a b.flac")
    stereo = np.stack([noise(4000, 1), noise(4000, 2)], axis=1)
    import soundfile

    soundfile.write(tmp_path / "s.wav", (stereo * 32768).astype(np.int16), 16000)
    put_tables(
        tmp_path,
        {
            "wav.scp": "a flac -dcs 'a b.flac' |\nb sox s.wav -t wav - remix 2 |\nc sox s.wav -t wav -c 1 - |\n"
            "d ffmpeg -i s.wav -f wav -ar 8000 - |\n",
            "utt2spk": "a a\nb b\nc c\nd d\n",
        },
    )
    data = DataDir.read(tmp_path)
    np.testing.assert_array_equal(data.source("a").load(16000), wave)
    np.testing.assert_array_equal(data.source("b").load(16000), stereo[:, 1])
    np.testing.assert_allclose(data.source("c").load(16000), stereo.mean(axis=1), atol=1e-7)
    assert data.source("d").native_rate() == 8000
    assert data.source("d").samples(16000) == len(data.source("d").load(16000)) == 4000
    there_and_back = data.source("d").load(16000)
    assert np.abs(np.fft.rfft(there_and_back)[1100:]).max() < 0.01 * np.abs(np.fft.rfft(there_and_back)).max()
    np.testing.assert_array_equal(data.source("d").load(16000, 100, 50), there_and_back[100:150])


def test_other_commands_run_only_when_allowed(tmp_path: Path):
    wave = put_audio(tmp_path / "a.wav")
    head = f"a head -c 100000 '{tmp_path}/a.wav' |\n"
    put_tables(tmp_path, {"wav.scp": head + "b false |\n", "utt2spk": "a a\nb b\n"})
    with pytest.raises(DataError, match=r"wav\.scp:1: .*'head' is not understood"):
        DataDir.read(tmp_path)
    data = DataDir.read(tmp_path, allow_pipes=True)
    np.testing.assert_array_equal(data.source("a").load(16000), wave)
    np.testing.assert_array_equal(data.source("a").load(16000, 7, 9), wave[7:16])
    with pytest.raises(DataError, match=r"wav.scp:2: 'false \|' ended with code 1"):
        data.source("b").load(16000)


def verbs_of(top: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Go through all verbs, and the verbs of verbs."""
    nested = [action for action in top._actions if isinstance(action, argparse._SubParsersAction)]
    for verb, below in nested[0].choices.items() if nested else ():
        yield from verbs_of(below, f"{name} {verb}".strip())
    if not nested:
        yield name, top


def test_every_verb_that_reads_a_data_directory_can_allow_pipes():
    reads = {"data", "source", "train", "dev"}
    lacking = [
        name
        for name, verb in verbs_of(parser())
        if reads & {action.dest for action in verb._actions} and "--allow-pipes" not in verb.format_help()
    ]
    assert lacking == ["import"]  # it reads a folder of recordings, which holds no commands


def test_processes_run_what_the_command_allows(tmp_path: Path):
    put_audio(tmp_path / "a.wav")
    put_tables(tmp_path, {"wav.scp": f"a head -c 100000 {tmp_path}/a.wav |\n", "utt2spk": "a a\n"})
    (tmp_path / "c.yaml").write_text("features: {kind: mfcc}\n")
    command = [sys.executable, "-m", "unitdisc", "features", str(tmp_path / "c.yaml"), str(tmp_path), "--jobs", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    refused = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert refused.returncode == 1
    assert "'head' is not understood" in refused.stderr
    allowed = subprocess.run([*command, "--allow-pipes"], capture_output=True, text=True, env=environment)
    assert (allowed.returncode, (tmp_path / "feats.scp").exists()) == (0, True), allowed.stderr
