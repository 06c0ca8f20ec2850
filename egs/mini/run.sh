#!/usr/bin/env bash
# The whole way from nothing to a report, on a corpus that the recipe makes itself (README.md).
#
#   ./run.sh                                 everything; a second start does only what is missing or changed
#   ./run.sh --stage train --config conf/waveform.yaml
#   ./run.sh --short true                    the same in two minutes, for a first look and for tests
#
# Options, as --name value or --name=value:

set -euo pipefail
cd "$(dirname "$0")"

stage=corpus           # first stage to run, by number or name: corpus data features train encode score convert report
stop_stage=report      # last stage to run
corpus=corpus/full     # folder of the corpus
minutes=60             # about how much speech to make
speakers=33            # of how many speakers
corpus_seed=1          # of the corpus
short=false            # true: a small corpus and a short training
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
downstream=            # columns of the table of scores to train a small ASR on: all, or some (units,mfcc); '' for none
baseline=true          # false: score the units alone, without MFCC, LDA and k-means beside them
targets=               # speakers to convert to; without it four of the training set, two women and two men
sentences=16           # utterances to convert
judges=                # who is asked about them: all, or some of words,phones,voice,quality,pitch; '' for none
pairs=                 # file of lines 'UTTERANCE TARGET': what to convert to whom, in place of --targets and --sentences
ablation=off           # true: train and score every row of ../common/conf/ablation; or some by name, or of a folder of your own
seeds='0 1 2'          # of the ablation
. ../common/parse_options.sh

[ "$ablation" = off ] || default config=conf/ablation.yaml
! $short || default corpus=corpus/short data=data/short minutes=8 speakers=10 sentences=8 config=conf/short.yaml
if [ "$ablation" != off ]; then # the stages below: the first for all, the others for each row and seed
  exec python3 ../common/ablate.py --rows "$ablation" --seeds "$seeds" --config "$config" --set "$set" \
    --data "$data" --exp "$exp" --from "${OLDPWD:-.}" "$PWD/run.sh" "$@"
fi
exp=${exp:-exp/$(basename "$config" .yaml)-$seed}
launch=(unitdisc) && [ "$processes" = 1 ] || launch=(torchrun --standalone --nproc-per-node "$processes" -m unitdisc)
[ $stage -gt 3 ] || unitdisc config "$config" "${changes[@]}" >/dev/null # what is wrong in it is said before anything is made

if [ $stage -le 0 ] && [ $stop_stage -ge 0 ]; then
  echo "stage 0 (corpus): speech of eSpeak NG"
  python3 local/make_corpus.py "$corpus" --minutes "$minutes" --speakers "$speakers" --seed "$corpus_seed" --renew
fi

if [ $stage -le 1 ] && [ $stop_stage -ge 1 ]; then
  echo "stage 1 (data): data directories"
  needs corpus "$corpus/corpus.json"
  python3 local/prepare.py "$corpus" "$data" --renew
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
    python3 ../common/conversions.py "$exp" "$data" "$exp/scores/conversion.json" --jobs "$jobs" --judges "$judges" --renew
fi

if [ $stage -le 7 ] && [ $stop_stage -ge 7 ]; then
  echo "stage 7 (report): $(whole_path "$exp")/report.html"
  needs score "$exp/compare/table.json"
  job "$exp/log/report.log" unitdisc report "$exp" --out "$exp/report.html" --renew
fi
! $short || echo "--short is for seeing every stage at work: 100 steps, two test speakers, scores that mean nothing"
