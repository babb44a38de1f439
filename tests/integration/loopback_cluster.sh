#!/usr/bin/env bash
# A Ray cluster over ssh on one machine, by deploy/cluster-local.yaml: `ray up`, every step from a log to a ranked ad as
# `ray job submit` and `serve deploy`, and `ray down`.
#
#   tests/integration/loopback_cluster.sh [DIR]        # some minutes; DIR keeps logs and the run, default: a new one
#
# Three hosts (laptop, head, worker) are namespaces: each has its own network, processes, /tmp and home, and joins the
# others by a bridge, so that `ray down`, which runs `ray stop` on the head, ends no other Ray of this machine. Each sees
# the venv of the project under an overlay of its own, into which it installs the wheel. Needs Linux, root, and the
# packages openssh-server, rsync, iproute2 and curl.
set -euo pipefail

ROOT=$(cd "$(dirname "$0")/../.." && pwd)
BIN=$ROOT/.venv/bin
HEAD=10.77.0.1 WORKER=10.77.0.2 LAPTOP=10.77.0.254

say() { printf '\n== %s [%s s]\n' "$*" "$SECONDS"; }

prepare() { # what all hosts share: the wheel, a token, keys, a run's config
  mkdir -p "$1"/{laptop,head,worker}/{home,tmp,overlay/{new,work}} "$1"/shared
  for host in laptop head worker; do
    mkdir -m 700 "$1/$host/home/.ssh"
    cp /etc/skel/.bashrc "$1/$host/home"
    chmod 1777 "$1/$host/tmp"
    ln -sfn "$ROOT/.venv" "$1/$host/home/venv"
    sed "s#^root:\(.*\):/root:#root:\1:$1/$host/home:#" /etc/passwd >"$1/$host/passwd"
  done
  ssh-keygen -q -t ed25519 -N '' -f "$1/laptop/home/.ssh/id_ed25519"
  for host in head worker; do
    ssh-keygen -q -t ed25519 -N '' -f "$1/$host/host_key"
    install -m 600 "$1/laptop/home/.ssh/id_ed25519.pub" "$1/$host/home/.ssh/authorized_keys"
  done
  build_wheel "$1/laptop"
  write_configs "$1/laptop" "$1/shared"
}

build_wheel() {
  local copy
  copy=$(mktemp -d)
  cp -r "$ROOT"/{rosa_ray,workloads,pyproject.toml,README.md,LICENSE} "$copy"
  "$BIN/python" -m pip wheel -q --disable-pip-version-check --no-deps -w "$1/dist" "$copy"
  cp "$ROOT/requirements.lock" "$1"
  rm -r "$copy"
}

write_configs() { # the committed files, with this cluster's addresses, user and paths in them
  sed -e "s/192\.0\.2\.10/$HEAD/; s/\[192\.0\.2\.11, 192\.0\.2\.12\]/[$WORKER]/; s/max_workers: 2/max_workers: 1/" \
    -e 's/ssh_user: ubuntu/ssh_user: root/' "$ROOT/deploy/cluster-local.yaml" >"$1/cluster.yaml"
  sed -e "s#runs/demo#$2/run#" "$ROOT/serve_config.yaml" >"$1/serve_config.yaml"
  mkdir -p "$1/job"
  cat >"$1/job/tiny.yaml" <<EOF
run_dir: $2/run
simulation: {users: 400, requests_per_user: 12, events_per_user: 30, items: 300, ads: 100, partitions: 2}
preprocess: {partitions: 2}
model: {width: 16, layers: 1, heads: 2, hidden: [32]}
training: {workers: 2, epochs: 1}
EOF
}

network() { # inside: a bridge; host NAME's end of the cable is moved into it later
  ip link set lo up
  ip link add br0 type bridge
  ip addr add $LAPTOP/24 dev br0
  ip link set br0 up
}

own_files() { # DIR/HOST: its own /tmp, /run and home; what it writes into the project's venv stays in its overlay
  mount --bind "$1/tmp" /tmp
  mount --bind "$1/passwd" /etc/passwd
  mount -t tmpfs none /run
  mount -t overlay overlay -o "lowerdir=$ROOT/.venv,upperdir=$1/overlay/new,workdir=$1/overlay/work" "$ROOT/.venv"
}

host() { # DIR/HOST ADDRESS: an ssh server in namespaces of its own; the first process of the host
  own_files "$1"
  while ! ip link show eth0 &>/dev/null; do sleep 0.1; done
  ip link set lo up
  ip addr add "$2/24" dev eth0
  ip link set eth0 up
  ip route add default via $LAPTOP
  mkdir -m 755 /run/sshd
  exec /usr/sbin/sshd -D -e -f /dev/null -h "$1/host_key" -o "ListenAddress=$2" -o UsePAM=no -o PidFile=none \
    -o PermitRootLogin=prohibit-password -o PasswordAuthentication=no -o KbdInteractiveAuthentication=no
}

