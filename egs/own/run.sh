#!/usr/bin/env bash
# The whole way from a folder of recordings to units, scores and a report (README.md).
#
#   ./run.sh --wavs ~/recordings                        a folder for each speaker in it
#   ./run.sh --wavs ~/recordings --speaker '^[^_]+'     the speaker is what stands before the first _ of the name
#
# Options, as --name value or --name=value:

# shellcheck disable=SC2154 # variables made by `option`
set -euo pipefail
cd "$(dirname "$0")"
. ../common/speech.sh

option wavs "" "folder of recordings: wav, flac, ogg, mp3 or SPHERE, with x.TextGrid beside x.wav where you have it"
option speaker "" "regular expression that finds the speaker in a path; without it, the folder's name"

stage_corpus() {
  [[ -n $wavs ]] || usage_error "--wavs FOLDER is missing: where are the recordings?"
  [[ -d $wavs ]] || usage_error "--wavs: no such folder: $wavs"
}

stage_data() {
  stage_corpus
  uses "$wavs" "$speaker" "$(cat local/split.py)" "$(listing "$wavs")"
  kept "$data"/{train,dev,test}/wav.scp && return
  unitdisc import "$wavs" "$data/all" ${speaker:+--speaker "$speaker"} --force
  unitdisc check "$data/all"
  python3 local/split.py "$data/all" "$data"
}

start_recipe "$@"
