# shellcheck shell=bash disable=SC2154 # variables made by `option`
# Stage convert of the recipes of speech, to be sourced: utterances in other voices, and how well that went.

option targets "" "speakers to convert to; without it four of the training set, two women and two men where that is known"
option sentences 40 "utterances to convert"
option pairs "" "file of lines 'UTTERANCE TARGET': what to convert to whom, in place of --targets and --sentences"

stage_convert() {
  if ! can_speak; then
    echo "$stage_title: nothing to do, the model of $config has no decoder"
    return
  fi
  needs train "$exp/config.yaml"
  needs encode "$exp/units/test/units.jsonl"
  needs data "$data/test/utt2spk" "$data"/train/{wav.scp,spk2utt}
  uses_conversion
  kept "$exp/converted/manifest.jsonl" && return
  make_conversions
}

can_speak() {
  [[ $(section "$config" model.decoder.kind) != '"none"' ]]
}

uses_conversion() { # whatever conversions depend on, beside what the stage needs
  [[ -z $pairs || -s $pairs ]] || usage_error "--pairs: no such file, or an empty one: $pairs"
  uses "$version" "$targets" "$sentences" "$device" "${pairs:+$(digest "$pairs")}" "$(declare -f make_conversions convert_part score_conversions)" \
    "$(<"$common/pairs.py")"
  [[ ! -s $data/test/phones.ctm ]] || needs data "$data/test/phones.ctm"
}

make_conversions() { # in $exp/converted; in $exp/resynthesised where the model knows the voices of its training only
  local work=$exp/to-convert part mfcc=$data/mfcc scores=$exp/scores
  rm -rf "$work.part"
  python3 "$common/pairs.py" "$exp" "$data" "$work.part" --targets "$targets" --sentences "$sentences" --pairs "$pairs"
  rm -rf "$work" "$exp"/{converted,resynthesised} "$scores/conversion.json" # only now that there is a plan
  mv "$work.part" "$work"
  mkdir -p "$scores" # stage score may not have run
  for part in converted resynthesised; do
    [[ ! -s $work/$part.voices ]] || beside convert_part "$part"
  done
  make_mfcc
  joined
  score_conversions
}

convert_part() { # PART: what its list says, one manifest for all
  local part=$1 folder voices voice to name
  while read -r folder voices; do
    to=()
    for voice in $voices; do to+=(--to "$voice"); done
    job_gpus=$(gpus_of_device) job "convert-${folder//\//-}" unitdisc convert "$exp" "$work/$folder" "$exp/$part" "${to[@]}" --device "$device" --force
    for name in manifest.jsonl wav.scp utt2spk; do cat "$exp/$part/$name" >>"$work/$part.$name"; done
  done <"$work/$part.voices"
  for name in manifest.jsonl wav.scp utt2spk; do LC_ALL=C sort "$work/$part.$name" >"$exp/$part/$name"; done
}

# Whose voice it is, what is understood of it, how near resynthesis comes; as far as speakers and phones are known.
score_conversions() {
  local part made=() sources=() how=()
  for part in resynthesised converted; do # the one with both conversions and resyntheses first: they compare
    [[ -s $work/$part.voices ]] || continue
    unitdisc combine "$work/$part-mfcc" "$work/$part" --force >/dev/null
    made+=("$exp/$part") sources+=("$work/$part-mfcc")
  done
  job conversion-features unitdisc features "$common/conf/mfcc.yaml" "${made[@]}" "${sources[@]}" --jobs "$jobs" --force
  [[ ! -s $work/others || $(cut -d ' ' -f 2- "$data"/{train,test}/utt2spk | sort -u | wc -l) -lt 2 ]] ||
    how+=(--real "$mfcc/train" "$mfcc/test")
  [[ ! -s $data/train/phones.ctm || ! -s $work/labelled ]] || how+=(--train "$mfcc/train" --epochs "$(epochs_of "$data/train" 5)")
  beside score conversion conversion "${made[@]}" --source "${sources[@]}" "${how[@]}" # with its share of the threads
  joined
}