start_host() { # DIR HOST ADDRESS
  unshare --net --pid --fork --kill-child --mount --mount-proc --ipc --uts \
    "$0" host "$1/$2" "$3" >"$1/$2/sshd.log" 2>&1 &
  local first=
  while [ -z "$first" ]; do first=$(pgrep -P $! || sleep 0.1); done
  ip link add "to-$2" type veth peer name eth0 netns "$first"
  ip link set "to-$2" master br0 up
}

submit() {
  say "ray job submit: $1"
  ray job submit --address "$DASHBOARD" --working-dir job -- python -m workloads "$1" tiny.yaml
}

wait_for() { # SECONDS COMMAND...
  local until=$((SECONDS + $1))
  shift
  until "$@" &>/dev/null; do
    [ $SECONDS -lt $until ] || { echo "error: not in time: $*" >&2; return 1; }
    sleep 2
  done
}

two_nodes() { [ "$(on_head ray list nodes --filter state=ALIVE --format json | grep -o '"node_id"' | wc -l)" = 2 ]; }

on_head() { # COMMAND...: in a shell as `ray up` has it
  ssh -q -i "$HOME/.ssh/id_ed25519" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null root@$HEAD \
    "PATH=$BIN:\$PATH RAY_AUTH_MODE=token $*"
}

laptop() { # DIR: what a user types
  trap 'exit 130' INT TERM # the first process of a namespace gets no signal that it does not ask for
  network
  start_host "$1" head $HEAD
  start_host "$1" worker $WORKER
  own_files "$1/laptop"
  export HOME=$1/laptop/home PATH=$BIN:$PATH RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
  export DASHBOARD=http://127.0.0.1:8265 OMP_NUM_THREADS=1
  cd "$1/laptop"
  ray get-auth-token --generate >token.log 2>&1 && rm token.log
  chmod 600 "$HOME/.ray/auth_token"

  say 'rosa cluster check'
  rosa cluster check cluster.yaml
  say 'ray up'
  ray up -y --no-config-cache --log-style pretty cluster.yaml
  ray dashboard cluster.yaml >dashboard.log 2>&1 &
  wait_for 120 ray job list --address "$DASHBOARD"
  say 'both hosts are nodes of the cluster'
  wait_for 400 two_nodes
  on_head ray list nodes
  say 'without the token the job server answers 401'
  [ "$(curl -s -o /dev/null -w '%{http_code}' "$DASHBOARD/api/jobs/")" = 401 ]
  for verb in simulate preprocess train materialize; do submit "$verb"; done

  say 'serve deploy'
  # Ray gives its proxies 60 s to start, which a busy machine may miss; the second try finds them started.
  serve deploy serve_config.yaml --address "$DASHBOARD" || serve deploy serve_config.yaml --address "$DASHBOARD"
  wait_for 300 curl -fsS http://$HEAD:8000/readyz
  serve status --address "$DASHBOARD" | grep -E 'status:|^ *[A-Z][A-Za-z]+:$|rosa:'
  say 'POST /rank'
  curl -fsS http://$HEAD:8000/rank -H 'Content-Type: application/json' -d '{"user_id": "u7", "top_k": 3}'
  echo

  say 'ray down'
  ray down -y --log-style pretty cluster.yaml
  say "Ray processes left: head $(ray_processes "$1" head), worker $(ray_processes "$1" worker)"
}

ray_processes() { # DIR HOST: how many there are among the processes of a host
  pgrep -fc 'raylet|gcs_server' --ns "$(pgrep -f "sshd.*$1/$2/host_key" | head -1)" --nslist pid || true
}

case ${1:-} in
  host) host "$2" "$3" ;;
  laptop) laptop "$2" ;;
  *)
    [ "$(id -u)" = 0 ] || { echo "error: run it as root: namespaces and ssh servers of its own need it" >&2; exit 1; }
    for tool in /usr/sbin/sshd rsync ip unshare curl; do
      command -v $tool >/dev/null || { echo "error: $tool is missing: apt install openssh-server rsync iproute2 curl" >&2; exit 1; }
    done
    DIR=$(realpath "${1:-$(mktemp -d /var/tmp/rosa-loopback.XXXX)}")
    case $DIR:$ROOT in
      /tmp/* | *:/tmp/*) echo "error: $DIR and $ROOT must not be in /tmp, of which each host has its own" >&2; exit 1 ;;
    esac
    prepare "$DIR"
    echo "$DIR holds the logs and the run"
    exec unshare --net --pid --fork --kill-child --mount --mount-proc --ipc --uts "$0" laptop "$DIR"
    ;;
esac
