# shellcheck shell=bash disable=SC2154 # variables made by `option`
# What all recipes of speech share, to be sourced: their options, and the stages from features to report. A recipe adds
# stage_corpus and stage_data, which leave $data/train, $data/dev and $data/test with phones.ctm where there are any.

common=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$common/options.sh"
. "$common/stages.sh"

option config conf/base.yaml "what to train"
option exp "" "folder of the run; without it exp/<config>-<seed>"
option data data "folder of the data directories"
option seed 0 "of the training"
option set "" "changes of the configuration: 'train.steps=500 model.jitter=0'"
option jobs 2 "processes for features and encoding"
option processes 1 "processes that train together (GPUs)"
option cmd "$common/cmd.sh" "how to run jobs; on a cluster '$common/cmd.sh --backend slurm --sbatch \"...\"'"
option targets "" "speakers to convert to; without it the first and the last of the training set"
option sentences 5 "utterances to convert"
option downstream true "true: score a small ASR on the units and the same on MFCC, too"
option baseline true "true: score k-means units of MFCC, as many as the model has, too"
option ablation false "true: train and score all rows of $common/conf/ablation; or some: 'vanilla all'"
option seeds "0 1 2" "of the ablation"

. "$common/ablation.sh"

start_recipe() { # the recipe's arguments
  parse_options "$@"
  [[ -s $config ]] || usage_error "--config: no such file: $config"
  exp=${exp:-exp/$(basename "${config%.yaml}")-$seed}
  command -v unitdisc >/dev/null || die "there is no unitdisc on the PATH; 'make demo' in the top folder sets it up"
  section "$config" >/dev/null || exit 1
  version=$(unitdisc --version) # defaults of a configuration may change with it
  if [[ $ablation == false ]]; then run_stages; else run_ablation "$@"; fi
}

job() { # LOG COMMAND...: one job with its log
  # shellcheck disable=SC2086 # options of cmd are words
  $cmd "$exp/log/$1.log" "${@:2}"
}

stage_features() {
  local split directories=()
  for split in train dev test; do
    needs data "$data/$split/wav.scp" "$data/$split/utt2spk"
    directories+=("$data/$split")
  done
  uses "$version" "$(section "$config" model.features model.targets)"
  kept "$data"/{train,dev,test}/feats.scp && return
  job features unitdisc features "$config" "${directories[@]}" --jobs "$jobs" "${force[@]}"
}

stage_train() {
  needs features "$data"/{train,dev}/feats.{scp,json}
  uses "$version" "$seed" "$set" "$(section "$config" model train)"
  kept "$exp/config.yaml" && return
  local launch=(unitdisc) change=(--set "train.seed=$seed") word
  for word in $set; do change+=(--set "$word"); done
  ((processes == 1)) || launch=(torchrun --standalone --nproc-per-node "$processes" -m unitdisc)
  # A training goes on by itself; one of other data or another config is set aside, not overwritten.
  if [[ -n ${force[*]} && -d $exp ]]; then
    mv "$exp" "$exp.before-$(date '+%F-%H%M%S')"
    echo "  $exp held another training: set aside as $exp.before-..."
  fi
  cleared
  job train "${launch[@]}" train "$config" "$exp" --train "$data/train" --dev "$data/dev" "${change[@]}"
}

stage_encode() {
  local split
  needs train "$exp/config.yaml"
  needs features "$data"/{train,test}/feats.scp
  uses "$(cd "$exp" && find . -name '*.pt' -exec stat -c '%n %s %Y' {} + | sort)"
  kept "$exp"/units/{train,test}/codes.scp && return
  for split in train test; do
    if [[ $(section "$exp/config.yaml" model.quantizer.kind) == '"none"' ]]; then # no units, but vectors to score
      job "encode-$split" python3 "$common/vectors.py" "$exp" "$data/$split" "$exp/units/$split"
      continue
    fi
    job "encode-$split" unitdisc encode "$exp" "$data/$split" "$exp/units/$split" --jobs "$jobs" "${force[@]}"
  done
}

stage_score() {
  local test=$data/test train=$data/train units=$exp/units scores=$exp/scores file speaker
  needs encode "$units"/{train,test}/codes.scp
  needs features "$test/feats.scp" "$test/feats.json"
  for file in "$train/phones.ctm" "$test/phones.ctm" "$test/triphone.item"; do
    [[ ! -e $file ]] || needs data "$file"
  done
  uses "$downstream $baseline $(declare -f score_units score_downstream score_baseline)"
  kept "$scores" && return
  mkdir -p "$scores"
  if [[ -s $test/triphone.item ]]; then # the official one, where the recipe was given it
    cp "$test/triphone.item" "$scores/triphone.item"
  elif [[ -s $test/phones.ctm ]]; then
    unitdisc items "$test" "$scores/triphone.item" --alignment "$test/phones.ctm" --force
  fi
  [[ ! -s $scores/triphone.item ]] ||
    for speaker in across within; do # the features that the model was given, and the vectors of its units
      score "input-abx-$speaker" abx "$test/feats.scp" "$scores/triphone.item" --speaker "$speaker"
      score "codes-abx-$speaker" abx "$units/test/codes.scp" "$scores/triphone.item" --speaker "$speaker"
    done
  score_units
}

