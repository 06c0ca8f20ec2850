#!/usr/bin/env bash
# LibriSpeech, or any part of it: units from speech without labels, scored on speakers that were not trained on (README.md).
#
#   ./run.sh --config conf/small.yaml --alignment DIR               fetches mini_librispeech (5 h and 2 h) and runs on it, on a CPU
#   ./run.sh --subsets "train-clean-100 dev-clean"                  other parts
#   ./run.sh --corpus DIR --test-speakers "174 777 1462 2412"       what lies on the disk already
#   ./run.sh --corpus DIR --alignment phones.ctm --ablation true    the rows of the ablation, and a table
#
# Options, as --name value or --name=value:

# shellcheck disable=SC2154,SC2086,SC2206 # variables made by `option`; lists are words
set -euo pipefail
cd "$(dirname "$0")"
. ../common/speech.sh

option corpus "" "folder of LibriSpeech or of subsets of it; without it --subsets are fetched into corpus/"
option subsets "train-clean-5 dev-clean-2" "what to fetch from openslr.org (local/subsets.txt) and use; if given, what to use of --corpus, which without it is all"
option test_speakers "" "who is scored on; without it, everybody who is not in a subset train-*"
option dev_speakers "" "who the training is watched with; without it, every twentieth training utterance"
option alignment "" "phones: a CTM file or a folder of TextGrids; without it phones.ctm of --corpus, if there is one"
option items "" "official triphone item file, in place of one made from the alignment"

stage_corpus() {
  local name number checksum
  [[ -z $alignment || -e $alignment ]] || usage_error "--alignment: no such file or folder: $alignment;" \
    "README.md says where there are published ones"
  if [[ -n $corpus ]]; then
    [[ -d $corpus ]] || usage_error "--corpus: no such folder: $corpus"
    return
  fi
  for name in $subsets; do
    read -r number checksum <<<"$(sed -n "s/^$name //p" local/subsets.txt)" || true
    [[ -n $number ]] || usage_error "--subsets: unknown subset '$name'; known are $(cut -d ' ' -f 1 local/subsets.txt | tr '\n' ' ')"
    [[ ! -e corpus/.$name.done ]] || continue
    python3 ../common/download.py "https://www.openslr.org/resources/$number/$name.tar.gz" "corpus/$name.tar.gz" --hash "$checksum"
    tar -xzf "corpus/$name.tar.gz" -C corpus
    rm "corpus/$name.tar.gz"
    touch "corpus/.$name.done"
  done
}

stage_data() {
  local tree=${corpus:-corpus} options=()
  [[ -d $tree ]] || die "$stage_title needs LibriSpeech: run ./run.sh --stage corpus --stop-stage corpus, or give --corpus"
  [[ -n $alignment || ! -s $tree/phones.ctm ]] || alignment=$tree/phones.ctm
  [[ -n $corpus && -z ${option_given[subsets]-} ]] || options+=(--subsets $subsets)
  [[ -z $alignment ]] || options+=(--alignment "$alignment")
  [[ -z $items ]] || options+=(--items "$items")
  [[ -z $test_speakers ]] || options+=(--test-speakers $test_speakers)
  [[ -z $dev_speakers ]] || options+=(--dev-speakers $dev_speakers)
  uses "$tree ${options[*]}" "$(cat local/prepare.py)" "$(listing "$tree" -name '*.trans.txt')"
  [[ -z $alignment ]] || uses "$(stat -Lc '%s %Y' "$alignment")"
  kept "$data"/{train,dev,test}/wav.scp && return
  python3 local/prepare.py "$tree" "$data" "${options[@]}"
  unitdisc check "$data"/{train,dev,test}
}

start_recipe "$@"
