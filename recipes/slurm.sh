#!/usr/bin/env bash
#SBATCH --job-name=torch-pitfalls
#SBATCH --gpus=1
#SBATCH --time=00:15:00
# On a cluster whose nodes reach no package index. Once, on a login node, beside this file:
#   python -m pip download --dest wheels --no-deps torch-pitfalls
# Then: sbatch slurm.sh. Your environment has torch, NumPy, pytest and pytest-xdist; the node installs nothing else.
set -euo pipefail

python=${PYTHON:-python}
here=${SLURM_SUBMIT_DIR:-$PWD}
suite=$(mktemp -d)
trap 'rm -rf "$suite"' EXIT
"$python" -m pip install --quiet --no-index --no-deps --find-links "$here/wheels" --target "$suite" torch-pitfalls

export PYTHONPATH="$suite${PYTHONPATH:+:$PYTHONPATH}"
required=${PITFALLS_REQUIRE_DEVICE-cuda} # set but empty: none
"$python" -m pytest -q -p no:cacheprovider --pyargs pitfalls --record "$here/run-${SLURM_JOB_ID:-local}.json" \
    --device cpu --device cuda ${required:+--require-device="$required"}
