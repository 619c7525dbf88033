#!/usr/bin/env bash
# Three ranks of a real mpirun; one is killed in the middle, which ends the run; the same line goes on. Then a merge.
#     mpi.sh REPOSITORY T2I OUT FLAGS…          FLAGS: of t2i batch, the prompt file first
set -euo pipefail
root=$1 t2i=$2 out=$3
shift 3
export T2I=$t2i
export MPIRUN="mpirun -n 3 --allow-run-as-root --oversubscribe --mca oob_tcp_if_include lo --mca btl_tcp_if_include lo"

journaled() { cat "$out"/journal*.jsonl 2>/dev/null | wc -l; }
finished() { ! kill -0 "$1" 2>/dev/null; }

bash "$root/scripts/cluster/mpirun.sh" "$@" -o "$out" &
run=$!
trap 'kill -9 $run 2>/dev/null || true' EXIT
for _ in $(seq 3000); do
    [ "$(journaled)" -ge 10 ] && break
    finished $run && { echo "mpirun ended before anything was made" >&2; exit 1; }
    sleep 0.02
done
# Children of mpirun, by their parent, and not by name: others' processes are none of ours.
rank=$(ps -o pid= --ppid $run | head -1)
kill -9 "$rank"
if wait $run; then echo "mpirun did not notice that a rank was killed" >&2; exit 1; fi
cut=$(journaled)
echo "killed rank process $rank with $cut pictures in the journals"
bash "$root/scripts/cluster/mpirun.sh" "$@" -o "$out"
"$t2i" batch --merge -o "$out"
"$t2i" batch --verify -o "$out"
