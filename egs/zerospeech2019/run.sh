#!/usr/bin/env bash
# ZeroSpeech 2019 (TTS without T): units of the test files, conversions, the folder to submit (README.md).
#
#   ./run.sh --corpus ~/zerospeech2019/english
#   ./run.sh --corpus ~/zerospeech2019/english --pairs required_filelist.txt --items english.item
#   ./run.sh --corpus ~/zerospeech2019/surprise --data data/surprise --language surprise --exp exp/surprise-0
#
# Options, as --name value or --name=value:

set -euo pipefail
cd "$(dirname "$0")"

stage=corpus           # first stage to run, by number or name: corpus data features train encode score convert report
stop_stage=report      # last stage to run
corpus=                # folder of one language, with train/unit, train/voice and test in it
language=english       # folder of the submission: english or surprise
layout=2019            # of the submission: 2019, or 2020 for that year's challenge, of which this is a part
items=                 # item file of the challenge, to score ABX with
alignment=             # phones (CTM) of train and test, where you have them
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
  exec python3 ../common/ablate.py --rows "$ablation" --seeds "$seeds" --config "$config" --set "$set" \
    --data "$data" --exp "$exp" --from "${OLDPWD:-.}" "$PWD/run.sh" "$@"
fi
exp=${exp:-exp/$(basename "$config" .yaml)-$seed}
launch=(unitdisc) && [ "$processes" = 1 ] || launch=(torchrun --standalone --nproc-per-node "$processes" -m unitdisc)

[[ $layout =~ ^(2019|2020)$ ]] || usage_error "--layout: expected 2019 or 2020, got '$layout'"

if [ $stage -le 1 ]; then # stage 0 (corpus)
  [ -n "$corpus" ] || usage_error "--corpus FOLDER is missing; the data are found from https://zerospeech.com (challenge" \
    "archive, 2019): english is free, surprise needs a licence agreement"
  [ -d "$corpus" ] || usage_error "--corpus: no such folder: $corpus"
fi
[ $stage -gt 3 ] || unitdisc config "$config" "${changes[@]}" >/dev/null # what is wrong in it is said before anything is made

if [ $stage -le 1 ] && [ $stop_stage -ge 1 ]; then
  echo "stage 1 (data): data directories"
  python3 local/prepare.py "$corpus" "$data" ${items:+--items "$items"} ${alignment:+--alignment "$alignment"} --renew
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
  [ -n "$targets" ] || targets=$(cut -d ' ' -f 1 "$data/train/spk2utt" | sed -n '/^V/p' | paste -sd ' ') # of the challenge
  python3 ../common/pairs.py "$exp" "$data" "$exp/to-convert" --targets "$targets" --sentences "$sentences" \
    ${pairs:+--pairs "$pairs"} --renew
  for part in $(<"$exp/to-convert/parts"); do
    job "$exp/log/convert-$part.log" unitdisc convert "$exp" "$exp/to-convert/$part" "$exp/$part" \
      --pairs "$exp/to-convert/$part.pairs" --device "$device" --renew
  done
  [ -z "$(<"$exp/to-convert/parts")" ] || job --num-threads "$jobs" "$exp/log/score-conversion.log" \
    python3 ../common/conversions.py "$exp" "$data" "$exp/scores/conversion.json" --jobs "$jobs" --renew
  python3 local/submission.py "$exp" "$exp/converted" "$exp/submission" --language "$language" --layout "$layout" --renew
  [ -n "$pairs" ] || echo "  $exp/submission is incomplete: it has a few conversions only; --pairs required_filelist.txt" \
    "(the challenge's list, README.md) makes all that are wanted"
fi

if [ $stage -le 7 ] && [ $stop_stage -ge 7 ]; then
  echo "stage 7 (report): $(whole_path "$exp")/report.html"
  needs score "$exp/compare/table.json"
  job "$exp/log/report.log" unitdisc report "$exp" --out "$exp/report.html" --renew
fi
