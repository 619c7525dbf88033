#!/usr/bin/env bash
# A prompt file on a Slurm cluster: each task of the array makes its own share, by hash of the ids, into one shared folder.
#
#     sbatch --array=0-7 --gpus-per-task=1 scripts/cluster/slurm_array.sh prompts.jsonl -o out/ [flags of t2i batch]
#     sbatch --dependency=afterany:JOB --wrap "t2i batch --merge -o out/"      # when all have ended
#
# T2I names the program (default: t2i on the path). A task that is killed, or is told that its time ends, is put back into the
# queue and goes on where it stopped. One process a GPU: ask for --gpus-per-task=1, and for more tasks rather than more GPUs.
#SBATCH --job-name=t2i-batch
#SBATCH --ntasks=1
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=TERM@120
set -u
most_restarts=20

code=0
srun "${T2I:-t2i}" batch "$@" || code=$?
case $code in
    0 | 2 | 3) exit "$code" ;;  # done; a flag or a file is wrong, and would be again
    5) exit 0 ;;                # done; the lines that failed are in failed.*.jsonl
esac
# Interrupted (130), killed (137, 143), or without its GPU (4).
if [ "${SLURM_RESTART_COUNT:-0}" -ge $most_restarts ]; then
    echo "t2i: gave up after $most_restarts restarts (exit code $code)" >&2
    exit "$code"
fi
echo "t2i: exit code $code, back into the queue" >&2
scontrol requeue "$SLURM_JOB_ID"
sleep 60  # the requeue ends this script
