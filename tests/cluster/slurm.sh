#!/usr/bin/env bash
# A real Slurm on the loopback address: munge, a controller and one node, started here and ended here. An array of three tasks;
# one is killed in the middle and put back into the queue by its script. Then a merge.
#     slurm.sh REPOSITORY T2I OUT FLAGS…        FLAGS: of t2i batch, the prompt file first
set -euo pipefail
root=$1 t2i=$2 out=$3
shift 3
[ "$(id -u)" -eq 0 ] || { echo "needs root" >&2; exit 1; }

home=$(mktemp -d)
chmod 755 "$home"
host=$(hostname -s)
daemons=()
end() {
    [ -e "$home/slurm.conf" ] && scancel --user=root >/dev/null 2>&1 || true
    for pid in "${daemons[@]}"; do kill "$pid" 2>/dev/null || true; done
    for _ in $(seq 50); do
        alive=0
        for pid in "${daemons[@]}"; do kill -0 "$pid" 2>/dev/null && alive=1; done
        [ $alive -eq 0 ] && break
        sleep 0.1
    done
    for pid in "${daemons[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
    rm -rf "$home"
}
trap end EXIT
report() {
    echo "$1" >&2
    tail -n 30 "$home"/*.log "$home"/*.out >&2 || true
    squeue >&2 || true
    exit 1
}

mkdir -p "$home/state" "$home/spool"
head -c 1024 /dev/urandom >"$home/munge.key"
chmod 400 "$home/munge.key"
munged --foreground --force --key-file="$home/munge.key" --socket="$home/munge.socket" --pid-file="$home/munge.pid" \
    --seed-file="$home/munge.seed" --num-threads=2 >"$home/munged.log" 2>&1 &
daemons+=($!)

cat >"$home/slurm.conf" <<CONF
ClusterName=t2i
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$home/munge.socket,cred_expire=5
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPort=${T2I_SLURM_PORT:-26817}
SlurmdPort=$((${T2I_SLURM_PORT:-26817} + 1))
StateSaveLocation=$home/state
SlurmdSpoolDir=$home/spool
SlurmctldPidFile=$home/slurmctld.pid
SlurmdPidFile=$home/slurmd.pid
SlurmctldLogFile=$home/slurmctld.log
SlurmdLogFile=$home/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/builtin
JobRequeue=1
ReturnToService=2
KillWait=5
SlurmdParameters=config_overrides
NodeName=$host NodeAddr=127.0.0.1 CPUs=3 State=UNKNOWN
PartitionName=t2i Nodes=$host Default=YES MaxTime=10 State=UP
CONF
export SLURM_CONF=$home/slurm.conf
for _ in $(seq 100); do [ -S "$home/munge.socket" ] && break; sleep 0.1; done
slurmctld -D >/dev/null 2>&1 &
daemons+=($!)
slurmd -D -N "$host" >/dev/null 2>&1 &
daemons+=($!)
for _ in $(seq 300); do sinfo -h -o %t 2>/dev/null | grep -q idle && break; sleep 0.1; done
sinfo -h -o %t | grep -q idle || report "Slurm did not come up"

journaled() { cat "$out"/journal*.jsonl 2>/dev/null | wc -l; }
export T2I=$t2i
job=$(sbatch --parsable --array=0-2 --output="$home/task-%a.out" "$root/scripts/cluster/slurm_array.sh" "$@" -o "$out")
for _ in $(seq 600); do [ "$(journaled)" -ge 10 ] && break; sleep 0.05; done
[ "$(journaled)" -ge 10 ] || report "nothing was made"
# The process of one task, as Slurm knows it.
victim=
for task in $(squeue -h -j "$job" -t running -o %A); do
    for pid in $(scontrol listpids "$task" 2>/dev/null | awk 'NR > 1 { print $1 }'); do
        [ "$(readlink "/proc/$pid/exe" 2>/dev/null)" = "$(readlink -f "$t2i")" ] && victim=$pid
    done
    [ -n "$victim" ] && break
done
[ -n "$victim" ] || report "no task is running any more"
kill -9 "$victim"
echo "killed process $victim of job $task with $(journaled) pictures in the journals"
for _ in $(seq 1200); do [ -z "$(squeue -h -j "$job" 2>/dev/null)" ] && break; sleep 0.1; done
[ -z "$(squeue -h -j "$job" 2>/dev/null)" ] || report "the tasks did not end"
grep -q "back into the queue" "$home"/task-*.out || report "no task was put back into the queue"
grep -h "^shard [0-9]" "$home"/task-*.out | sort -u
"$t2i" batch --merge -o "$out"
"$t2i" batch --verify -o "$out"
