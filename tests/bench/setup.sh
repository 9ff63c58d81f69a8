#!/usr/bin/env bash
# What the benchmarks measure against: Debian's own packages, installed only where they are missing.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }
need prometheus-blackbox-exporter prometheus-blackbox-exporter
need dnsperf dnsperf
need unbound unbound
need nginx nginx-light
need tcpdump tcpdump
need nats-server nats-server
((${#missing[@]})) || exit 0

if [[ $(id -u) != 0 ]]; then
    echo "bench: not root, and these packages are missing: ${missing[*]}" >&2
    exit 1
fi
# A package must not start a service that takes the ports of what runs here.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
    trap 'rm -f $policy' EXIT
fi
apt-get -q -y update
apt-get -q -y install --no-install-recommends "${missing[@]}"
