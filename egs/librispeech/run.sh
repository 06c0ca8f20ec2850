#!/usr/bin/env bash
# LibriSpeech, or any part of it: units from speech without labels, scored on speakers that were not trained on (README.md).
#
#   ./run.sh --config conf/small.yaml --alignment DIR               fetches mini_librispeech (5 h and 2 h) and runs on it, on a CPU
#   ./run.sh --subsets "train-clean-100 dev-clean"                  other parts
#   ./run.sh --corpus DIR --test-speakers "174 777 1462 2412"       what lies on the disk already
#   ./run.sh --corpus DIR --alignment phones.ctm --ablation true    the rows of the ablation, and a table
#
# Options, as --name value or --name=value:

set -euo pipefail
cd "$(dirname "$0")"

stage=corpus           # first stage to run, by number or name: corpus data features train encode score convert report
stop_stage=report      # last stage to run
corpus=                # folder of LibriSpeech or of subsets of it; without it --subsets are fetched into corpus/
subsets=               # of LibriSpeech (local/subsets.txt); without it all of --corpus, or train-clean-5 and dev-clean-2
test_speakers=         # who is scored on; without it, everybody who is not in a subset train-*
dev_speakers=          # who the training is watched with; without it, every twentieth training utterance
alignment=             # phones: a CTM file or a folder of TextGrids; without it phones.ctm of --corpus, if there is one
items=                 # official triphone item file, in place of one made from the alignment
data=data              # folder of the data directories
config=conf/base.yaml  # what to train
set=                   # changes of the configuration: 'train.steps=500 model.jitter=0'
seed=0                 # of the training
exp=                   # folder of the run; without it exp/<config>-<seed>
jobs=2                 # processes of each job of features, encoding and scores (a number above 0)
nj=1                   # jobs that share features and encoding, on as many machines of a cluster (a number above 0)
processes=1            # processes that train together, one for each GPU (a number above 0)
device=cpu             # of encoding and conversion: cpu, cuda or cuda:N; training takes a GPU where there is one
gpus=0                 # GPUs that a training asks a cluster for; encoding and conversion ask for one with --device cuda
cmd=../common/cmd.sh   # how to run jobs; on a cluster '../common/cmd.sh --backend slurm --mem 8G --time 12:00:00'
max_failed=0.01        # share of the recordings that may fail in features and encoding; they are listed (a share)
downstream=units,mfcc  # columns of the table of scores to train a small ASR on: all, or some; '' for none
baseline=true          # false: score the units alone, without MFCC, LDA and k-means beside them
targets=               # speakers to convert to; without it four of the training set, two women and two men
sentences=40           # utterances to convert
pairs=                 # file of lines 'UTTERANCE TARGET': what to convert to whom, in place of --targets and --sentences
ablation=off           # true: train and score every row of ../common/conf/ablation; or some by name, or of a folder of your own
seeds='0 1 2'          # of the ablation
. ../common/parse_options.sh

if [ "$ablation" != off ]; then # the stages below: the first for all, the others for each row and seed
  default config=conf/ablation.yaml
  exec python3 ../common/ablate.py --rows "$ablation" --seeds "$seeds" --config "$config" --set "$set" \
    --data "$data" --exp "$exp" --from "${OLDPWD:-.}" "$PWD/run.sh" "$@"
fi
exp=${exp:-exp/$(basename "$config" .yaml)-$seed}
launch=(unitdisc) && [ "$processes" = 1 ] || launch=(torchrun --standalone --nproc-per-node "$processes" -m unitdisc)
[ $stage -gt 3 ] || unitdisc config "$config" "${changes[@]}" >/dev/null # what is wrong in it is said before anything is made

if [ $stage -le 0 ] && [ $stop_stage -ge 0 ]; then
  echo "stage 0 (corpus)"
  [ -z "$alignment" ] || [ -e "$alignment" ] ||
    usage_error "--alignment: no such file or folder: $alignment; README.md says where there are published ones"
  [ -z "$corpus" ] || [ -d "$corpus" ] || usage_error "--corpus: no such folder: $corpus"
  [ -n "$corpus" ] || python3 local/fetch.py corpus ${subsets:-train-clean-5 dev-clean-2}
