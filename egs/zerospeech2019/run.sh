#!/usr/bin/env bash
# ZeroSpeech 2019 (TTS without T), which is a track of 2020 too: units of the test files, conversions, submission (README.md).
#
#   ./run.sh --corpus ~/zerospeech2019/english
#   ./run.sh --corpus ~/zerospeech2019/english --pairs synthesis.txt --items english.item
#   ./run.sh --corpus ~/zerospeech2019/surprise --data data/surprise --language surprise --exp exp/surprise-0
#
# Options, as --name value or --name=value:

# shellcheck disable=SC2154 # variables made by `option`
set -euo pipefail
cd "$(dirname "$0")"
. ../common/speech.sh

option corpus "" "folder of one language, with train/unit, train/voice and test in it"
option language english "folder of the submission: english or surprise"
option items "" "item file of the challenge, to score ABX with"
option alignment "" "phones (CTM) of train and test, where you have them"

stage_corpus() {
  [[ -n $corpus ]] || usage_error "--corpus FOLDER is missing; the data are found from https://zerospeech.com (challenge" \
    "archive, 2019): english is free, surprise needs a licence agreement"
  [[ -d $corpus ]] || usage_error "--corpus: no such folder: $corpus"
}

stage_data() {
  stage_corpus
  uses "$corpus" "$items" "$alignment" "$(cat local/prepare.py)" "$(listing "$corpus" -name '*.wav')"
  kept "$data"/{train,dev,test}/wav.scp && return
  python3 local/prepare.py "$corpus" "$data" ${items:+--items "$items"} ${alignment:+--alignment "$alignment"}
  unitdisc check "$data"/{train,dev,test}
}

# As in the other recipes, but without --pairs every test file is spoken in every voice, and the folder to submit is made.
stage_convert() {
  needs train "$exp/config.yaml"
  needs encode "$exp"/units/test/{units.jsonl,codes.scp}
  needs data "$data/test/wav.scp" "$data"/train/{wav.scp,spk2utt}
  uses_conversion
  uses "$language" "$(cat local/submission.py)"
  kept "$exp/submission" && return
  if [[ -z $pairs ]]; then
    pairs=$exp/pairs.txt
    python3 local/submission.py pairs "$data" >"$pairs"
  fi
  make_conversions
  rm -rf "$exp/submission"
  python3 local/submission.py write "$exp" "$exp/converted" "$exp/submission" --language "$language"
}

start_recipe "$@"
