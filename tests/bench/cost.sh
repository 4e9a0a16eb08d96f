#!/usr/bin/env bash
# What the agent costs: processor, memory, bytes on the wire, beside peers in the same run.
#
#   tests/bench/cost.sh [--warm 60] [--seconds 120] [--bin FILE] [--no-peers] [--work "COMMAND" --every 300]
#
# The agent runs in a network namespace of its own with so many interfaces that it sees about 200 series, all of
# them from the kernel; it speaks TLS over a veth pair, whose counters are the bytes on the wire. Prints
# `name value unit`. Needs root, mosquitto, openssl; peers: collectd-core, prometheus-node-exporter, curl.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
warm=60 seconds=120 bin=$root/target/release/fieldmouse peers=1 work="" every=300 pairs=7
while [ $# -gt 0 ]; do
  case $1 in
    --warm) warm=$2; shift ;;
    --seconds) seconds=$2; shift ;;
    --bin) bin=$2; shift ;;
    --no-peers) peers=0 ;;
    --work) work=$2; shift ;;
    --every) every=$2; shift ;;
    --pairs) pairs=$2; shift ;;
    *) echo "cost.sh: \`$1\` is not understood" >&2; exit 2 ;;
  esac
  shift
done
for need in mosquitto openssl ip; do
  command -v $need >/dev/null || { echo "cost.sh: no $need; apt-get install -y mosquitto openssl iproute2" >&2; exit 1; }
done
[ -x "$bin" ] || { echo "cost.sh: $bin is absent; cargo build --release" >&2; exit 1; }

dir=$(mktemp -d) ns=fieldmouse-bench-$$ pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  ip netns del $ns 2>/dev/null || true
  ip link del fm$$a 2>/dev/null || true
  rm -rf "$dir"
}
trap finish EXIT

# A private authority, a server certificate, a device certificate.
cert() { # name, subject alternative name
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$dir/$1.key" -out "$dir/$1.csr" \
    -subj "/CN=$1" 2>/dev/null
  openssl x509 -req -in "$dir/$1.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial -days 2 \
    -extfile <(echo "subjectAltName=$2") -out "$dir/$1.pem" 2>/dev/null
}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$dir/ca.key" -out "$dir/ca.pem" \
  -days 2 -subj "/CN=bench" 2>/dev/null
cert server IP:10.213.0.1
cert bench-device DNS:bench-device

ip netns add $ns
ip link add fm$$a type veth peer name uplink netns $ns
ip addr add 10.213.0.1/30 dev fm$$a
ip link set fm$$a up
ip -n $ns addr add 10.213.0.2/30 dev uplink
ip -n $ns link set uplink up
ip -n $ns link set lo up
for i in $(seq "$pairs"); do
  ip -n $ns link add lan"$i" type veth peer name wan"$i"
  ip -n $ns link set lan"$i" up
  ip -n $ns link set wan"$i" up
done

cat > "$dir/mosquitto.conf" <<EOF
listener 8883 10.213.0.1
cafile $dir/ca.pem
certfile $dir/server.pem
keyfile $dir/server.key
require_certificate true
use_identity_as_username true
user root
EOF
chmod -R go+rX "$dir"
mosquitto -c "$dir/mosquitto.conf" >"$dir/mosquitto.log" 2>&1 & pids+=($!)
collector=$(dirname "$bin")/fieldmouse-collector
if [ -x "$collector" ]; then
  cp "$dir/bench-device.pem" "$dir/c.pem"
  cat > "$dir/collector.toml" <<EOF
[broker]
url = "mqtts://10.213.0.1:8883"
ca_file = "$dir/ca.pem"
cert_file = "$dir/bench-device.pem"
key_file = "$dir/bench-device.key"
[http]
listen = "127.0.0.1:18080"
[store]
path = "$dir/collector.db"
EOF
  "$collector" run --config "$dir/collector.toml" >"$dir/collector.log" 2>&1 & pids+=($!)
fi
cat > "$dir/fieldmouse.toml" <<EOF
[node]
name = "bench-device"
[agent]
state_dir = "$dir/state"
socket = "$dir/agent.sock"
[broker]
url = "mqtts://10.213.0.1:8883"
ca_file = "$dir/ca.pem"
cert_file = "$dir/bench-device.pem"
key_file = "$dir/bench-device.key"
[source.host]
ignore_interfaces = []
EOF
ip netns exec $ns "$bin" run --config "$dir/fieldmouse.toml" >"$dir/agent.log" 2>&1 & pids+=($!)
agent=$!

declare -A peer
if [ $peers = 1 ]; then
  if command -v collectd >/dev/null; then
    cat > "$dir/collectd.conf" <<EOF