score_units() {
  local labels=() mfcc=$data/mfcc
  if [[ -s $test/phones.ctm && -s $train/phones.ctm ]]; then
    labels=(--alignment "$test/phones.ctm" --train-alignment "$train/phones.ctm")
    [[ ! -s $units/test/units.jsonl ]] ||
      score units all "$units/test" "${labels[@]}" --train "$units/train" --data "$test" --items "$scores/triphone.item"
    [[ $(section "$exp/config.yaml" model.weights.ctc) =~ ^(0.0|null)$ ]] ||
      score_head
    [[ $downstream$baseline == falsefalse ]] || make_mfcc
    [[ $baseline != true || ! -s $units/test/units.jsonl ]] || score_baseline
    [[ $downstream != true ]] || score_downstream
  elif [[ -s $units/test/units.jsonl ]]; then
    echo "  no phones.ctm in $train and $test: only what needs no labels is scored"
    score bitrate bitrate "$units/test"
    if ! score speaker speaker "$units/test" --data "$test"; then # it needs two speakers of five utterances
      rm -f "$scores/speaker.json"
      echo "  without a score of speakers: see above"
    fi
  fi
}

score_head() { # what the CTC head of a supervised model hears
  job score-head python3 "$common/hear.py" "$exp" "$test" "$scores/head.json"
  [[ ! -s $data/dev/phones.ctm ]] ||
    job score-head-dev python3 "$common/hear.py" "$exp" "$data/dev" "$scores/head-dev.json"
}

make_mfcc() { # in $mfcc, whatever features the model has; what is scored on them is kept there for all models
  local stamp split
  stamp=$(cat "$train"/{wav.scp,phones.ctm} "$test"/{wav.scp,phones.ctm} | sha256sum)
  [[ ! -s $mfcc/stamp || $(<"$mfcc/stamp") != "$stamp" ]] || return 0
  rm -rf "$mfcc"
  for split in train test; do unitdisc combine "$mfcc/$split" "$data/$split" >/dev/null; done
  job mfcc unitdisc features "$common/conf/mfcc.yaml" "$mfcc"/{train,test} --jobs "$jobs" --force
  echo "$stamp" >"$mfcc/stamp"
}

kept_score() { # NAME SCORE ARGUMENT...: as score, but from $mfcc/scores if it is there
  mkdir -p "$mfcc/scores"
  if [[ ! -s $mfcc/scores/$1.json ]]; then
    score "$@"
    cp "$scores/$1.json" "$mfcc/scores/"
  fi
  cp "$mfcc/scores/$1.json" "$scores/"
}

# k-means on MFCC, with as many codes as the model has: what units must beat.
score_baseline() {
  local codes kmeans split speaker
  codes=$(section "$exp/config.yaml" model.quantizer.codes)
  [[ $codes =~ ^[0-9]+$ ]] || return 0
  kmeans=$mfcc/kmeans-$codes
  [[ -s $kmeans/config.yaml ]] || job kmeans unitdisc kmeans "$common/conf/mfcc.yaml" "$kmeans" --train "$mfcc/train" --codes "$codes"
  for split in train test; do
    job "kmeans-$split" unitdisc encode "$kmeans" "$mfcc/$split" "$kmeans/units/$split" --jobs "$jobs"
  done
  for speaker in across within; do
    kept_score "kmeans-$codes-abx-$speaker" abx "$kmeans/units/test/codes.scp" "$scores/triphone.item" --speaker "$speaker"
  done
  kept_score "kmeans-$codes" all "$kmeans/units/test" "${labels[@]}" --train "$kmeans/units/train" --data "$test"
}

# What units are for: a small ASR (a BiLSTM with CTC, phones as its words) trained on the units of the training speakers,
# and the same on MFCC.
score_downstream() {
  local how=(per --method probe-ctc --epochs 10 "${labels[@]}")
  if [[ -s $units/test/units.jsonl ]]; then
    score downstream-units "${how[@]}" --train "$units/train" "$units/test"
  else
    score downstream-vectors "${how[@]}" --train "$units/train/codes.scp" "$units/test/codes.scp"
  fi
  kept_score downstream-mfcc "${how[@]}" --train "$mfcc/train/feats.scp" "$mfcc/test/feats.scp"
}

score() { # NAME SCORE ARGUMENT...: into $exp/scores/NAME.json
  # shellcheck disable=SC2016 # for the inner shell
  job "score-$1" bash -c 'file=$1; shift; unitdisc score "$@" --json >"$file"' score "$exp/scores/$1.json" "${@:2}" ||
    return # also where `set -e` sleeps, as in a condition
  echo "  $exp/scores/$1.json"
}

stage_convert() {
  local to=() word
  if [[ $(section "$config" model.decoder.kind) == '"none"' ]]; then
    echo "$stage_title: nothing to do, the model of $config has no decoder"
    return
  fi
  needs train "$exp/config.yaml"
  needs encode "$exp/units/test/units.jsonl"
  needs data "$data/test/utt2spk" "$data/train/spk2utt"
  uses "$targets" "$sentences"
  kept "$exp/converted" && return
  unitdisc subset "$data/test" "$exp/to-convert" --random "$sentences" --force
  # Without a wish: the first and the last speaker of the training set, one woman and one man in most lists.
  for word in ${targets:-$(sed -n '1s/ .*//p; $s/ .*//p' "$data/train/spk2utt")}; do to+=(--to "$word"); done
  job convert unitdisc convert "$exp" "$exp/to-convert" "$exp/converted" "${to[@]}" "${force[@]}"
}

stage_report() {
  needs score "$exp"/scores/*.json
  uses "$(find "$exp/converted" -type f 2>/dev/null | sort)"
  kept "$exp/report.html" && return
  job report unitdisc report "$exp" --out "$exp/report.html" "${force[@]}"
  echo "  $PWD/$exp/report.html"
}
