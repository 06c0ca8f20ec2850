#!/usr/bin/env bash
# The whole way from nothing to a report, on a corpus that the recipe makes itself (README.md).
#
#   ./run.sh                                 everything; a second start does only what is missing or changed
#   ./run.sh --stage train --config conf/waveform.yaml
#   ./run.sh --short true                    the same in two minutes, for a first look and for tests
#
# Options, as --name value or --name=value:

# shellcheck disable=SC2154 # variables made by `option`
set -euo pipefail
cd "$(dirname "$0")"
. ../common/speech.sh

option corpus corpus/full "folder of the corpus"
option minutes 60 "about how much speech to make"
option speakers 33 "of how many speakers"
option corpus_seed 1 "of the corpus"
option short false "true: a small corpus and a short training"

stage_corpus() {
  uses "$minutes" "$speakers" "$corpus_seed" "$(cat local/make_corpus.py local/*.txt local/espeak.py local/channel.py)"
  kept "$corpus/corpus.json" && return
  python3 local/make_corpus.py "$corpus" --minutes "$minutes" --speakers "$speakers" --seed "$corpus_seed" --force
}

stage_data() {
  needs corpus "$corpus/corpus.json" "$corpus/phones.ctm"
  uses "$(cat local/prepare.py)"
  kept "$data"/{train,dev,test}/wav.scp && return
  python3 local/prepare.py "$corpus" "$data"
  unitdisc check "$data"/{train,dev,test}
}

use_short() { # what --short stands for, before other options
  [[ " $* " =~ .*\ --short[=\ ](true|false)\  && ${BASH_REMATCH[1]} == true ]] || return 0 # the last one counts
  # shellcheck disable=SC2034 # for the stages
  corpus=corpus/short data=data/short minutes=8 speakers=10 sentences=8 config=conf/short.yaml
}

use_short "$@"
start_recipe "$@"
[[ " $config " != *short* ]] ||
  echo "  --short is for seeing every stage at work: 100 steps, two test speakers, and scores that mean nothing"
