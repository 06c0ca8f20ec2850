# shellcheck shell=bash disable=SC2034,SC2154 # variables of the recipe
# What a run.sh begins with, to be sourced below its options and stages; each is a line of the recipe:
#
#   jobs=2      # processes for features (a number above 0)       --jobs 4 or --jobs=4; 2 without it
#   stop_stage=report # last stage to run                         --stop-stage 3 or --stop-stage train
#
# The line's comment is the help. An unknown option, one without its value, and one of another kind than its default (a
# number, a share, true or false) is an error at once. Of an option that is there twice the last one counts, but --set
# adds up, until it is empty. Afterwards $stage and $stop_stage are numbers.

common=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PYTHONPATH=$common${PYTHONPATH:+:$PYTHONPATH} # where local/*.py find scripts.py
stage_names=(corpus data features train encode score convert report)
option_paths=" corpus wavs config pairs alignment items " # to read: where they are not here, they are the caller's
option_names=()
declare -A option_help option_given option_kind

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

usage_error() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 2
}

read_options() { # those that the recipe has between its first lines and the line that sources this file
  local line form='^([a-z_]+)=(.*[^ ])? +# (.*)$'
  while IFS= read -r line && [[ $line != *parse_options.sh* ]]; do
    [[ $line =~ $form ]] || continue
    option_names+=("${BASH_REMATCH[1]}")
    option_help[${BASH_REMATCH[1]}]=${BASH_REMATCH[3]}
    [[ ${BASH_REMATCH[3]} != *"(a path)" ]] || option_paths+="${BASH_REMATCH[1]} "
    case "${BASH_REMATCH[3]}:${!BASH_REMATCH[1]}" in
      *"(a number above 0):"*) option_kind[${BASH_REMATCH[1]}]="a number above 0" ;;
      *"(a share):"*) option_kind[${BASH_REMATCH[1]}]="a share" ;;
      *:true | *:false) option_kind[${BASH_REMATCH[1]}]="true or false" ;;
      *:*[!0-9]* | *:) option_kind[${BASH_REMATCH[1]}]=text ;;
      *) option_kind[${BASH_REMATCH[1]}]="a number" ;;
    esac
  done <"${0##*/}"
}

show_help() {
  sed -n '2,/^$/ s/^# \{0,1\}//p' "${0##*/}"
  local name
  for name in "${option_names[@]}"; do
    printf '  --%-14s %s (%s)\n' "${name//_/-}" "${option_help[$name]}" "${!name:-none}"
  done
  printf '\nPaths are relative to %s. What is to be read may also be given relative to where you are.\n' "$PWD"
}

parse_options() {
  local name value
  while (($#)); do
    case $1 in
      --help | -h) show_help && exit 0 ;;
      --*=*) name=${1%%=*} value=${1#*=} ;;
      --*)
        name=$1
        known_option "$name"
        [[ $# -gt 1 && $2 != --* ]] || usage_error "$1: a value must follow, as in '$1 VALUE'; --help lists them"
        value=$2
        shift
        ;;
      *) usage_error "expected options only, got '$1'; --help lists them" ;;
    esac
    shift
    known_option "$name"
    name=${name#--} name=${name//-/_}
    fits_option "$name" "$value"
    [[ $name != set || -z $value || -z ${set-} ]] || value="$set $value"
    [[ $option_paths != *" $name "* ]] || value=$(found_path "$value")
    printf -v "$name" %s "$value"
    option_given[$name]=true
  done
}

known_option() { # --NAME
  local name=${1#--}
  [[ -n $name && -v "option_help[${name//-/_}]" ]] || usage_error "unknown option '$1'; --help lists them"
}

fits_option() { # NAME VALUE
  case ${option_kind[$1]} in
    "a number") [[ $2 =~ ^[0-9]+$ ]] ;;
    "a number above 0") [[ $2 =~ ^[1-9][0-9]*$ ]] ;;
    "a share") [[ $2 =~ ^(0|1|[01]?\.[0-9]+|[0-9]+(\.[0-9]+)?%)$ ]] ;;
    "true or false") [[ $2 =~ ^(true|false)$ ]] ;;
  esac || usage_error "--${1//_/-}: expected ${option_kind[$1]}, got '$2'"
}

