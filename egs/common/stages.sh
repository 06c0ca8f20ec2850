# shellcheck shell=bash disable=SC2154 # variables made by `option`
# Stages of a recipe, to be sourced after options.sh. A recipe has a function stage_NAME for each stage:
#
#   stage_train() {
#     needs features "$data/train/feats.scp"   # which stage makes it, and the files
#     uses "$seed" "$(section "$config")"      # whatever else the result depends on
#     kept "$exp/final" && return              # made of the same already
#     ...                                      # ${force[@]} is --force if it was made of something else
#   }
#
# A stage that ended well leaves a hash of its needs, its uses and its own text in .stages/, and is skipped while they
# stay as they are. Of two runs at the same output of a stage one waits for the other. Stages have the same numbers and
# names in every recipe.

stages_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
stage_names=(corpus data features train encode score convert report)
option stage corpus "first stage to run, by number or name: ${stage_names[*]}"
option stop_stage report "last stage to run"
option again false "true: run the stages even if nothing changed"

stage_number() { # NAME or NUMBER
  local number
  for number in "${!stage_names[@]}"; do
    if [[ $1 == "$number" || $1 == "${stage_names[number]}" ]]; then
      echo "$number"
      return
    fi
  done
  usage_error "unknown stage '$1'; expected one of ${stage_names[*]}, or its number from 0"
}

run_stages() {
  local first last number name stage_lock=""
  first=$(stage_number "$stage") || exit 2
  last=$(stage_number "$stop_stage") || exit 2
  ((first <= last)) || usage_error "--stage $stage comes after --stop-stage $stop_stage"
  for ((number = first; number <= last; number++)); do
    name=${stage_names[number]}
    stage_inputs="" stage_record="" stage_title="stage $number ($name)"
    "stage_$name"
    [[ -z $stage_record ]] || echo "done $stage_hash" >"$stage_record"
    [[ -z $stage_lock ]] || exec {stage_lock}>&-
    stage_lock=""
  done
}

needs() { # STAGE FILE...
  local file
  for file in "${@:2}"; do
    [[ -s $file ]] || die "$stage_title needs $file, which stage $(stage_number "$1") ($1) makes;" \
      "run it first: ./run.sh --stage $1 --stop-stage $1, with your other options"
    stage_inputs+="$file $(digest "$file")"$'\n'
  done
}

uses() { # TEXT...
  stage_inputs+="$*"$'\n'
}

listing() { # FOLDER [FIND'S ARGUMENT...]: what is in it, by name, size and time
  find -L "$1" -type f "${@:2}" -exec stat -Lc '%n %s %Y' {} + | LC_ALL=C sort
}

digest() { # FILE: a hash of the content and, for an index (.scp), of what it names
  if [[ $1 != *.scp ]] && (($(wc -c <"$1") < 20000000)); then
    sha256sum <"$1"
  else
    python3 "$stages_folder/digests.py" "$1"
  fi
}

section() { # CONFIG [KEY...]: what a YAML file, its includes followed, says (under these keys)
  python3 - "$@" <<'PYTHON'
import json, sys
from unitdisc.config import read_tree
from unitdisc.errors import UnitdiscError
from pathlib import Path
try:
    tree = read_tree(Path(sys.argv[1]))
except UnitdiscError as error:
    sys.exit(str(error))
for keys in [key.split(".") for key in sys.argv[2:]] or [[]]:
    part = tree
    for key in keys:
        part = part.get(key) if isinstance(part, dict) else None
    print(json.dumps(part, sort_keys=True))
PYTHON
}

# All stages read one file: --config, and where --set changes it, a copy with the changes. What is wrong in it is found
# by read_config, which is the recipe's, before anything is made.
settle_config() {
  local changes=() asked settled
  [[ -s $config ]] || usage_error "--config: no such file: $config"
  config_name=$(basename "${config%.yaml}")
  exp=${exp:-exp/$config_name-$seed}
  read -ra changes <<<"$set"
  asked="$version $(section "$config" | sha256sum) $set" || exit 1
  settled=.stages/config-${exp//\//_}.yaml
  if [[ $asked != "$(cat "$settled.asked" 2>/dev/null)" ]]; then
    read_config "$config" "${changes[@]}" || exit 1
    mkdir -p .stages
    [[ -z $set ]] || python3 "$common/rows.py" "$config" - "$settled" "${changes[@]}" || exit 1
    echo "$asked" >"$settled.asked"
  fi
  [[ -z $set ]] || config=$settled
}

set_aside() { # a training in $exp that was of other inputs
  local aside
  [[ -n ${force[*]} && -d $exp ]] || return 0
  aside=$exp.before-$(date '+%F-%H%M%S')
  while [[ -e $aside ]]; do aside+=+; done
  mv "$exp" "$aside"
  echo "  $exp held another training: set aside as $aside"
}

cleared() { # what was made of other inputs is out of the way: from here on, an interrupted stage goes on where it was
  echo "begun $stage_hash" >"$stage_record"
}

kept() { # OUTPUT...: true if they are there, made of the same; to be called after needs and uses
  local output before="" name
  name=${stage_title##*\(}
  stage_record=.stages/${name%\)}-${1//\//_}
  stage_hash=$(printf '%s' "$stage_inputs" "$(declare -f "stage_${name%\)}")" | sha256sum | cut -c 1-16)
  force=()
  alone
  [[ ! -e $stage_record ]] || before=$(<"$stage_record")
  if [[ $before == "done $stage_hash" && $again != true ]]; then
    for output; do is_whole "$output" || before=""; done
    if [[ -n $before ]]; then
      echo "$stage_title: unchanged, skipped"
      return 0
    fi
  fi
  # What was begun with the same inputs goes on where it was; what was made of others is made anew, to the end.
  # shellcheck disable=SC2034 # for the stage
  [[ -z $before || $before == "begun $stage_hash" ]] || force=(--force)
  echo "begun $stage_hash${force[*]:+ anew}" >"$stage_record"
  echo "$stage_title: $(date '+%T')"
  return 1
}

is_whole() { # OUTPUT: whether it is there and, of an index (.scp), the archives that it names
  [[ -s $1 || -d $1 ]] || return 1
  [[ $1 != *.scp ]] || python3 "$stages_folder/digests.py" --whole "$1"
}

alone() { # wait for another run that makes the same; its end, or its death, lets this one go on
  mkdir -p .stages
  command -v flock >/dev/null || return 0
  exec {stage_lock}>>"$stage_record"
  flock -n -E 75 "$stage_lock" 2>/dev/null || (($? != 75)) && return # also on a file system without locks
  echo "$stage_title: another run is at it; waiting for its end"
  flock "$stage_lock"
}