Interval 1
PIDFile "$dir/collectd.pid"
LoadPlugin cpu
LoadPlugin load
LoadPlugin memory
LoadPlugin swap
LoadPlugin df
LoadPlugin disk
LoadPlugin interface
LoadPlugin processes
LoadPlugin uptime
LoadPlugin contextswitch
LoadPlugin entropy
LoadPlugin vmem
LoadPlugin mqtt
<Plugin mqtt>
  <Publish "local">
    Host "10.213.0.1"
    Port 8884
  </Publish>
</Plugin>
EOF
    collectd -f -C "$dir/collectd.conf" >"$dir/collectd.log" 2>&1 & pids+=($!); peer[collectd]=$!
  fi
  if command -v prometheus-node-exporter >/dev/null; then
    prometheus-node-exporter --web.listen-address=127.0.0.1:19100 >"$dir/exporter.log" 2>&1 & pids+=($!)
    peer[node_exporter]=$!
    (while sleep 1; do curl -s -o /dev/null http://127.0.0.1:19100/metrics; done) & pids+=($!)
  fi
fi
if [ -n "$work" ]; then
  (while sleep "$every"; do sh -c "$work" >/dev/null 2>&1; done) & pids+=($!)
fi

ticks() { awk '{sub(/.*\) /, ""); print $12 + $13}' /proc/"$1"/stat; }
wire() { cat /sys/class/net/fm$$a/statistics/rx_bytes /sys/class/net/fm$$a/statistics/tx_bytes \
  /sys/class/net/fm$$a/statistics/rx_packets /sys/class/net/fm$$a/statistics/tx_packets | tr '\n' ' '; }
hz=$(getconf CLK_TCK)
sleep "$warm"
declare -A before
before[fieldmouse]=$(ticks $agent)
for name in "${!peer[@]}"; do before[$name]=$(ticks "${peer[$name]}"); done
sched0=$(cat /proc/$agent/task/*/schedstat | awk '{s += $1} END {print s}')
start=$(date +%s.%N)
sleep "$seconds"
end=$(date +%s.%N)
report() { # name pid
  local after; after=$(ticks "$2")
  awk -v n="$1" -v a="${before[$1]}" -v b="$after" -v hz="$hz" -v t0="$start" -v t1="$end" \
    'BEGIN {printf "%s_cpu %.3f percent_of_a_core\n", n, 100 * (b - a) / hz / (t1 - t0)}'
  awk -v n="$1" '/^Pss:/ {p = $2} /^Pss_Anon:/ {a = $2} /^Rss:/ {r = $2}
    END {printf "%s_pss %.2f MiB\n%s_anonymous %.2f MiB\n%s_rss %.2f MiB\n", n, p/1024, n, a/1024, n, r/1024}' \
    /proc/"$2"/smaps_rollup
  awk -v n="$1" '/^VmHWM/ {printf "%s_rss_peak %.2f MiB\n", n, $2/1024}' /proc/"$2"/status
}
sched1=$(cat /proc/$agent/task/*/schedstat | awk '{s += $1} END {print s}')
report fieldmouse $agent
for name in "${!peer[@]}"; do report "$name" "${peer[$name]}"; done
"$bin" status --config "$dir/fieldmouse.toml" --json > "$dir/status.json"
python3 - "$dir/status.json" "$sched0" "$sched1" "$start" "$end" <<'EOF'
import json, sys
s = json.load(open(sys.argv[1])); a, b, t0, t1 = map(float, sys.argv[2:])
series = sum(x["series"] for x in s["sources"])
print(f"fieldmouse_series {series} count")
print(f"fieldmouse_cpu_by_scheduler {100 * (b - a) / 1e9 / (t1 - t0):.3f} percent_of_a_core")
print(f"fieldmouse_cpu_per_series {(b - a) / 1e3 / (t1 - t0) / series:.2f} us_per_series_and_second")
print(f"fieldmouse_episodes_opened {s['opened']} count")
print(f"fieldmouse_flash_written {s['outbox']['bytes_written']} bytes")
print(f"fieldmouse_flash_per_day {s['outbox']['flash_bytes_day'] * 86400 / max(s['uptime_s'], 1):.0f} bytes")
print(f"fieldmouse_ticks_late {s['late']} count")
EOF
# Since the start of the agent: handshake, birth and all. 14 bytes of each packet are the Ethernet header.
read -r rx tx rxp txp <<<"$(wire)"
echo "fieldmouse_wire $(( rx + tx - 14 * (rxp + txp) )) bytes_in_$(( warm + seconds ))_s"
