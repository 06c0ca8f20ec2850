#!/usr/bin/env bash
# WSJ: phones through a vector-quantised bottleneck, as in the paper's first experiment, and units without labels (README.md).
#
#   ./run.sh --corpus ~/kaldi/egs/wsj/s5/data --alignment phones.ctm
#   ./run.sh --corpus ~/kaldi/egs/wsj/s5/data --alignment phones.ctm --ablation true
#   ./run.sh --corpus ~/kaldi/egs/wsj/s5/data --config conf/unsupervised.yaml --data data/unsupervised
#
# Options, as --name value or --name=value:

# shellcheck disable=SC2154 # variables made by `option`
set -euo pipefail
cd "$(dirname "$0")"
. ../common/speech.sh

option corpus "" "folder of Kaldi data directories (train_si284, test_dev93, test_eval92), or of the LDC discs"
option alignment "" "phones of all three parts: a CTM file or a folder of TextGrids"

stage_corpus() {
  [[ -n $corpus ]] || usage_error "--corpus WSJ is missing; WSJ is WSJ0 (LDC93S6A or B) and WSJ1 (LDC94S13A or B) of the Linguistic Data Consortium" \
    "(https://catalog.ldc.upenn.edu), which sells it: it cannot be fetched from here"
  [[ -d $corpus ]] || usage_error "--corpus: no such folder: $corpus"
  [[ -n $alignment || $(section "$config" model.weights.ctc) =~ ^(0|0.0|null)$ ]] ||
    usage_error "--alignment is missing: $config learns from phones, and WSJ has none of its own (README.md says how to make them)"
}

stage_data() {
  stage_corpus
  uses "$corpus" "$alignment" "$(cat local/prepare.py)" "$(listing "$corpus" '(' -name wav.scp -o -name '*.dot' -o -name '*.ndx' ')')"
  [[ -z $alignment ]] || uses "$(stat -Lc '%s %Y' "$alignment")"
  kept "$data"/{train,dev,test}/wav.scp && return
  python3 local/prepare.py "$corpus" "$data" ${alignment:+--alignment "$alignment"}
  unitdisc check "$data"/{train,dev,test}
}

start_recipe "$@"
