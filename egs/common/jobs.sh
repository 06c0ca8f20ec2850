# shellcheck shell=bash disable=SC2154 # variables made by `option`
# Jobs of a stage, one after the other or side by side, to be sourced.
#
#   job train unitdisc train ...     with a log; waits for it, and its failure stops the recipe
#   beside score a ...; beside score b ...; joined
#                                    at most --jobs of them at once; a failure of one stops the others and the recipe

job() { # LOG COMMAND...: one job with its log; $job_threads and $job_gpus say what it needs
  local runner=() wanted=()
  read_cmd
  ((${job_threads:-1} == 1)) || wanted+=(--num-threads "$job_threads")
  ((${job_gpus:-0} == 0)) || wanted+=(--gpu "$job_gpus")
  "${runner[@]}" "${wanted[@]}" "$exp/log/$1.log" "${@:2}"
}

gpus_of_device() { # how many a job with --device needs
  if [[ $device == cpu ]]; then echo 0; else echo 1; fi
}

read_cmd() { # into $runner: --cmd is a program, or one with its options, quoted as in a shell
  local words
  runner=("$cmd")
  [[ ! -f $cmd || ! -x $cmd ]] || return 0
  words=$(xargs printf '%s\n' <<<"$cmd" 2>/dev/null) || usage_error "--cmd: a quote without its other: $cmd"
  mapfile -t runner <<<"$words"
  command -v "${runner[0]}" >/dev/null || usage_error "--cmd: no such program: ${runner[0]}"
}

beside_pids=()

beside() { # FUNCTION...: run it in the background, as soon as there is room
  local cores
  if [[ -z ${beside_pids[*]-} ]]; then
    mkdir -p "$exp/log"
    rm -f "$exp/log/failed"
    # Each is in a process group of its own, which Ctrl-C does not reach by itself.
    trap stop_beside EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
  fi
  while (($(jobs -rp | wc -l) >= jobs)); do
    wait -n 2>/dev/null || true
    check_beside
  done
  cores=$(getconf _NPROCESSORS_ONLN)
  {
    set -m
    {
      trap - INT TERM
      trap '(($? == 0)) || echo "$*" >>"$exp/log/failed"' EXIT
      export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((cores > jobs ? cores / jobs : 1))}
      "$@"
    } 2>&3 3>&- &
    beside_pids+=($!)
    set +m
  } 3>&2 2>/dev/null # where bash would tell that another one has ended
}

joined() { # wait for what runs in the background
  while [[ -n $(jobs -rp) ]]; do
    wait -n 2>/dev/null || true
    check_beside
  done
  check_beside
  beside_pids=()
  trap - EXIT INT TERM
}

check_beside() { # the job's log has been shown already
  [[ ! -s $exp/log/failed ]] || exit 1
}

stop_beside() {
  local pid
  for pid in "${beside_pids[@]}"; do kill -TERM -- "-$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
}
