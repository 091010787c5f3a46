# Starts the server past the image's entrypoint, with users made of the mounted passwords. Their hashes stand in memory
# only, and no password in a command line.
set -eu
sha256() { printf %s "$(cat "/etc/broker/passwords/$1")" | sha256sum | cut -d ' ' -f 1; }
umask 077
sed -e "s/\${APP_SHA256}/$(sha256 broker-password)/" \
    -e "s/\${SCALER_SHA256}/$(sha256 scaler-password)/" \
    -e "s/\${PROBE_SHA256}/$(sha256 probe-password)/" /etc/broker/config/users.acl >/run/broker/users.acl
exec "$1" /etc/broker/config/broker.conf
