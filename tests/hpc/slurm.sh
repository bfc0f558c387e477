#!/usr/bin/env bash
# A real Slurm on this machine, for the tests: `slurm.sh up FOLDER [NODES]`, `slurm.sh down FOLDER`.
#
# Everything it writes is in FOLDER. Clients find it by SLURM_CONF=FOLDER/slurm.conf. It needs root: slurmd starts jobs as
# other users, and refuses to be another user. No systemd, no cgroups, no database.
set -euo pipefail

action=$1
folder=$2
nodes=${3:-2}
export SLURM_CONF=$folder/slurm.conf
first_port=$((20000 + RANDOM % 10000))

install() {
    for program in munged slurmctld slurmd sbatch; do
        if ! command -v "$program" > /dev/null; then
            export DEBIAN_FRONTEND=noninteractive
            apt-get -qq update
            apt-get -qq install --yes --no-install-recommends munge slurmctld slurmd slurm-client > /dev/null
            return
        fi
    done
}

configure() {
    local host
    host=$(hostname -s)
    cat << CONF
ClusterName=penstock
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$first_port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$folder/munge.socket
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool-%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd-%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd-%n.log
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
# Without cgroups, memory is measured, each second, and a job above its limit is killed.
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
# One job on each node before a second one on any.
SelectTypeParameters=CR_CPU_Memory,CR_LLN
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
# A node has what this file says, whatever the machine has.
SlurmdParameters=config_overrides
ReturnToService=2
# Seconds between SIGTERM and SIGKILL.
KillWait=2
CONF
    local number
    for number in $(seq "$nodes"); do
        echo "NodeName=node$number NodeHostname=$host NodeAddr=127.0.0.1 Port=$((first_port + number)) CPUs=2 RealMemory=4000"
    done
    echo "PartitionName=short Nodes=ALL Default=YES MaxTime=60 State=UP"
    echo "PartitionName=closed Nodes=ALL State=DOWN"
}

up() {
    install
    mkdir -p "$folder/state"
    chmod 755 "$folder"
    configure > "$SLURM_CONF"
    (umask 077 && head -c 1024 /dev/urandom > "$folder/munge.key")
    munged --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
        --log-file="$folder/munged.log" --seed-file="$folder/munged.seed"
    slurmctld
    local number
    for number in $(seq "$nodes"); do
        mkdir -p "$folder/spool-node$number"
        slurmd -N "node$number"
    done
    for _ in $(seq 100); do
        if [ "$(sinfo --noheader --Node --states=idle --partition=short 2> /dev/null | wc -l)" = "$nodes" ]; then
            return
        fi
        sleep 0.2
    done
    tail -n 20 "$folder"/*.log >&2
    echo "the nodes of Slurm did not come up" >&2
    return 1
}

down() {
    scancel --user=root 2> /dev/null || true
    local file
    for file in "$folder"/slurmd-*.pid "$folder/slurmctld.pid" "$folder/munged.pid"; do
        if [ -s "$file" ]; then
            end "$(cat "$file")" "$(basename "$file" .pid)"
        fi
    done
}

# Stop one process, if it still is what its file says.
end() {
    local pid=$1 name=${2%%-*}
    if [ "$(cat "/proc/$pid/comm" 2> /dev/null)" != "$name" ]; then
        return
    fi
    kill "$pid"
    for _ in $(seq 50); do
        # A zombie is as good as gone: in a container, it may stay one.
        if ! grep -q '^State:[[:space:]]*[^ZX]' "/proc/$pid/status" 2> /dev/null; then
            return
        fi
        sleep 0.1
    done
    kill -KILL "$pid" || true
}

"$action"
