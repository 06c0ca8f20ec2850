#!/usr/bin/env bash
# DiscoPhon: units of twelve languages, scored against their phonemes as the benchmark does, and the folder to submit (README.md).
#
#   ./run.sh --corpus ~/discophon                                 a model for each language, of its own 10 hours
#   ./run.sh --corpus ~/discophon --languages 'deu wol' --hours 1h --track one_to_one
#   ./run.sh --corpus ~/discophon --model ../ssl/exp/hubert-l9-km256 --layer 9    one finished model for all languages
#
# Options, as --name value or --name=value:

set -euo pipefail
cd "$(dirname "$0")"

stage=corpus           # first stage to run, by number or name: corpus data features train encode score report
stop_stage=report      # last stage to run
corpus=                # folder of the benchmark, with alignment, audio, item and manifest in it
languages='deu swa tam tha tur ukr cmn eng eus fra jpn wol' # some or all of these: six to develop on, six to test on
hours=10h              # of speech to train on: 10h, 1h or 10min; the leaderboard takes 10h
track=many_to_one      # of the benchmark: many_to_one (up to 256 units) or one_to_one (a unit for each phoneme, and for silence)
model=                 # finished model to take as it is, in place of training: zero-shot (a path)
layer=0                # number of the layer that the units are of, which the submission names; 0 if there is no such thing
abx=true               # false: leave out ABX of the vectors, of which the units are made (many_to_one only)
data=data              # folder of the data directories
config=conf/base.yaml  # what to train
set=                   # changes of the configuration: 'train.steps=500 model.jitter=0'
seed=0                 # of the training
exp=                   # folder of the runs; without it exp/<config or model>-<track>-<hours>-<seed>
submission=exp/submission/unitdisc # folder to submit; its name is that of the system: small letters, digits, hyphens
jobs=2                 # processes of each job of features, encoding and scores (a number above 0)
nj=1                   # jobs that share features and encoding, on as many machines of a cluster (a number above 0)
processes=1            # processes that train together, one for each GPU (a number above 0)
device=cpu             # of encoding: cpu, cuda or cuda:N; training takes a GPU where there is one
gpus=0                 # GPUs that a training asks a cluster for; encoding asks for one with --device cuda
cmd=../common/cmd.sh   # how to run jobs; on a cluster '../common/cmd.sh --backend slurm --mem 8G --time 12:00:00'
. ../common/parse_options.sh

[[ $hours =~ ^(10h|1h|10min)$ ]] || usage_error "--hours: expected 10h, 1h or 10min, got '$hours'"
[[ $track =~ ^(many|one)_to_one$ ]] || usage_error "--track: expected many_to_one or one_to_one, got '$track'"
[ -z "$model" ] || [ -e "$model" ] || usage_error "--model: no such file or folder: $model"
known=$(cut -d ' ' -f 1 local/languages.txt)
splits=(dev test) && [ -n "$model" ] || splits+=("train-$hours")
declare -a dirs
for lang in $languages; do
  grep -qxF -- "$lang" <<<"$known" || usage_error "--languages: '$lang' is none of DiscoPhon's: ${known//$'\n'/ }"
  for split in "${splits[@]}"; do dirs+=("$lang/$split"); done
done
[ -z "$model" ] || hours=0 # as the benchmark calls it
exp=${exp:-exp/$(basename "${model:-$config}" .yaml)-$track-$hours-$seed}
launch=(unitdisc) && [ "$processes" = 1 ] || launch=(torchrun --standalone --nproc-per-node "$processes" -m unitdisc)

if [ $stage -le 1 ]; then # stage 0 (corpus)
  [ -n "$corpus" ] || usage_error "--corpus FOLDER is missing; 'python -m discophon.prepare download FOLDER' fetches it (README.md)"
  [ -d "$corpus" ] || usage_error "--corpus: no such folder: $corpus"
fi
[ $stage -gt 3 ] || unitdisc config "$config" "${changes[@]}" >/dev/null # what is wrong in it is said before anything is made

