#!/usr/bin/env bash
# Run a command, or N of them at once, each with its own log:
#
#   cmd.sh [OPTIONS] [JOB=1:N] LOG COMMAND [ARGUMENT...]
#
#   --backend local|slurm   here, or as a Slurm job that is waited for (an array, where there are several)
#   --max-jobs N            at once; 0: all
#   --num-threads N  --mem 4G  --time 4:00:00  --gpu N   what a job needs, as for Kaldi's run.pl and slurm.pl; slurm asks
#                           for it, local runs whatever comes. A recipe gives --num-threads and --gpu for each job.
#   --sbatch "OPTIONS"      handed on for every job: --sbatch "--account=speech --exclude='node1,node2'"
#   --sbatch-gpu "OPTIONS"  handed on, too, for jobs that need a GPU: --sbatch-gpu "--partition=gpu"
#
# JOB stands for the job's number in LOG and in the arguments. If a job fails, the end of its log is shown and the exit
# code is 1. A recipe takes the whole as --cmd "../common/cmd.sh --backend slurm", or Kaldi's own --cmd "utils/slurm.pl".
set -uo pipefail

fail() {
  printf 'cmd.sh: %s\n' "$*" >&2
  exit 2
}

split() { # TEXT: its words, quoted as in a shell, into $words
  words=()
  [[ -n $1 ]] || return 0
  local quoted
  quoted=$(xargs printf '%s\n' <<<"$1" 2>/dev/null) || fail "a quote without its other: $1"
  mapfile -t words <<<"$quoted"
}

backend=local max_jobs=0 threads=1 memory='' time='' gpus=0 for_all='' for_gpu='' job='' first=1 last=1
while [[ ${1-} == --* ]]; do
  (($# > 1)) || fail "$1: a value must follow"
  case $1 in
    --backend) backend=$2 ;;
    --max-jobs | --max-jobs-run) max_jobs=$2 ;;
    --num-threads) threads=$2 ;;
    --mem) memory=$2 ;;
    --time) time=$2 ;;
    --gpu) gpus=$2 ;;
    --sbatch) for_all=$2 ;;
    --sbatch-gpu) for_gpu=$2 ;;
    *) fail "unknown option '$1'" ;;
  esac
  shift 2
done
[[ $backend == local || $backend == slurm || $backend == batch ]] || fail "--backend: expected local or slurm, got '$backend'"
[[ $max_jobs =~ ^[0-9]+$ ]] || fail "--max-jobs: expected a number, got '$max_jobs'"
[[ $threads =~ ^[1-9][0-9]*$ ]] || fail "--num-threads: expected a number above 0, got '$threads'"
[[ $gpus =~ ^[0-9]+$ ]] || fail "--gpu: expected a number, got '$gpus'"
sbatch_options=("--cpus-per-task=$threads")
[[ -z $memory ]] || sbatch_options+=("--mem=$memory")
[[ -z $time ]] || sbatch_options+=("--time=$time")
((gpus == 0)) || sbatch_options+=("--gres=gpu:$gpus")
split "$for_all" && sbatch_options+=("${words[@]}") # later options win, so that the user has the last word
if ((gpus > 0)); then split "$for_gpu" && sbatch_options+=("${words[@]}"); fi
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
  trap : INT TERM HUP USR1 # the command acts on them, and how it ended still comes into the log
  for argument; do command+=("$(numbered "$argument" "$number")"); done
  # shellcheck disable=SC2094 # the log's end is read when it is written
  {
    printf '# %s\n# started %s on %s\n' "${command[*]@Q}" "$(date '+%F %T')" "$(hostname)"
    "${command[@]}" </dev/null || status=$?
    [[ -z $(tail -c 1 "$(numbered "$log" "$number")") ]] || echo # its last line has no end
    printf '# ended with code %d after %d s\n' "$status" $((SECONDS - start))
  } >>"$(numbered "$log" "$number")" 2>&1
}

run_local() {
  local number signal
  for signal in INT TERM HUP; do
    # shellcheck disable=SC2064 # the signal's name is meant as it is now
    trap "hand_on $signal" $signal
  done
  trap 'hand_on TERM' USR1 # Slurm's --signal=B:USR1@120 tells this process alone that the time limit is near
  set -m # a process group for each job, so that a signal can be handed on to all of it
  for ((number = first; number <= last; number++)); do
    while ((max_jobs > 0)) && (($(jobs -rp | wc -l) >= max_jobs)); do wait -n 2>/dev/null; done
    $stopped || run_one "$number" "$@" &
  done
  set +m # or bash would tell of each job's end
  until wait; do :; done # a signal ends it
}

