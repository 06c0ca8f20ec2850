#!/usr/bin/env bash
# Run a command, or N of them at once, each with its own log:
#
#   cmd.sh [--backend local|slurm] [--max-jobs N] [--sbatch "OPTIONS"] [JOB=1:N] LOG COMMAND [ARGUMENT...]
#
# JOB stands for the job's number in LOG and in the arguments. If a job fails, the end of its log is shown and the exit
# code is 1. slurm waits for the job (an array of them); --sbatch "--gres=gpu:1 --mem=16G" is handed on. A recipe takes
# the whole as --cmd "../common/cmd.sh --backend slurm".
set -uo pipefail

fail() {
  printf 'cmd.sh: %s\n' "$*" >&2
  exit 2
}

backend=local max_jobs=0 sbatch_options=() job='' first=1 last=1
while [[ ${1-} == --* ]]; do
  (($# > 1)) || fail "$1: a value must follow"
  case $1 in
    --backend) backend=$2 ;;
    --max-jobs) max_jobs=$2 ;;
    --sbatch) read -ra sbatch_options <<<"$2" ;;
    *) fail "unknown option '$1'" ;;
  esac
  shift 2
done
[[ $backend == local || $backend == slurm ]] || fail "--backend: expected local or slurm, got '$backend'"
[[ $max_jobs =~ ^[0-9]+$ ]] || fail "--max-jobs: expected a number, got '$max_jobs'"
if [[ ${1-} =~ ^([A-Za-z]+)=([0-9]+):([0-9]+)$ ]]; then
  job=${BASH_REMATCH[1]} first=${BASH_REMATCH[2]} last=${BASH_REMATCH[3]}
  ((first <= last)) || fail "$1: expected FIRST:LAST"
  shift
fi
(($# > 1)) || fail "expected [JOB=1:N] LOG COMMAND..., got '$*'"
log=$1
shift
((first == last)) || [[ $log == *"$job"* ]] || fail "$log: must contain $job, or all jobs would write to one log"
mkdir -p "$(dirname "$log")" || exit 2

numbered() { # TEXT NUMBER: the text with the job's number in it
  if [[ -n $job ]]; then printf %s "${1//$job/$2}"; else printf %s "$1"; fi
}

run_one() { # NUMBER COMMAND...
  local number=$1 start=$SECONDS status=0 command=() argument
  shift
  for argument; do command+=("$(numbered "$argument" "$number")"); done
  {
    printf '# %s\n# started %s on %s\n' "${command[*]@Q}" "$(date '+%F %T')" "$(hostname)"
    "${command[@]}" </dev/null || status=$?
    printf '# ended with code %d after %d s\n' "$status" $((SECONDS - start))
  } >"$(numbered "$log" "$number")" 2>&1
}

run_local() {
  if ((first == last)); then # in the foreground, so that Ctrl-C reaches it
    run_one "$first" "$@"
    return
  fi
  set -m # a process group for each job, so that Ctrl-C can be handed on to all of it
  local pid number signal
  for signal in INT TERM; do
    # shellcheck disable=SC2064 # the signal's name is meant as it is now
    trap 'for pid in $(jobs -p); do kill -'$signal' -- "-$pid" 2>/dev/null; done; wait 2>/dev/null; exit 130' $signal
  done
  for ((number = first; number <= last; number++)); do
    while ((max_jobs > 0)) && (($(jobs -rp | wc -l) >= max_jobs)); do wait -n 2>/dev/null; done
    run_one "$number" "$@" &
  done
  set +m # or bash would tell of each job's end
  wait
}

run_slurm() {
  command -v sbatch >/dev/null || fail "--backend slurm: there is no sbatch here; use --backend local"
  local name script array=()
  name=$(basename "${log%.log}")
  script=$(dirname "$log")/slurm/$name.sh
  mkdir -p "$(dirname "$script")"
  # Inside the job this script runs the local way, for the one number that Slurm hands it.
  [[ -z $job ]] || array=("--array=$first-$last$( ((max_jobs == 0)) || printf '%%%d' "$max_jobs")")
  {
    printf '#!/usr/bin/env bash\ncd %q || exit 2\nexec %q ' "$PWD" "$(cd "$(dirname "$0")" && pwd)/$(basename "$0")"
    # shellcheck disable=SC2016 # the number is known in the job only
    [[ -z $job ]] || printf '%s="$SLURM_ARRAY_TASK_ID:$SLURM_ARRAY_TASK_ID" ' "$job"
    printf '%q ' "$log" "$@"
    printf '\n'
  } >"$script"
  for ((number = first; number <= last; number++)); do rm -f "$(numbered "$log" "$number")"; done
  trap 'scancel "$(cut -d ";" -f 1 "$script.id")"; exit 130' INT TERM
  sbatch --wait --parsable "--job-name=$name" "--output=$script.%a.out" "${array[@]}" "${sbatch_options[@]}" \
    "$script" >"$script.id" || true # the logs say which jobs failed
  local patience=10 # half seconds that a network file system may need to show the logs
  [[ -s $script.id ]] || patience=0 # it was not even accepted
  while ((patience-- > 0)) && [[ -n $(jobs_without '^# ended with code ') ]]; do sleep 0.5; done
}

jobs_without() { # PATTERN: the numbers of the jobs whose logs do not end so
  local number
  for ((number = first; number <= last; number++)); do
    tail -n 1 "$(numbered "$log" "$number")" 2>/dev/null | grep -q "$1" || echo "$number"
  done
}

if [[ $backend == local ]]; then run_local "$@"; else run_slurm "$@"; fi
failed=$(jobs_without '^# ended with code 0 ')
[[ -n $failed ]] || exit 0
if [[ -z $(jobs_without '^# ended with code \(0\|130\|143\) ') ]]; then # Ctrl-C, or told to end
  printf 'cmd.sh: interrupted; the same command goes on (%s)\n' "$log" >&2
  exit 130
fi
worst=$(numbered "$log" "$(head -n 1 <<<"$failed")")
printf 'cmd.sh: %d of %d jobs failed; the end of %s:\n' "$(wc -l <<<"$failed")" $((last - first + 1)) "$worst" >&2
if [[ -s $worst ]]; then tail -n 15 "$worst" >&2; else cat "$(dirname "$log")"/slurm/*.out >&2 2>/dev/null; fi
exit 1
