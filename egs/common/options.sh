# shellcheck shell=bash
# Options of a recipe, to be sourced:
#
#   option nj 2 "processes for features and encoding"    # --nj 4 or --nj=4 sets $nj; 2 without it
#   parse_options "$@"
#
# A name's _ is a - on the command line. An unknown option, one without its value, and one with a value of another kind
# (a number, true or false) than the default, is an error at once.

option_names=()
declare -A option_help option_given option_kind

option() { # NAME DEFAULT HELP
  option_names+=("$1")
  case $2 in
    true | false) option_kind[$1]="true or false" ;;
    *[!0-9]* | "") option_kind[$1]=text ;;
    *) option_kind[$1]="a number" ;;
  esac
  option_help[$1]="$3 (${2:-none})"
  printf -v "$1" %s "$2"
}

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

usage_error() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 2
}

show_help() {
  sed -n '2,/^$/ s/^# \{0,1\}//p' "${0##*/}" # recipes are in their own folder by now
  local name
  for name in "${option_names[@]}"; do
    printf '  --%-12s %s\n' "${name//_/-}" "${option_help[$name]}"
  done
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
    name=${name#--}
    fits_option "$name" "$value"
    printf -v "${name//-/_}" %s "$value"
    # shellcheck disable=SC2034 # for the recipe
    option_given[${name//-/_}]=true
  done
}

fits_option() { # NAME VALUE
  local kind=${option_kind[${1//-/_}]}
  [[ $kind == text || ($kind == "a number" && $2 =~ ^[0-9]+$) || ($kind == "true or false" && $2 =~ ^(true|false)$) ]] ||
    usage_error "--$1: expected $kind, got '$2'"
}

known_option() { # --NAME
  local name=${1#--}
  [[ -n $name && -v "option_help[${name//-/_}]" ]] || usage_error "unknown option '$1'; --help lists them"
}
