# shellcheck shell=bash disable=SC2154,SC2317 # variables made by `option`; functions that `beside` calls
# Stage score of the recipes of speech, to be sourced: the units, what they must beat, what they are for.

option downstream true "true: score a small ASR on the units and the same on MFCC, too"
option baseline true "true: score k-means on MFCC and on what the encoder reads, with as many codes as the model has, too"

stage_score() {
  local test=$data/test train=$data/train units=$exp/units scores=$exp/scores mfcc=$data/mfcc input file
  local labels=(--alignment "$test/phones.ctm" --train-alignment "$train/phones.ctm")
  needs encode "$units"/{train,test}/codes.scp
  needs features "$test/feats.scp" "$test/feats.json"
  for file in "$train/phones.ctm" "$test/phones.ctm" "$test/triphone.item"; do
    [[ ! -e $file ]] || needs data "$file"
  done
  uses "$version" "$downstream $baseline" "$(cat "$common"/{scores.sh,inputs.py})"
  kept "$scores" && return
  mkdir -p "$scores"
  if [[ -s $test/triphone.item ]]; then # where the recipe was given or made one
    cp "$test/triphone.item" "$scores/triphone.item"
  elif [[ -s $test/phones.ctm ]]; then
    unitdisc items "$test" "$scores/triphone.item" --alignment "$test/phones.ctm" --force
  fi
  [[ ! -s $scores/triphone.item && ! -s $test/phones.ctm ]] || make_features
  if [[ -s $test/phones.ctm && -s $train/phones.ctm ]]; then
    score_units
  elif [[ -s $units/test/units.jsonl ]]; then
    score_unlabelled
  fi
  [[ ! -s $scores/triphone.item ]] || score_abx
  joined
  python3 "$common/headlines.py" "$scores"
}

score_abx() { # of MFCC, of what the encoder reads, and of the vectors of the units
  local speaker
  for speaker in across within; do
    beside kept_score "mfcc-abx-$speaker" abx "$mfcc/test/feats.scp" "$scores/triphone.item" --speaker "$speaker"
    beside kept_score "input-abx-$speaker" abx "$input/test/feats.scp" "$scores/triphone.item" --speaker "$speaker"
    beside score "codes-abx-$speaker" abx "$units/test/codes.scp" "$scores/triphone.item" --speaker "$speaker"
  done
  [[ $baseline != true || ! -s $units/test/units.jsonl ]] || score_baselines
}

score_units() {
  [[ $(section "$exp/config.yaml" model.weights.ctc) =~ ^(0.0|null)$ ]] || beside score_head
  [[ $downstream != true ]] || score_downstream # the longest first
  [[ ! -s $units/test/units.jsonl ]] ||
    beside score units all "$units/test" "${labels[@]}" --train "$units/train" --data "$test" --items "$scores/triphone.item"
}

score_unlabelled() { # what needs no labels
  local enough
  echo "  no phones.ctm in $train and $test: only what needs no labels is scored"
  beside score usage usage "$units/test"
  beside score bitrate bitrate "$units/test"
  enough=$(awk 'NF > 5' "$test/spk2utt" | wc -l)
  if ((enough > 1)); then
    beside score speaker speaker "$units/test" --data "$test"
  else
    echo "  without a score of speakers: it needs two speakers with more than four utterances in $test, which has $enough"
  fi
}

score_head() { # what the CTC head of a supervised model hears
  job score-head python3 "$common/hear.py" "$exp" "$test" "$scores/head.json"
  [[ ! -s $data/dev/phones.ctm ]] ||
    job score-head-dev python3 "$common/hear.py" "$exp" "$data/dev" "$scores/head-dev.json"
}

make_features() { # to compare with: MFCC, whatever features the model has, and what its encoder reads
  local lock
  input=$data/input-$(section "$exp/config.yaml" model.features | sha256sum | cut -c 1-8)
  exec {lock}>>"$data/.compared" # other runs on the same data share them
  ! command -v flock >/dev/null || flock "$lock" || true
  make_mfcc
  make_input
  exec {lock}>&-
}

make_mfcc() { # in $mfcc
  local stamp split
  stamp=$(digest "$data/train/wav.scp"; digest "$data/test/wav.scp"
    cat "$data"/{train,test}/{utt2spk,phones.ctm} "$common/conf/mfcc.yaml" 2>/dev/null) || true
  stamp=$(sha256sum <<<"$version $stamp")
  [[ ! -s $mfcc/stamp || $(<"$mfcc/stamp") != "$stamp" ]] || return 0
  rm -rf "$mfcc"
  for split in train test; do unitdisc combine "$mfcc/$split" "$data/$split" >/dev/null; done
  job mfcc unitdisc features "$common/conf/mfcc.yaml" "$mfcc"/{train,test} --jobs "$jobs" --force
  echo "$stamp" >"$mfcc/stamp"
}

