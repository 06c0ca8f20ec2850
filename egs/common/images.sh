# shellcheck shell=bash disable=SC2154 # variables made by `option`
# What the recipes of images share, to be sourced: their options, and the stages from features to report. A recipe adds
# stage_corpus, stage_data and stage_features; says by `data_files` of which `data_stage` the training needs, and by
# `encoded` what of encode.py shows that it ended; and has train.py, encode.py, score.py and
# reconstruct.py in local/.

common=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$common/options.sh"
. "$common/stages.sh"
. "$common/jobs.sh"
. "$common/ablation.sh"

option config conf/base.yaml "what to train"
option exp "" "folder of the run; without it exp/<config>-<seed>"
option data data "folder of the prepared data"
option seed 0 "of the training"
option set "" "changes of the configuration: 'train.steps=500 model.width=64'"
option cmd "$common/cmd.sh" "how to run jobs; on a cluster '../common/cmd.sh --backend slurm --sbatch \"...\"'"
option ablation off "true: train and score every row of conf/ablation in ../common; or some by name: 'vanilla all' (all: the row of all three parts)"
option seeds "0 1 2" "of the ablation"

start_recipe() { # the recipe's arguments
  parse_options "$@"
  export PYTHONPATH=$common${PYTHONPATH:+:$PYTHONPATH}
  version=$(python3 -c 'import unitdisc; print(unitdisc.__version__)') ||
    die "unitdisc cannot be imported by python3; after 'make demo' in the top folder: source .venv/bin/activate there"
  read_cmd
  settle_config
  if [[ $ablation == off ]]; then run_stages; else run_ablation "$@"; fi
}

read_config() { # CONFIG [CHANGE...]: whether it is one
  python3 local/train.py "$1" "$exp" "$data" --check ${2:+--set "${@:2}"}
}

write_result() { # score.py has written it
  [[ -s $1/result.json ]] || die "$1/result.json: no such file; run stage score"
}

stage_train() {
  local word
  for word in "${data_files[@]}"; do needs "$data_stage" "$data/$word"; done
  uses "$version" "$seed" "$(section "$config" model train)" "$(cat local/networks.py "$common"/{training,pixels}.py)"
  kept "$exp/config.yaml" && return
  # A training goes on by itself; one of other data or another config is set aside, not overwritten.
  set_aside
  cleared
  job train python3 local/train.py "$config" "$exp" "$data" --set "train.seed=$seed"
}

needs_training() {
  local checkpoints=("$exp"/checkpoints/*.pt)
  needs train "$exp/config.yaml" "${checkpoints[-1]}"
}

stage_encode() {
  needs_training
  uses "$(cat local/encode.py)"
  kept "$exp/units" && return
  job encode python3 local/encode.py "$exp" "$data" "$exp/units"
}

stage_score() {
  needs_training
  needs encode "$exp/units/$encoded"
  uses "$(cat local/score.py)"
  kept "$exp/result.json" && return
  job score python3 local/score.py "$exp" "$data" "$exp/units" --row "$(basename "${config%.yaml}")"
  sed '1,2d; $d; s/^/  /' "$exp/log/score.log"
}

stage_convert() { # what the decoder makes of the units of the test set
  needs_training
  uses "$(cat local/reconstruct.py)"
  kept "$exp/reconstructions.png" && return
  job reconstruct python3 local/reconstruct.py "$exp" "$data" "$exp/reconstructions.png"
  echo "  $PWD/$exp/reconstructions.png"
}

stage_report() {
  needs score "$exp/result.json"
  kept "$exp/report.md" && return
  python3 "$common/ablation.py" table "$exp" --out "$exp/report.md"
}