if [ $stage -le 1 ] && [ $stop_stage -ge 1 ]; then
  echo "stage 1 (data): a data directory for each split of each language"
  for dir in "${dirs[@]}"; do python3 local/prepare.py "$corpus" "$data/$dir" --renew; done
  unitdisc check "${dirs[@]/#/"$data/"}"
fi

if [ $stage -le 2 ] && [ $stop_stage -ge 2 ] && [ -z "$model" ]; then
  echo "stage 2 (features)"
  for dir in "${dirs[@]}"; do needs data "$data/$dir/wav.scp"; done
  job --nj "$nj" --num-threads "$jobs" "$exp/log/features.log" unitdisc features "$config" "${dirs[@]/#/"$data/"}" "${changes[@]}" \
    --jobs "$jobs" --renew
fi

if [ $stage -le 3 ] && [ $stop_stage -ge 3 ] && [ -z "$model" ]; then
  for lang in $languages; do
    echo "stage 3 (train), $lang: tail -f $(whole_path "$exp")/$lang/log/train.log"
    needs features "$data/$lang"/{train-"$hours",dev}/feats.scp
    codes=$(awk -v lang="$lang" '$1 == lang { print $2 + 1 }' local/languages.txt) # of one_to_one: phonemes and silence
    own=("${changes[@]}") && [ "$track" = many_to_one ] || own+=(--set "model.quantizer.codes=$codes")
    job --num-threads $((processes > 2 ? processes : 2)) --gpu "$gpus" "$exp/$lang/log/train.log" "${launch[@]}" train \
      "$config" "$exp/$lang" --train "$data/$lang/train-$hours" --dev "$data/$lang/dev" "${own[@]}" \
      --set "train.seed=$seed" --renew
  done
fi

if [ $stage -le 4 ] && [ $stop_stage -ge 4 ]; then
  echo "stage 4 (encode): units of all that is scored"
  for lang in $languages; do
    [ -n "$model" ] || needs train "$exp/$lang/config.yaml"
    for split in dev test; do
      job --nj "$nj" --num-threads "$jobs" "$exp/$lang/log/encode-$split.log" unitdisc encode "${model:-$exp/$lang}" \
        "$data/$lang/$split" "$exp/$lang/units/$split" --projection --jobs "$jobs" --device "$device" --max-failed 0 --renew
    done
  done
fi

if [ $stage -le 5 ] && [ $stop_stage -ge 5 ]; then
  echo "stage 5 (score)"
  for lang in $languages; do
    for split in dev test; do
      units=$exp/$lang/units/$split scores=$exp/$lang/scores
      needs encode "$units/units.jsonl"
      job "$exp/$lang/log/score-$split.log" unitdisc score discophon "$units" --alignment "$data/$lang/$split/alignment.txt" \
        --mapping "${track//_/-}" --out "$scores/discophon-$split.json" --renew
      [ "$abx-$track" = true-many_to_one ] || continue
      for speaker in within across; do
        job --num-threads "$jobs" "$exp/$lang/log/abx-$speaker-$split.log" unitdisc score abx "$units/projection.scp" \
          "$data/$lang/$split/triphone.item" --speaker "$speaker" --max-group none --jobs "$jobs" \
          --out "$scores/abx-$speaker-$split.json" --renew
      done
    done
  done
fi

if [ $stage -le 7 ] && [ $stop_stage -ge 7 ]; then
  echo "stage 7 (report): $(whole_path "$exp")/table.md, a page for each language, and what to submit in $(whole_path "$submission")"
  python3 local/submission.py "$exp" "$data" "$submission" --languages "$languages" --track "$track" --hours "$hours" --layer "$layer"
  sed 's/^/  /' "$exp/table.md"
  for lang in $languages; do
    shown=("$exp/$lang") && [ -z "$model" ] || shown=(--units "$exp/$lang/units/test/units.jsonl" --data "$data/$lang/test")
    job "$exp/$lang/log/report.log" unitdisc report "${shown[@]}" --out "$exp/$lang/report.html" --renew
  done
fi