make_input() { # in $input, one for each kind of features: the test frames, normalised
  local stamp
  stamp=$(sha256sum <<<"$version $(digest "$data/train/feats.scp") $(digest "$data/test/feats.scp")")
  [[ ! -s $input/stamp || $(<"$input/stamp") != "$stamp" ]] || return 0
  rm -rf "$input"
  job input python3 "$common/inputs.py" "$exp/config.yaml" "$train" "$test" "$input/test"
  echo "$stamp" >"$input/stamp"
}

# k-means, with as many codes as the model has, on MFCC and on what the encoder reads: what units must beat.
score_baselines() {
  local codes
  codes=$(section "$exp/config.yaml" model.quantizer.codes)
  [[ $codes =~ ^[0-9]+$ ]] || return 0
  beside score_kmeans "kmeans-$codes" "$mfcc" "$mfcc" "$common/conf/mfcc.yaml"
  beside score_kmeans "kmeans-input-$codes" "$input" "$data" "$exp/config.yaml"
}

score_kmeans() { # NAME PLACE DATA CONFIG
  local kmeans=$2/kmeans-$codes split speaker
  if [[ ! -s $kmeans/encoded ]]; then
    [[ -s $kmeans/config.yaml ]] || job "$1" unitdisc kmeans "$4" "$kmeans" --train "$3/train" --codes "$codes"
    for split in train test; do
      job "$1-$split" unitdisc encode "$kmeans" "$3/$split" "$kmeans/units/$split" --jobs "$jobs"
    done
    echo "train test" >"$kmeans/encoded"
  fi
  for speaker in across within; do
    kept_score "$1-abx-$speaker" abx "$kmeans/units/test/codes.scp" "$scores/triphone.item" --speaker "$speaker"
  done
  [[ ! -s $test/phones.ctm || ! -s $train/phones.ctm ]] ||
    kept_score "$1" all "$kmeans/units/test" "${labels[@]}" --train "$kmeans/units/train" --data "$3/test" --items "$scores/triphone.item"
}

# What units are for: a small ASR (a BiLSTM with CTC, phones as its words) trained on the units of the training speakers,
# and the same on MFCC.
score_downstream() {
  local how=(per --method probe-ctc --epochs "$(epochs_of "$train" 6)" "${labels[@]}")
  beside kept_score downstream-mfcc "${how[@]}" --train "$mfcc/train/feats.scp" "$mfcc/test/feats.scp"
  if [[ -s $units/test/units.jsonl ]]; then
    beside score downstream-units "${how[@]}" --train "$units/train" "$units/test"
  else
    beside score downstream-vectors "${how[@]}" --train "$units/train/codes.scp" "$units/test/codes.scp"
  fi
}

epochs_of() { # DATA LEAST: to train a probe; few utterances are gone through more often
  local more=$((2400 / $(wc -l <"$1/utt2spk")))
  echo $((more > $2 ? more : $2))
}

score() { # NAME SCORE ARGUMENT...: into $exp/scores/NAME.json
  # shellcheck disable=SC2016 # for the inner shell
  job "score-$1" bash -c 'file=$1; shift; unitdisc score "$@" --json >"$file.part" && mv "$file.part" "$file"' \
    score "$exp/scores/$1.json" "${@:2}"
  echo "  $exp/scores/$1.json"
}

kept_score() { # NAME SCORE ARGUMENT...: as score; what does not depend on the model is kept beside the data for the next one
  local place=$data/scores key
  key=$(key_of "${@:2}")
  if [[ -s $place/$1.json && $(cat "$place/$1.key" 2>/dev/null) == "$key" ]]; then
    cp "$place/$1.json" "$exp/scores/"
    echo "  $exp/scores/$1.json, as in $place"
    return
  fi
  score "$@"
  mkdir -p "$place"
  rm -f "$place/$1.key"
  cp "$exp/scores/$1.json" "$place/"
  echo "$key" >"$place/$1.key"
}

key_of() { # WORD...: a hash of the words, of the files among them, and of what stands beside those
  local word place
  {
    echo "$version"
    for place in "${mfcc-}" "${input-}"; do
      [[ -z $place || "$*" != *"$place"* ]] || cat "$place/stamp"
    done
    for word; do
      if [[ -f $word ]]; then
        digest "$word"
        [[ ! -f ${word%.scp}.json ]] || digest "${word%.scp}.json"
      else
        echo "$word"
      fi
    done
  } | sha256sum | cut -c 1-16
}
