#!/usr/bin/env bash
# CIFAR-10: eight codebooks of 128 codes on an 8 x 8 grid, in bits per dimension (README.md).
#
#   ./run.sh --corpus ~/cifar-10-binary.tar.gz --config conf/small.yaml       a first look, on a CPU
#   ./run.sh --corpus download                                               the paper's size; needs a GPU
#   ./run.sh --corpus FOLDER --config conf/small.yaml --ablation true        all rows and seeds, one table
#
# Options, as --name value or --name=value:

# shellcheck disable=SC2034,SC2154 # variables for the stages, and those made by `option`
set -euo pipefail
cd "$(dirname "$0")"
. ../common/images.sh

option corpus "" "the binary version, or a zip or folder of images split/class/name.jpg; 'download' fetches the former"

url=https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz
hash=md5:c32a1d4ab5d03f1284b67883e8d87530 # as its page gives it
data_files=({train,dev,test}.npy) data_stage=data encoded=units.jsonl

stage_corpus() {
  [[ -n $corpus ]] || usage_error "--corpus is missing: where is CIFAR-10? (--corpus download fetches it, 162 MB)"
  if [[ $corpus == download ]]; then
    corpus=corpus/$(basename "$url")
    python3 ../common/download.py "$url" "$corpus" --hash "$hash"
  fi
  [[ -e $corpus ]] || usage_error "--corpus: no such file or folder: $corpus"
}

stage_data() {
  stage_corpus
  uses "$corpus $(stat -Lc '%s %Y' "$corpus")" "$(cat local/prepare.py local/pictures.py)"
  kept "$data"/{train,dev,test}.npy && return
  python3 local/prepare.py "$corpus" "$data"
}

stage_features() {
  needs data "$data"/{train,dev,test}.npy # the images are their own features
}

start_recipe "$@"
