# shellcheck shell=bash disable=SC2154 # variables made by `option`
# What all recipes of speech share, to be sourced: their options, and the stages from features to report. A recipe adds
# stage_corpus and stage_data, which leave $data/train, $data/dev and $data/test with phones.ctm where there are any.

common=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$common/options.sh"
. "$common/stages.sh"
. "$common/jobs.sh"
. "$common/scores.sh"
. "$common/convert.sh"

option config conf/base.yaml "what to train"
option exp "" "folder of the run; without it exp/<config>-<seed>"
option data data "folder of the data directories"
option seed 0 "of the training"
option set "" "changes of the configuration: 'train.steps=500 model.jitter=0'"
option jobs 2 "processes for features and encoding, scores at once" "a number above 0"
option processes 1 "processes that train together (GPUs)" "a number above 0"
option device cpu "of encoding and conversion: cpu, cuda or cuda:N; training takes a GPU where there is one"
option max_failed 0.01 "share of the recordings that may fail in features and encoding; they are listed" "a share"
option gpus 0 "GPUs that a training asks a cluster for (and, with --device cuda, encoding and conversion: one)" "a number"
option cmd "$common/cmd.sh" "how to run jobs; on a cluster '../common/cmd.sh --backend slurm --mem 8G --time 12:00:00', or Kaldi's own slurm.pl"
option ablation off "true: train and score every row of conf/ablation in ../common, laid over conf/ablation.yaml; or some by name: 'vanilla all' (all: the row of all three parts)"
option seeds "0 1 2" "of the ablation"

encoded=(train test) # the parts that get units
data_files=({train,dev,test}/{feats.scp,feats.json,phones.ctm}) # what all rows of an ablation have in common
. "$common/ablation.sh"

start_recipe() { # the recipe's arguments
  parse_options "$@"
  export PYTHONPATH=$common${PYTHONPATH:+:$PYTHONPATH} # where local/*.py find scripts.py
  # The ablation has a configuration of its own where there is one, and none was asked for.
  [[ $ablation == off || $config != conf/base.yaml || -n ${option_given[config]-} || ! -s conf/ablation.yaml ]] ||
    config=conf/ablation.yaml
  [[ $device =~ ^(cpu|cuda(:[0-9]+)?)$ ]] || usage_error "--device: expected cpu, cuda or cuda:N, got '$device'"
  command -v unitdisc >/dev/null || die "there is no unitdisc on the PATH; after 'make demo' in the top folder: source .venv/bin/activate there"
  version=$(unitdisc --version) # defaults of a configuration may change with it
  read_cmd
  settle_config
  if [[ $ablation == off ]]; then run_stages; else run_ablation "$@"; fi
}

read_config() { # CONFIG [CHANGE...]: whether it is one
  unitdisc config "$1" ${2:+--set "${@:2}"} >/dev/null
}

stage_features() {
  local split directories=() frames
  for split in train dev test; do
    needs data "$data/$split/wav.scp" "$data/$split/utt2spk"
    directories+=("$data/$split")
  done
  uses "$version" "$(section "$config" model.features model.targets)"
  mapfile -t frames < <(frames_of train dev test)
  kept "${frames[@]}" && return
  job_threads=$jobs job features unitdisc features "$config" "${directories[@]}" --jobs "$jobs" --max-failed "$max_failed" "${force[@]}"
}

frames_of() { # PART...: the archives of what the model is given, and of what its decoder is to give
  local part decoder
  decoder=$(section "$config" model.decoder.kind)
  for part; do
    echo "$data/$part/feats.scp"
    [[ $decoder =~ waveform|none ]] || echo "$data/$part/targets.scp"
  done
}

stage_train() {
  local frames
  mapfile -t frames < <(frames_of train dev)
  needs features "${frames[@]}" "$data"/{train,dev}/feats.json
  needs_labels
  uses "$version" "$seed" "$(section "$config" model train)"
  kept "$exp/config.yaml" && return
  local launch=(unitdisc)
  ((processes == 1)) || launch=(torchrun --standalone --nproc-per-node "$processes" -m unitdisc)
  # A training goes on by itself; one of other data or another config is set aside, not overwritten.
  set_aside
  cleared
  echo "  tail -f $PWD/$exp/log/train.log"
  job_gpus=$gpus job_threads=$((processes > 2 ? processes : 2)) job train "${launch[@]}" train "$config" "$exp" --train "$data/train" --dev "$data/dev" --set "train.seed=$seed"
  [[ ! -s $exp/log.txt ]] || sed -n 's/^[^ ]* \(warning: .*\)/  \1/p' "$exp/log.txt"
}

needs_labels() { # phones, where the model learns from them
  local weight file
  while read -r weight; do
    [[ ! $weight =~ ^(null|0|0\.0*)$ ]] || continue
    for file in "$data"/{train,dev}/phones.ctm; do [[ ! -s $file ]] || needs data "$file"; done
    return
  done <<<"$(section "$config" model.weights.ctc model.weights.framewise)"
}

stage_encode() {
  local split jobs=$jobs outputs=()
  needs train "$exp/config.yaml"
  needs features "$data"/{train,test}/feats.scp
  uses "$(cd "$exp" && find . -name '*.pt' -exec stat -c '%n %s %Y' {} + | sort)" "$device"
  for split in "${encoded[@]}"; do outputs+=("$exp/units/$split/codes.scp"); done
  kept "${outputs[@]}" && return
  for split in "${encoded[@]}"; do
    if [[ $(section "$exp/config.yaml" model.quantizer.kind) == '"none"' ]]; then # no units, but vectors to score
      job "encode-$split" python3 "$common/vectors.py" "$exp" "$data/$split" "$exp/units/$split" "$device"
      continue
    fi
    [[ $device == cpu ]] || jobs=1 # they would share the GPU
    job_threads=$jobs job_gpus=$(gpus_of_device) job "encode-$split" unitdisc encode "$exp" "$data/$split" "$exp/units/$split" \
      --jobs "$jobs" --device "$device" --max-failed "$max_failed" "${force[@]}"
  done
}

stage_report() {
  local found
  needs encode "$exp/units/test/codes.scp"
  found=$(find "$exp/scores" -name '*.json' 2>/dev/null | sort) || true # whichever there are
  if [[ -n $found ]]; then
    mapfile -t found <<<"$found"
    needs score "${found[@]}"
  elif [[ ! -d $exp/scores ]]; then
    needs score "$exp/scores"
  fi
  uses "$version" "$(cat "$exp"/{converted,resynthesised}/manifest.jsonl 2>/dev/null)"
  kept "$exp/report.html" && return
  job report unitdisc report "$exp" --out "$exp/report.html" "${force[@]}"
  echo "  $PWD/$exp/report.html"
}
