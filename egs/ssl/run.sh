#!/usr/bin/env bash
# HuBERT and k-means: the usual units of the field, from a model on your disk and a folder of recordings (README.md).
#
#   ./run.sh --model DIR --train RECORDINGS --test RECORDINGS       a plain folder, or a data directory (docs/data.md)
#   ./run.sh --model DIR --train ... --test ... --kind wavlm --layer 6 --codes 200 --stage train --stop-stage encode
#
# Options, as --name value or --name=value:

set -euo pipefail
cd "$(dirname "$0")"

stage=data             # first stage to run, by number or name: data train encode score report
stop_stage=report      # last stage to run
model=                 # folder of the model, as transformers writes it, or a file of torchaudio's weights (a path)
kind=hubert            # hubert, wav2vec2, wavlm or data2vec
layer=9                # its layer (a number above 0)
codes=500              # number of units (a number above 0)
train=                 # recordings that are clustered (a path)
test=                  # recordings that are encoded and scored (a path)
alignment=             # phones of the test recordings, a CTM file or a folder of TextGrids; without it, test/phones.ctm if there
centroids=             # centres of somebody else, in place of clustering: .npy or a tensor of torch (a path)
exp=                   # folder of the run; without it exp/KIND-lLAYER-kmCODES
max_dropped=5%         # share of the ABX items that may reach over the end of the frames, up to 25 ms before that of the sound (a share)
jobs=2                 # processes of each job of clustering and encoding (a number above 0)
nj=1                   # jobs that share the encoding, on as many machines of a cluster (a number above 0)
cmd=../common/cmd.sh   # how to run jobs; on a cluster '../common/cmd.sh --backend slurm --mem 8G --time 12:00:00'
. ../common/parse_options.sh

[[ $kind =~ ^(hubert|wav2vec2|wavlm|data2vec)$ ]] || usage_error "--kind: expected hubert, wav2vec2, wavlm or data2vec, got '$kind'"
[ -n "$model" ] || usage_error "--model is missing; nothing is downloaded (README.md says how to fetch one)"
[ -e "$model" ] || usage_error "--model: no such file or folder: $model; nothing is downloaded (README.md says how to fetch one)"
{ [ -n "$test" ] && [ -n "$train$centroids" ]; } || usage_error "--train and --test are needed (or --centroids in place of --train)"
exp=${exp:-exp/$kind-l$layer-km$codes}

if [ $stage -le 1 ] && [ $stop_stage -ge 1 ]; then
  echo "stage 1 (data): data directories"
  for part in train test; do
    [ -z "${!part}" ] || [ -f "${!part}/wav.scp" ] || unitdisc import "${!part}" "$exp/data/$part" --renew
  done
fi
for part in train test; do
  [ -z "${!part}" ] || [ -f "${!part}/wav.scp" ] || printf -v "$part" %s "$exp/data/$part"
done

if [ $stage -le 3 ] && [ $stop_stage -ge 3 ]; then
  echo "stage 3 (train): units; features are computed on the way and not kept"
  if [ -n "$centroids" ]; then
    job "$exp/log/kmeans.log" unitdisc kmeans "--$kind" "$model" --layer "$layer" "$exp" --centroids "$centroids" --renew
  else
    job --num-threads "$jobs" "$exp/log/kmeans.log" unitdisc kmeans "--$kind" "$model" --layer "$layer" "$exp" \
      --train "$train" --codes "$codes" --jobs "$jobs" --renew
  fi
fi

if [ $stage -le 4 ] && [ $stop_stage -ge 4 ]; then
  echo "stage 4 (encode): units of the recordings"
  for part in test train; do
    [ -z "${!part}" ] || job --nj "$nj" --num-threads "$jobs" "$exp/log/encode-$part.log" \
      unitdisc encode "$exp" "${!part}" "$exp/units/$part" --jobs "$jobs" --renew
  done
fi

if [ $stage -le 5 ] && [ $stop_stage -ge 5 ]; then
  echo "stage 5 (score)"
  needs encode "$exp/units/test/units.jsonl"
  if [ -z "$alignment" ] && [ -f "$test/phones.ctm" ]; then alignment=$test/phones.ctm; fi
  mkdir -p "$exp/scores"
  unitdisc score bitrate "$exp/units/test" --json >"$exp/scores/bitrate.json"
  if [ -n "$alignment" ]; then
    unitdisc score clusters "$exp/units/test" --alignment "$alignment" --json >"$exp/scores/clusters.json"
    unitdisc items "$test" "$exp/triphone.item" --alignment "$alignment" --unit triphone --force
    for speaker in within across; do
      unitdisc score abx "$exp/units/test/vectors.scp" "$exp/triphone.item" --frame-shift 0.02 --speaker "$speaker" \
        --context within --distance angular --max-dropped "$max_dropped" --json >"$exp/scores/abx-$speaker.json"
    done
  fi
  cat "$exp"/scores/*.json
fi

if [ $stage -le 7 ] && [ $stop_stage -ge 7 ]; then
  echo "stage 7 (report): $(whole_path "$exp").html"
  unitdisc report "$exp" --out "$exp.html" --renew
fi