stopped=false
hand_on() { # SIGNAL
  local pid
  $stopped || [[ $backend != local ]] || printf 'cmd.sh: waiting for the job to save and end\n' >&2 # a step of a training may take its time
  stopped=true
  for pid in $(jobs -p); do kill "-$1" -- "-$pid" 2>/dev/null; done
}

remove_logs() {
  local number
  for ((number = first; number <= last; number++)); do rm -f "$(numbered "$log" "$number")"; done
}

run_slurm() {
  command -v sbatch >/dev/null || fail "--backend slurm: there is no sbatch here; use --backend local"
  local name script array=()
  name=$(basename "${log%.log}")
  script=$(dirname "$log")/slurm/$name.sh
  mkdir -p "$(dirname "$script")"
  rm -f "$script".*.out "$script.id" # of earlier days
  # In the job this script runs for the one number that Slurm hands it; a job that is queued again adds to its log.
  [[ -z $job ]] || array=("--array=$first-$last$( ((max_jobs == 0)) || printf '%%%d' "$max_jobs")")
  {
    printf '#!/usr/bin/env bash\ncd %q || exit 2\nexec %q --backend batch ' "$PWD" "$(cd "$(dirname "$0")" && pwd)/$(basename "$0")"
    # shellcheck disable=SC2016 # the number is known in the job only
    [[ -z $job ]] || printf '%s="$SLURM_ARRAY_TASK_ID:$SLURM_ARRAY_TASK_ID" ' "$job"
    printf '%q ' "$log" "$@"
    printf '\n'
  } >"$script"
  trap 'cancel "$script.id"' INT TERM HUP
  # In the background, where Ctrl-C does not reach it: it waits until the cancelled job has ended.
  sbatch --wait --parsable "--job-name=$name" "--output=$script.%a.out" "${array[@]}" "${sbatch_options[@]}" \
    "$script" >"$script.id" & # the logs say which jobs failed
  until wait; do :; done
  # sbatch may take a job for ended that is about to be queued again.
  while [[ -s $script.id && -n $(squeue --noheader --jobs "$(job_id "$script.id")" 2>/dev/null) ]]; do sleep 1; done
  local patience=10 # half seconds that a network file system may need to show the logs
  [[ -s $script.id ]] || patience=0 # it was not even accepted
  while ((patience-- > 0)) && [[ -n $(jobs_without '^# ended with code ') ]]; do sleep 0.5; done
}

cancel() { # FILE with the job's number
  while [[ ! -s $1 && -n $(jobs -rp) ]]; do sleep 0.1; done
  [[ ! -s $1 ]] || scancel "$(job_id "$1")"
}

job_id() { # FILE of what sbatch --parsable said
  cut -d ";" -f 1 "$1"
}

jobs_without() { # PATTERN: the numbers of the jobs whose logs do not end so
  local number
  for ((number = first; number <= last; number++)); do
    tail -n 1 "$(numbered "$log" "$number")" 2>/dev/null | grep -q "$1" || echo "$number"
  done
}

[[ $backend == batch ]] || remove_logs
if [[ $backend == slurm ]]; then run_slurm "$@"; else run_local "$@"; fi
failed=$(jobs_without '^# ended with code 0 ')
[[ -n $failed ]] || exit 0
worst=$(numbered "$log" "$(head -n 1 <<<"$failed")")
broken=$(jobs_without '^# ended with code \(0\|130\|143\) ') # the others were told to end, by Ctrl-C, say
said=()
if [[ $backend == slurm ]]; then # what Slurm itself said, of a time limit, say, belongs to the log
  script=$(dirname "$log")/slurm/$(basename "${log%.log}").sh
  [[ -s $script.id ]] || printf 'cmd.sh: Slurm did not accept the job; what it said stands above\n' >&2
  mapfile -t said < <(cat "$script".*.out 2>/dev/null)
  ((${#said[@]} == 0)) || printf '# slurm: %s\n' "${said[@]}" >>"$worst"
fi
if [[ ${said[*]} == *'DUE TO TIME LIMIT'* ]]; then
  printf 'cmd.sh: the time limit ended it; the same command goes on where it was: raise --time, or start again (%s)\n' \
    "$worst" >&2
elif [[ -z $broken ]]; then
  printf 'cmd.sh: interrupted; the same command goes on (%s)\n' "$log" >&2
  exit 130
fi
printf 'cmd.sh: %d of %d jobs failed; the end of %s:\n' "$(wc -l <<<"$failed")" $((last - first + 1)) "$worst" >&2
[[ ! -s $worst ]] || tail -n 15 "$worst" >&2
exit 1
