# shellcheck shell=bash
# Options of a recipe, to be sourced:
#
#   option nj 2 "processes for features and encoding"    # --nj 4 or --nj=4 sets $nj; 2 without it
#   parse_options "$@"
#
# A name's _ is a - on the command line. An unknown option, one without its value, and one with a value of another kind
# (a number, a share, true or false) than the default, is an error at once. Of an option that is there twice the last one counts,
# but --set adds up, until it is empty.

option_paths=(corpus wavs config pairs alignment items) # to read: where they are not here, they are the caller's
option_names=()
declare -A option_help option_given option_kind

option() { # NAME DEFAULT HELP [KIND]
  [[ -v "option_help[$1]" ]] || option_names+=("$1") # a recipe may give an option of all recipes another default
  case $2 in
    true | false) option_kind[$1]="true or false" ;;
    *[!0-9]* | "") option_kind[$1]=text ;;
    *) option_kind[$1]="a number" ;;
  esac
  [[ -z ${4-} ]] || option_kind[$1]=$4
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
    name=${name#--}
    fits_option "$name" "$value"
    [[ $name != set || -z $value || -z ${set-} ]] || value="$set $value"
    [[ " ${option_paths[*]} " != *" $name "* ]] || value=$(found_path "$value")
    printf -v "${name//-/_}" %s "$value"
    # shellcheck disable=SC2034 # for the recipe
    option_given[${name//-/_}]=true
  done
}

fits_option() { # NAME VALUE
  local kind=${option_kind[${1//-/_}]}
  case $kind in
    "a number") [[ $2 =~ ^[0-9]+$ ]] ;;
    "a number above 0") [[ $2 =~ ^[1-9][0-9]*$ ]] ;;
    "a share") [[ $2 =~ ^(0|1|[01]?\.[0-9]+|[0-9]+(\.[0-9]+)?%)$ ]] ;;
    "true or false") [[ $2 =~ ^(true|false)$ ]] ;;
  esac || usage_error "--$1: expected $kind, got '$2'"
}

found_path() { # PATH: as it is, or in the folder from which the recipe was called if it is only there
  if [[ -n $1 && $1 != /* && ! -e $1 && -n ${OLDPWD-} && -e $OLDPWD/$1 ]]; then
    printf %s "$OLDPWD/$1"
  else
    printf %s "$1"
  fi
}

known_option() { # --NAME
  local name=${1#--}
  [[ -n $name && -v "option_help[${name//-/_}]" ]] || usage_error "unknown option '$1'; --help lists them"
}
