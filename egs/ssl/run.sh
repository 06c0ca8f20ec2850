#!/usr/bin/env bash
# HuBERT and k-means: the usual units of the field, from a model on your disk and a folder of recordings (README.md).
#
#   ./run.sh --model DIR --train RECORDINGS --test RECORDINGS       a plain folder, or a data directory (docs/data.md)
#   ./run.sh --model DIR --train ... --test ... --kind wavlm --layer 6 --codes 200 --stage 3 --stop-stage 4
set -euo pipefail
cd "$(dirname "$0")"

model=         # folder of the model, as transformers writes it, or a file of torchaudio's weights
kind=hubert    # hubert, wav2vec2, wavlm or data2vec
layer=9        # its layer, counted from 1
codes=500      # units
train=         # recordings that are clustered
test=          # recordings that are encoded and scored
alignment=     # phones of the test recordings, a CTM file or a folder of TextGrids; without it, test/phones.ctm if there
centroids=     # centres of somebody else, in place of clustering: .npy or a tensor of torch
exp=           # where to write; without it, exp/KIND-lLAYER-kmCODES
max_dropped=5% # share of the ABX items that may reach over the end of the frames, which is up to 25 ms before that of the recording
jobs=2         # processes
stage=1
stop_stage=7

usage() { echo "run.sh: $*; the options stand at the top of run.sh" >&2; exit 2; }
while [[ $# -gt 0 ]]; do
  [[ $1 == --* ]] || usage "expected an option, got '$1'"
  name=${1#--}
  if [[ $name == *=* ]]; then
    value=${name#*=} name=${name%%=*}
    shift
  else
    [[ $# -gt 1 ]] || usage "--$name needs a value"
    value=$2
    shift 2
  fi
  name=${name//-/_}
  case $name in
    model | kind | layer | codes | train | test | alignment | centroids | exp | jobs | max_dropped | stage | stop_stage)
      printf -v "$name" '%s' "$value" ;;
    *) usage "unknown option --${name//_/-}" ;;
  esac
done
[[ -e $model ]] || usage "--model: no such file or folder: '$model'; nothing is downloaded (README.md says how to fetch one)"
[[ -n $test && (-n $train || -n $centroids) ]] || usage "--train and --test are needed (or --centroids in place of --train)"
exp=${exp:-exp/$kind-l$layer-km$codes}
todo() { [[ $stage -le $1 && $stop_stage -ge $1 ]]; }

if todo 1; then # data directories
  for part in train test; do
    [[ -n ${!part} ]] || continue
    [[ -f ${!part}/wav.scp ]] || unitdisc import "${!part}" "$exp/data/$part"
  done
fi
for part in train test; do
  [[ -z ${!part} || -f ${!part}/wav.scp ]] || printf -v "$part" '%s' "$exp/data/$part"
done

if todo 3; then # units: features are computed on the way and not kept
  if [[ -n $centroids ]]; then
    unitdisc kmeans "--$kind" "$model" --layer "$layer" "$exp" --centroids "$centroids" --renew
  else
    unitdisc kmeans "--$kind" "$model" --layer "$layer" "$exp" --train "$train" --codes "$codes" --jobs "$jobs" --renew
  fi
fi

if todo 4; then
  unitdisc encode "$exp" "$test" "$exp/units/test" --jobs "$jobs" --renew
  [[ -z $train ]] || unitdisc encode "$exp" "$train" "$exp/units/train" --jobs "$jobs" --renew
fi

if todo 5; then
  if [[ -z $alignment && -f $test/phones.ctm ]]; then alignment=$test/phones.ctm; fi
  mkdir -p "$exp/scores"
  unitdisc score bitrate "$exp/units/test" --json >"$exp/scores/bitrate.json"
  if [[ -n $alignment ]]; then
    unitdisc score clusters "$exp/units/test" --alignment "$alignment" --json >"$exp/scores/clusters.json"
    unitdisc items "$test" "$exp/triphone.item" --alignment "$alignment" --unit triphone
    for speaker in within across; do
      unitdisc score abx "$exp/units/test/codes.scp" "$exp/triphone.item" --frame-shift 0.02 --speaker "$speaker" \
        --context within --distance angular --max-dropped "$max_dropped" --json >"$exp/scores/abx-$speaker.json"
    done
  fi
  cat "$exp"/scores/*.json
fi

if todo 7; then
  unitdisc report "$exp" --out "$exp.html"
fi
