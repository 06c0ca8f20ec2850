#!/usr/bin/env bash
# CIFAR-10: eight codebooks of 128 codes on an 8 x 8 grid, in bits per dimension (README.md).
#
#   ./run.sh --corpus ~/cifar-10-binary.tar.gz --config conf/small.yaml       a first look, on a CPU
#   ./run.sh --corpus download                                               the paper's size; needs a GPU
#   ./run.sh --corpus FOLDER --config conf/small.yaml --ablation true        all rows and seeds, one table
#
# Options, as --name value or --name=value:

set -euo pipefail
cd "$(dirname "$0")"

stage=corpus           # first stage to run, by number or name: corpus data features train encode score convert report
stop_stage=report      # last stage to run
corpus=                # the binary version, or a zip or folder of images split/class/name.jpg; 'download' fetches the former
data=data              # folder of the prepared data
config=conf/base.yaml  # what to train
set=                   # changes of the configuration: 'train.steps=500 model.width=64'
seed=0                 # of the training
exp=                   # folder of the run; without it exp/<config>-<seed>
gpus=0                 # GPUs that a training asks a cluster for
cmd=../common/cmd.sh   # how to run jobs; on a cluster '../common/cmd.sh --backend slurm --sbatch "..."'
ablation=off           # true: train and score every row of ../common/conf/ablation; or some by name, or of a folder of your own
seeds='0 1 2'          # of the ablation
. ../common/parse_options.sh

if [ "$ablation" != off ]; then # the stages below: the first for all, the others for each row and seed
  exec python3 ../common/ablate.py --rows "$ablation" --seeds "$seeds" --config "$config" --set "$set" \
    --data "$data" --exp "$exp" --from "${OLDPWD:-.}" "$PWD/run.sh" "$@"
fi
exp=${exp:-exp/$(basename "$config" .yaml)-$seed}
# What is wrong in the configuration is said before anything is made.
[ $stage -gt 3 ] || python3 local/train.py "$config" "$exp" "$data" "${changes[@]}" --check

url=https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz
if [ $stage -le 1 ]; then # stage 0 (corpus)
  [ -n "$corpus" ] || usage_error "--corpus is missing: where is CIFAR-10? (--corpus download fetches it, 162 MB)"
  if [ "$corpus" = download ]; then
    corpus=corpus/$(basename "$url")
    python3 ../common/download.py "$url" "$corpus" --hash md5:c32a1d4ab5d03f1284b67883e8d87530 # as its page gives it
  fi
  [ -e "$corpus" ] || usage_error "--corpus: no such file or folder: $corpus"
fi

if [ $stage -le 1 ] && [ $stop_stage -ge 1 ]; then
  echo "stage 1 (data): images, which are their own features"
  python3 local/prepare.py "$corpus" "$data" --renew
fi

if [ $stage -le 3 ] && [ $stop_stage -ge 3 ]; then
  echo "stage 3 (train): tail -f $(whole_path "$exp")/log/train.log"
  needs data "$data"/{train,dev}.npy
  job --gpu "$gpus" "$exp/log/train.log" python3 local/train.py "$config" "$exp" "$data" \
    "${changes[@]}" --set "train.seed=$seed" --renew
fi

if [ $stage -le 4 ] && [ $stop_stage -ge 4 ]; then
  echo "stage 4 (encode): units"
  needs train "$exp/config.yaml"
  job "$exp/log/encode.log" python3 local/encode.py "$exp" "$data" "$exp/units" --renew
fi

if [ $stage -le 5 ] && [ $stop_stage -ge 5 ]; then
  echo "stage 5 (score): $exp/log/score.log"
  needs encode "$exp/units/units.jsonl"
  job "$exp/log/score.log" python3 local/score.py "$exp" "$data" "$exp/units" --row "$(basename "$config" .yaml)" --renew
  sed '1,2d; $d; s/^/  /' "$exp/log/score.log"
fi

if [ $stage -le 6 ] && [ $stop_stage -ge 6 ]; then
  echo "stage 6 (convert): what the decoder makes of the units of the test set, $(whole_path "$exp")/reconstructions.png"
  needs train "$exp/config.yaml"
  job "$exp/log/reconstruct.log" python3 local/reconstruct.py "$exp" "$data" "$exp/reconstructions.png" --renew
fi

if [ $stage -le 7 ] && [ $stop_stage -ge 7 ]; then
  echo "stage 7 (report)"
  needs score "$exp/result.json"
  python3 ../common/ablation.py "$exp" --out "$exp/report.md"
fi