fi
[ -n "$corpus" ] || subsets=${subsets:-train-clean-5 dev-clean-2} corpus=corpus

if [ $stage -le 1 ] && [ $stop_stage -ge 1 ]; then
  echo "stage 1 (data): data directories"
  [ -d "$corpus" ] || die "there is no LibriSpeech: run ./run.sh --stage corpus --stop-stage corpus, or give --corpus"
  [ -n "$alignment" ] || [ ! -s "$corpus/phones.ctm" ] || alignment=$corpus/phones.ctm
  python3 local/prepare.py "$corpus" "$data" ${subsets:+--subsets $subsets} ${items:+--items "$items"} --renew \
    ${alignment:+--alignment "$alignment"} ${test_speakers:+--test-speakers $test_speakers} ${dev_speakers:+--dev-speakers $dev_speakers}
  unitdisc check "$data"/{train,dev,test}
fi

if [ $stage -le 2 ] && [ $stop_stage -ge 2 ]; then
  echo "stage 2 (features)"
  needs data "$data"/{train,dev,test}/wav.scp
  job --nj "$nj" --num-threads "$jobs" "$exp/log/features.log" unitdisc features "$config" "$data"/{train,dev,test} \
    "${changes[@]}" --jobs "$jobs" --max-failed "$max_failed" --renew
fi

if [ $stage -le 3 ] && [ $stop_stage -ge 3 ]; then
  echo "stage 3 (train): tail -f $(whole_path "$exp")/log/train.log"
  needs features "$data"/{train,dev}/feats.scp
  job --num-threads $((processes > 2 ? processes : 2)) --gpu "$gpus" "$exp/log/train.log" "${launch[@]}" train "$config" "$exp" \
    --train "$data/train" --dev "$data/dev" "${changes[@]}" --set "train.seed=$seed" --renew
fi

if [ $stage -le 4 ] && [ $stop_stage -ge 4 ]; then
  echo "stage 4 (encode): units"
  needs train "$exp/config.yaml"
  for part in train test; do
    job --nj "$nj" --num-threads "$jobs" "$exp/log/encode-$part.log" unitdisc encode "$exp" "$data/$part" "$exp/units/$part" \
      --jobs "$jobs" --device "$device" --max-failed "$max_failed" --renew
  done
fi

if [ $stage -le 5 ] && [ $stop_stage -ge 5 ]; then
  echo "stage 5 (score): units beside MFCC, LDA and k-means"
  needs encode "$exp"/units/{train,test}/vectors.scp
  job --num-threads "$jobs" "$exp/log/score.log" unitdisc compare "$exp" --train "$data/train" --test "$data/test" \
    --dev "$data/dev" --downstream "$downstream" $($baseline || echo --no-baselines) --jobs "$jobs" --renew
  sed 's/^/  /' "$exp/compare/table.md"
fi

if [ $stage -le 6 ] && [ $stop_stage -ge 6 ]; then
  echo "stage 6 (convert): utterances in other voices, and how well that went"
  needs train "$exp/config.yaml"
  python3 ../common/pairs.py "$exp" "$data" "$exp/to-convert" --targets "$targets" --sentences "$sentences" \
    ${pairs:+--pairs "$pairs"} --renew
  for part in $(<"$exp/to-convert/parts"); do
    job "$exp/log/convert-$part.log" unitdisc convert "$exp" "$exp/to-convert/$part" "$exp/$part" \
      --pairs "$exp/to-convert/$part.pairs" --device "$device" --renew
  done
  [ -z "$(<"$exp/to-convert/parts")" ] || job --num-threads "$jobs" "$exp/log/score-conversion.log" \
    python3 ../common/conversions.py "$exp" "$data" "$exp/scores/conversion.json" --jobs "$jobs" --renew
fi

if [ $stage -le 7 ] && [ $stop_stage -ge 7 ]; then
  echo "stage 7 (report): $(whole_path "$exp")/report.html"
  needs score "$exp/compare/table.json"
  job "$exp/log/report.log" unitdisc report "$exp" --out "$exp/report.html" --renew
fi
