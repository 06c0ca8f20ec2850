# shellcheck shell=bash disable=SC2154 # variables made by `option`
# What all recipes of speech share, to be sourced: their options, and the stages from features to report. A recipe adds
# stage_corpus and stage_data, which leave $data/train, $data/dev and $data/test with phones.ctm where there are any.

common=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$common/options.sh"
. "$common/stages.sh"

option config conf/base.yaml "what to train"
option exp "" "folder of the run; without it exp/<config>-<seed>"
option data data "folder of the data directories"
option seed 0 "of the training"
option set "" "changes of the configuration: 'train.steps=500 model.jitter=0'"
option jobs 2 "processes for features and encoding"
option processes 1 "processes that train together (GPUs)"
option cmd "$common/cmd.sh" "how to run jobs; on a cluster '$common/cmd.sh --backend slurm --sbatch \"...\"'"
option target "" "speaker to convert to; without it the first of the training set"
option pairs 5 "utterances to convert"

start_recipe() { # the recipe's arguments
  parse_options "$@"
  [[ -s $config ]] || usage_error "--config: no such file: $config"
  exp=${exp:-exp/$(basename "${config%.yaml}")-$seed}
  command -v unitdisc >/dev/null || die "there is no unitdisc on the PATH; 'make demo' in the top folder sets it up"
  run_stages
}

job() { # LOG COMMAND...: one job with its log
  # shellcheck disable=SC2086 # options of cmd are words
  $cmd "$exp/log/$1.log" "${@:2}"
}

stage_features() {
  local split directories=()
  for split in train dev test; do
    needs data "$data/$split/wav.scp" "$data/$split/utt2spk"
    directories+=("$data/$split")
  done
  uses "$(section "$config" model.features model.targets)"
  kept "$data"/{train,dev,test}/feats.scp && return
  job features unitdisc features "$config" "${directories[@]}" --jobs "$jobs" "${force[@]}"
}

stage_train() {
  needs features "$data"/{train,dev}/feats.{scp,json}
  uses "$seed" "$set" "$(section "$config" model train)"
  kept "$exp/config.yaml" && return
  local launch=(unitdisc) change=(--set "train.seed=$seed") word
  for word in $set; do change+=(--set "$word"); done
  ((processes == 1)) || launch=(torchrun --standalone --nproc-per-node "$processes" -m unitdisc)
  # A training goes on by itself; one of other data or another config is set aside, not overwritten.
  if [[ -n ${force[*]} && -d $exp ]]; then
    mv "$exp" "$exp.before-$(date '+%F-%H%M%S')"
    echo "  $exp held another training: set aside as $exp.before-..."
  fi
  job train "${launch[@]}" train "$config" "$exp" --train "$data/train" --dev "$data/dev" "${change[@]}"
}

stage_encode() {
  local split
  needs train "$exp/config.yaml"
  needs features "$data"/{train,test}/feats.scp
  uses "$(cd "$exp" && find . -name '*.pt' -exec stat -c '%n %s %Y' {} + | sort)"
  kept "$exp"/units/{train,test}/units.jsonl && return
  for split in train test; do
    job "encode-$split" unitdisc encode "$exp" "$data/$split" "$exp/units/$split" --jobs "$jobs" "${force[@]}"
  done
}

stage_score() {
  needs encode "$exp"/units/{train,test}/units.jsonl
  needs features "$data/test/feats.scp"
  [[ ! -e $data/test/phones.ctm ]] || needs data "$data/test/phones.ctm"
  kept "$exp/scores" && return
  mkdir -p "$exp/scores"
  if [[ ! -e $data/test/phones.ctm ]]; then
    echo "  $data/test has no phones.ctm: only what needs no labels is scored"
    score units-bitrate bitrate "$exp/units/test/units.jsonl"
    score units-speaker speaker "$exp/units/test/units.jsonl" --data "$data/test"
    return
  fi
  unitdisc items "$data/test" "$exp/scores/triphone.item" --alignment "$data/test/phones.ctm" --force
  score mfcc-abx abx "$data/test/feats.scp" "$exp/scores/triphone.item" --speaker across
  score units-abx abx "$exp/units/test/codes.scp" "$exp/scores/triphone.item" --speaker across
  score units-abx-within abx "$exp/units/test/codes.scp" "$exp/scores/triphone.item" --speaker within
  score units-all all "$exp/units/test" --data "$data/test" --alignment "$data/test/phones.ctm"
}

score() { # NAME SCORE ARGUMENT...: into $exp/scores/NAME.json
  job "score-$1" bash -c "unitdisc score \"\$@\" --json >'$exp/scores/$1.json.part'" score "${@:2}"
  mv "$exp/scores/$1.json.part" "$exp/scores/$1.json"
  echo "  $exp/scores/$1.json"
}

stage_convert() {
  needs train "$exp/config.yaml"
  needs encode "$exp/units/test/units.jsonl"
  needs data "$data/test/utt2spk" "$data/train/spk2utt"
  uses "$target" "$pairs"
  kept "$exp/converted" && return
  unitdisc subset "$data/test" "$exp/to-convert" --random "$pairs"
  job convert unitdisc convert "$exp" "$exp/to-convert" "$exp/converted" \
    --to "${target:-$(head -n 1 "$data/train/spk2utt" | cut -d ' ' -f 1)}" "${force[@]}"
}

stage_report() {
  needs score "$exp"/scores/*.json
  uses "$(find "$exp/converted" -type f 2>/dev/null | sort)"
  kept "$exp/report.html" && return
  job report unitdisc report "$exp" --out "$exp/report.html" "${force[@]}"
  echo "  $PWD/$exp/report.html"
}
