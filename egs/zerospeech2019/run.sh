#!/usr/bin/env bash
# ZeroSpeech 2019 (TTS without T), which is a track of 2020 too: units of the test files, conversions, submission (README.md).
#
#   ./run.sh --corpus ~/zerospeech2019/english
#   ./run.sh --corpus ~/zerospeech2019/english --list synthesis.txt --items english.item
#   ./run.sh --corpus ~/zerospeech2019/surprise --data data/surprise --language surprise --exp exp/surprise-0
#
# Options, as --name value or --name=value:

# shellcheck disable=SC2154,SC2046 # variables made by `option`; voices are words
set -euo pipefail
cd "$(dirname "$0")"
. ../common/speech.sh

option corpus "" "folder of one language, with train/unit, train/voice and test in it"
option language english "folder of the submission: english or surprise"
option list "" "which test files to convert to which voice; without it, every file to every V... voice"
option items "" "item file of the challenge, to score ABX with"
option alignment "" "phones (CTM) of train and test, where you have them"

stage_corpus() {
  [[ -n $corpus ]] || usage_error "--corpus FOLDER is missing; the data are found from https://zerospeech.com (challenge" \
    "archive, 2019): english is free, surprise needs a licence agreement"
  [[ -d $corpus ]] || usage_error "--corpus: no such folder: $corpus"
}

stage_data() {
  stage_corpus
  uses "$corpus" "$items" "$alignment" "$(cat local/prepare.py)"
  kept "$data"/{train,dev,test}/wav.scp && return
  python3 local/prepare.py "$corpus" "$data" ${items:+--items "$items"} ${alignment:+--alignment "$alignment"}
  unitdisc check "$data"/{train,dev,test}
}

# As in the other recipes, but the challenge says what is spoken by whom, and its folder is made of it.
stage_convert() {
  local voice work=$exp/to-convert
  needs train "$exp/config.yaml"
  needs encode "$exp/units/test/units.jsonl" "$exp/units/test/codes.scp"
  needs data "$data/test/wav.scp" "$data/train/spk2utt"
  uses "$list" "$language" "$(cat local/submission.py)"
  kept "$exp/submission" && return
  rm -rf "$work"
  for voice in $(python3 local/submission.py plan "${list:--}" "$data" "$work"); do
    unitdisc subset "$data/test" "$work/$voice" --utts "$work/$voice.utts"
    job "convert-$voice" unitdisc convert "$exp" "$work/$voice" "$exp/converted/$voice" --to "$voice" --force
  done
  python3 local/submission.py write "$exp" "$exp/converted" "$exp/submission" --language "$language"
}

start_recipe "$@"
