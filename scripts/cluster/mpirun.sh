#!/usr/bin/env bash
# A prompt file on the hosts of mpirun, one process a GPU; each rank makes its own share into one shared folder:
#
#     MPIRUN="mpirun -n 8 --hostfile hosts" scripts/cluster/mpirun.sh prompts.jsonl -o out/ [flags of t2i batch]
#
# T2I names the program (default: t2i on the path). After a kill the same line goes on where it stopped. At the end:
#     t2i batch --merge -o out/
set -eu
# Each process sees the GPU of its number on its host; without GPUs the variable means nothing.
exec ${MPIRUN:-mpirun} bash -c 'export CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES:-$OMPI_COMM_WORLD_LOCAL_RANK}; exec "$0" batch "$@"' "${T2I:-t2i}" "$@"
