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
option channel 0 "of recordings with several, from 0" "a number"
option speaker "" "regular expression that finds the speaker in a path; without it, the folder's name"

option max_failed 0.1 "share of the recordings that may be unreadable; they are listed and left out" "a share"
encoded=(train test all) # every recording gets units, and the report draws from all

stage_corpus() {
  [[ -n $wavs ]] || usage_error "--wavs FOLDER is missing: where are the recordings?"
  [[ -d $wavs ]] || usage_error "--wavs: no such folder: $wavs"
}

stage_data() {
  stage_corpus
  uses "$wavs" "$speaker" "$channel" "$max_failed" "$(cat local/split.py local/odd.py)" "$(listing "$wavs")"
  kept "$data"/{train,dev,test,all}/wav.scp && return
  unitdisc import "$wavs" "$data/all" ${speaker:+--speaker "$speaker"} --channel "$channel" --max-bad "$max_failed" --force
  unitdisc check "$data/all"
  python3 local/odd.py "$data/all"
  python3 local/split.py "$data/all" "$data"
}

start_recipe "$@"
