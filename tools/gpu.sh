#!/usr/bin/env bash
# All that is to be known of a GPU, in one call of at most nine minutes; then a training of the waveform decoder, which
# goes on where it was at each further call:
#     tools/gpu.sh [OUT]                              writes OUT/gpu.json and OUT/gpu.md (default: exp/gpu)
#     tools/gpu.sh OUT decoder TRAIN DEV [SECONDS]    trains in OUT/decoder for so many seconds (480)
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
out=${1:-exp/gpu}
if [[ ${2:-} == decoder ]]; then
  exec python tools/gpu.py decoder "$out" "$3" "$4" --seconds "${5:-480}"
fi
exec python tools/gpu.py measure "$out" --seconds 480
