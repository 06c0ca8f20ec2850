#!/usr/bin/env bash
# TIMIT: units without labels, and phones through a vector-quantised bottleneck with them (README.md).
#
#   ./run.sh --corpus ~/TIMIT                                                        units from speech alone
#   ./run.sh --corpus ~/TIMIT --config conf/supervised.yaml --data data/supervised   phones by CTC through 2048 codes
#   ./run.sh --corpus ~/TIMIT --ablation true                                        the rows of the ablation, and a table
#
# Options, as --name value or --name=value:

# shellcheck disable=SC2154 # variables made by `option`
set -euo pipefail
cd "$(dirname "$0")"
. ../common/speech.sh

option corpus "" "folder of TIMIT, with TRAIN and TEST in it (in either case)"
option test core "core: the 24 speakers of the core test; full: all 168 of the test part"
option phones 39 "39 (folded) or 61"

stage_corpus() {
  [[ -n $corpus ]] || usage_error "--corpus TIMIT is missing; TIMIT is LDC93S1 of the Linguistic Data Consortium" \
    "(https://catalog.ldc.upenn.edu/LDC93S1), which sells it: it cannot be fetched from here"
  [[ -d $corpus ]] || usage_error "--corpus: no such folder: $corpus"
  [[ -n $(find -L "$corpus" -maxdepth 3 -type d -iname train -print -quit) ]] ||
    usage_error "--corpus: no folder TRAIN in $corpus (nor two folders down); is this TIMIT?"
}

stage_data() {
  stage_corpus
  uses "$corpus" "$test" "$phones" "$(cat local/prepare.py local/phones.txt)" "$(listing "$corpus" -iname '*.phn')"
  kept "$data"/{train,dev,test}/wav.scp && return
  python3 local/prepare.py "$corpus" "$data" --test "$test" --phones "$phones"
  unitdisc check "$data"/{train,dev,test}
}

start_recipe "$@"
