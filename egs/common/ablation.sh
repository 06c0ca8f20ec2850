# shellcheck shell=bash disable=SC2154 # variables made by `option`
# The ablation of a speech recipe, to be sourced: every row of conf/ablation is laid over --config and trained with every
# seed, as runs that can be interrupted and continued; then one table and its plot.

run_ablation() { # the recipe's arguments
  local folder=$exp here=$PWD inputs rows row number run runs=()
  [[ -z ${option_given[stage]-}${option_given[stop_stage]-} ]] ||
    usage_error "--ablation runs whole rows; leave out --stage and --stop-stage (what is done is skipped)"
  if [[ $folder == "exp/$config_name-$seed" ]]; then
    folder=exp/ablation-$config_name
    [[ $config_name != ablation ]] || folder=exp/ablation
  fi
  rows=$ablation
  [[ $rows != true ]] || rows=$(cd "$common/conf/ablation" && echo *.yaml | sed 's/\.yaml//g')
  for row in $rows; do
    [[ -s $common/conf/ablation/$row.yaml ]] ||
      usage_error "--ablation: unknown row '$row'; known are $(cd "$common/conf/ablation" && echo *.yaml | sed 's/\.yaml//g')"
  done
  [[ $seeds =~ ^[0-9]+(\ +[0-9]+)*$ ]] || usage_error "--seeds: expected numbers, as in '0 1 2', got '$seeds'"
  (stop_stage=features run_stages)
  inputs=$(shared_inputs)
  for row in $rows; do
    python3 "$common/rows.py" "$config" "$common/conf/ablation/$row.yaml" "$folder/conf/$row.yaml"
  done
  for number in $seeds; do # all rows of a seed first, so that an early look compares like with like
    for row in $rows; do
      echo "$row, seed $number"
      # Paths among the options may be relative to where the recipe was called from.
      (cd "${OLDPWD:-.}" && "$here/${0##*/}" "$@" --ablation off --config "$folder/conf/$row.yaml" \
        --exp "$folder/$row-$number" --set "" --seed "$number" --stage train --stop-stage score) | sed 's/^/  /'
      write_result "$folder/$row-$number" "$row" "$number"
      [[ ! -e $folder/$row-$number/result.json ]] ||
        python3 "$common/results.py" "$folder/$row-$number" "$folder/conf/$row.yaml" --data "$inputs"
    done
  done
  for run in "$folder"/*/result.json; do # those of earlier calls, too
    run=${run%/result.json}
    [[ ! -e $run/result.json || ${run##*/} == *.before-* ]] || runs+=("$run") # but none that was set aside
  done
  [[ -n ${runs[*]-} ]] || die "$folder: no run has a score; give phones (phones.ctm in $data/train and test), or other rows"
  python3 "$common/ablation.py" table "${runs[@]}" --config "$config" --data "$inputs" \
    --out "$folder/table.md" --plot "$folder/table.png"
  echo "  $PWD/$folder/table.md"
}

shared_inputs() { # a hash of what all rows and seeds depend on beside their configuration
  local file
  {
    echo "$version"
    for file in "${data_files[@]/#/$data/}"; do [[ ! -s $file ]] || digest "$file"; done
  } | sha256sum | cut -c 1-16
}

write_result() { # EXP ROW SEED: what of its scores goes into the table
  local scores=$1/scores found=() name file definition
  while read -r name file definition; do
    [[ -s $scores/$file ]] && grep -q "\"$definition\"" "$scores/$file" && found+=("$name=$scores/$file:$definition")
  done <<'ROWS'
codes units.json active-codes
perplexity units.json perplexity
codes usage.json active-codes
perplexity usage.json perplexity
units-per-second bitrate.json units-per-second
bitrate bitrate.json bitrate-zr2020
speaker speaker.json speaker-accuracy-histogram
ABX-across codes-abx-across.json abx-across-within-angular
ABX-within codes-abx-within.json abx-within-within-angular
PNMI units.json pnmi
PER-many-to-one units.json per-mapping-many-to-one-nosil
PER-ASR-units downstream-units.json per-probe-ctc-lstm-nosil
PER-ASR-vectors downstream-vectors.json per-probe-ctc-lstm-nosil
PER-ASR-mfcc downstream-mfcc.json per-probe-ctc-lstm-nosil
PER-head-dev head-dev.json per-ctc-head-nosil
PER-head head.json per-ctc-head-nosil
ROWS
  if [[ -z ${found[*]-} ]]; then
    echo "  not in the table: without phones there is nothing to score of it"
    rm -f "$1/result.json"
    return
  fi
  python3 "$common/ablation.py" result "$1" "$2" "$3" "${found[@]}"
}
