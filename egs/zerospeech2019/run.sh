#!/usr/bin/env bash
# ZeroSpeech 2019 (TTS without T): units of the test files, conversions, the folder to submit (README.md).
#
#   ./run.sh --corpus ~/zerospeech2019/english
#   ./run.sh --corpus ~/zerospeech2019/english --pairs required_filelist.txt --items english.item
#   ./run.sh --corpus ~/zerospeech2019/surprise --data data/surprise --language surprise --exp exp/surprise-0
#
# Options, as --name value or --name=value:

# shellcheck disable=SC2154 # variables made by `option`
set -euo pipefail
cd "$(dirname "$0")"
. ../common/speech.sh

option corpus "" "folder of one language, with train/unit, train/voice and test in it"
option language english "folder of the submission: english or surprise"
option layout 2019 "of the submission: 2019, or 2020 for that year's challenge, of which this is a part"
option items "" "item file of the challenge, to score ABX with"
option alignment "" "phones (CTM) of train and test, where you have them"

check_layout() {
  [[ $layout == 2019 || $layout == 2020 ]] || usage_error "--layout: expected 2019 or 2020, got '$layout'"
}

stage_corpus() {
  check_layout
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

# As in the other recipes, but to the voices of the challenge, and the folder to submit is made of it.
stage_convert() {
  check_layout
  needs train "$exp/config.yaml"
  needs encode "$exp"/units/test/{units.jsonl,codes.scp}
  needs data "$data/test/wav.scp" "$data"/train/{wav.scp,spk2utt}
  [[ -n $targets ]] || targets=$(cut -d ' ' -f 1 "$data/train/spk2utt" | sed -n '/^V/p' | paste -sd ' ')
  uses_conversion
  uses "$language" "$layout" "$(cat local/submission.py)"
  kept "$exp/submission" && return
  make_conversions
  rm -rf "$exp/submission"
  python3 local/submission.py "$exp" "$exp/converted" "$exp/submission" --language "$language" --layout "$layout"
  [[ -n $pairs ]] || echo "  $exp/submission is incomplete: it has a few conversions only; --pairs required_filelist.txt" \
    "(the challenge's list, README.md) makes all that are wanted"
}

start_recipe "$@"
