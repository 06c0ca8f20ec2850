#!/usr/bin/env bash
# ScribbleLens: tokens of lines of handwriting, one for each four columns (README.md).
#
#   ./run.sh --corpus rendered --config conf/small.yaml        on lines rendered from fonts: runs anywhere
#   ./run.sh --corpus ~/scribblelens.corpus.v1.2.zip           the paper's size; needs a GPU
#   ./run.sh --corpus rendered --config conf/small.yaml --ablation true
#
# Options, as --name value or --name=value:

# shellcheck disable=SC2034,SC2154 # variables for the stages, and those made by `option`
set -euo pipefail
cd "$(dirname "$0")"
. ../common/images.sh

option corpus "" "ScribbleLens (zip or folder), a folder with lines.tsv, or 'rendered'"
option lines 1000 "to render"
option hands 12 "to render"
option corpus_seed 1 "of the rendered corpus"

data_files=({train,dev}/lines.npz) data_stage=features encoded=test/codes.scp

stage_corpus() {
  [[ -n $corpus ]] || usage_error "--corpus is missing. ScribbleLens (Dutch manuscripts of the 17th to 19th century) is" \
    "at https://www.openslr.org/84 (take scribblelens.corpus.v1.2.zip), with its terms of use; --corpus rendered makes" \
    "lines of fonts instead"
  if [[ $corpus == rendered ]]; then
    rendered=corpus/rendered
    uses "$lines" "$hands" "$corpus_seed" "$(cat local/render.py ../mini/local/sentences.txt)"
    kept "$rendered/corpus.json" && return
    rm -rf "$rendered"
    python3 local/render.py "$rendered" --lines "$lines" --hands "$hands" --seed "$corpus_seed"
  elif [[ ! -e $corpus ]]; then
    usage_error "--corpus: no such file or folder: $corpus"
  fi
}

stage_data() {
  local from=$corpus
  if [[ $corpus == rendered ]]; then
    from=corpus/rendered
    needs corpus "$from"/{corpus.json,lines.tsv,chars.ctm}
  else
    stage_corpus
    uses "$corpus $(stat -Lc '%s %Y' "$corpus")"
  fi
  uses "$(cat local/{prepare,places}.py)"
  kept "$data"/{train,dev,test}/images.scp && return
  python3 local/prepare.py "$from" "$data"
}

stage_features() {
  needs data "$data"/{train,dev,test}/images.scp
  [[ ! -s corpus/rendered/corpus.json || $corpus != rendered ]] || needs corpus corpus/rendered/corpus.json
  uses "$(cat local/lines.py)"
  kept "$data"/{train,dev,test}/lines.npz && return
  python3 local/store.py "$data"/{train,dev,test}
}

start_recipe "$@"
