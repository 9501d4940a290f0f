#!/bin/sh
# The certificate desk of compose.yaml: makes one authority and all certificates, and gives each role a directory with
# its own certificate, its own key, the authority's certificate and its config. The authority's key stays at the desk.
#
#   hand_out.sh CONFIGS FILL_PINS DESK ROLES
#
# A demo's shortcut: in a federation each party makes its own key or takes it from its own authority, and pins its peers
# itself (README.md, "As separate daemons").
set -eu

configs=$1
fill_pins=$2
desk=$3
roles=$4

mkdir -p "$desk/certs" "$desk/configs"
cp "$configs/coordinator.toml" "$configs/neutral-server.toml" "$configs/party-a.toml" "$configs/party-b.toml" \
    "$desk/configs/"
sh "$fill_pins" "$desk/certs" "$desk/configs"

for role in coordinator neutral-server party-a party-b operator; do
    mkdir -p "$roles/$role"
    cp "$desk/certs/$role.pem" "$desk/certs/$role.key" "$desk/certs/authority.pem" "$roles/$role/"
    chmod 600 "$roles/$role/$role.key"
    if [ "$role" != operator ]; then
        cp "$desk/configs/$role.toml" "$roles/$role/config.toml"
    fi
done
cp "$configs/breast_cancer.toml" "$roles/operator/plan.toml"