found_path() { # PATH: as it is, or in the folder from which the recipe was called if it is only there
  if [[ -n $1 && $1 != /* && ! -e $1 && -n ${OLDPWD-} && -e $OLDPWD/$1 ]]; then
    printf %s "$OLDPWD/$1"
  else
    printf %s "$1"
  fi
}

whole_path() { # PATH: as it is found from anywhere
  if [[ $1 == /* ]]; then printf %s "$1"; else printf %s "$PWD/$1"; fi
}

default() { # NAME=VALUE...: for options that were not given
  local one
  for one; do [[ -n ${option_given[${one%%=*}]-} ]] || printf -v "${one%%=*}" %s "${one#*=}"; done
}

stage_number() { # NAME or NUMBER
  local number
  for number in "${!stage_names[@]}"; do
    [[ $1 != "$number" && $1 != "${stage_names[number]}" ]] || { echo "$number" && return; }
  done
  usage_error "unknown stage '$1'; expected one of ${stage_names[*]}, or its number from 0"
}

needs() { # STAGE FILE...: files, and the stage that makes them
  local file
  for file in "${@:2}"; do
    [[ -s $file ]] || die "$file is missing, which stage $(stage_number "$1") ($1) makes;" \
      "run it first: ./run.sh --stage $1 --stop-stage $1, with your other options"
  done
}

job() { # [--nj N] [--num-threads N] [--gpu N] LOG COMMAND...: here or on a cluster, as --cmd says; its failure ends the recipe
  # Of --nj above 1 each job first does its part, of which LOG.JOB is the log; then the command puts the parts together.
  local wanted=() nj=1
  while [[ $1 == --* ]]; do
    if [[ $1 == --nj ]]; then nj=$2; elif [[ $2 != 0 ]]; then wanted+=("$1" "$2"); fi
    shift 2
  done
  [[ " $* " != *" --device cuda"* ]] || wanted+=(--gpu 1)
  # What is made already, of the same, is neither sent to a cluster nor does it lose its log.
  if [[ " $* " == *" --renew "* ]] && "${@:2}" --unchanged 2>/dev/null; then return; fi
  ((nj == 1)) || "${runner[@]}" "${wanted[@]}" "JOB=1:$nj" "${1%.log}.JOB.log" "${@:2}" --job "JOB/$nj"
  "${runner[@]}" "${wanted[@]}" "$@"
}

read_cmd() { # into $runner: --cmd is a program, or one with its options, quoted as in a shell
  local words
  runner=("$cmd")
  [[ ! -f $cmd || ! -x $cmd ]] || return 0
  words=$(xargs printf '%s\n' <<<"$cmd" 2>/dev/null) || usage_error "--cmd: a quote without its other: $cmd"
  mapfile -t runner <<<"$words"
  command -v "${runner[0]}" >/dev/null || usage_error "--cmd: no such program: ${runner[0]}"
}

read_options
parse_options "$@"
stage=$(stage_number "$stage")
stop_stage=$(stage_number "$stop_stage")
((stage <= stop_stage)) || usage_error "--stage ${stage_names[stage]} comes after --stop-stage ${stage_names[stop_stage]}"
command -v unitdisc >/dev/null ||
  die "there is no unitdisc on the PATH; after 'make demo' in the top folder: source .venv/bin/activate there"
[[ ${device-cpu} =~ ^(cpu|cuda(:[0-9]+)?)$ ]] || usage_error "--device: expected cpu, cuda or cuda:N, got '$device'"
read_cmd
changes=() # --set, as verbs take it
[[ -z ${set-} ]] || { read -ra words <<<"$set" && changes=(--set "${words[@]}"); }
