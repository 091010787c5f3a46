#!/bin/sh
# A node's share of the pod network: its own range for its pods, a route to every other node's, and the outside world.
set -eu
outside="POSTROUTING -s $POD_SUBNET ! -d $POD_SUBNET -j MASQUERADE"
# shellcheck disable=SC2086
iptables -w -t nat -C $outside 2>/dev/null || iptables -w -t nat -A $outside

configure() {
  cat >/etc/cni/net.d/.new <<EOF
{"cniVersion": "0.3.1", "name": "pods", "plugins": [
  {"type": "ptp", "ipMasq": false, "ipam": {"type": "host-local", "dataDir": "/run/cni-ipam-state",
   "routes": [{"dst": "0.0.0.0/0"}], "ranges": [[{"subnet": "$1"}]]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
EOF
  cmp -s /etc/cni/net.d/.new /etc/cni/net.d/10-pods.conflist || mv /etc/cni/net.d/.new /etc/cni/net.d/10-pods.conflist
}

each='{.metadata.name}|{.spec.podCIDR}|{.status.addresses[?(@.type=="InternalIP")].address}{"\n"}'
# A watch ends now and then, as does the API server.
while :; do
  kubectl get nodes --watch -o jsonpath="$each" | while IFS='|' read -r name range address; do
    if [ -z "$range" ] || [ -z "$address" ]; then continue; fi
    if [ "$name" = "$NODE" ]; then configure "$range"; else ip route replace "$range" via "$address"; fi
  done
  sleep 1
done
