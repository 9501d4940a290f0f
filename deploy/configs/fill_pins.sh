#!/bin/sh
# Makes certificates if there are none and writes each party's fingerprint into the other's config.
# For one machine only: in a federation of several, each party gets its peers' fingerprints over another channel and
# pastes them itself, because whoever runs this script could pin anything.
#
#   fill_pins.sh [CERTS] [CONFIGS]     default: certs and deploy/configs of this repository
#
# Running it again changes nothing. TERTIUM names the command where it is not on the PATH.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
certs=${1:-$here/../../certs}
configs=${2:-$here}
tertium=${TERTIUM:-tertium}

# Keeps what is there already, the authority included.
"$tertium" certs init "$certs" --name party-a --name party-b

# pin CONFIG PEER: sets the line of PEER below [policy.peers].
pin() {
    fingerprint=$("$tertium" certs show "$certs/$2.pem" | sed -n 's/.*\(sha256:[0-9a-f]\{64\}\).*/\1/p')
    if [ -z "$fingerprint" ]; then
        echo "no fingerprint of $2 in the output of: tertium certs show $certs/$2.pem" >&2
        exit 4
    fi
    aside=$(mktemp)
    sed "s/^\($2 = \"\)sha256:[0-9a-f]\{64\}\"/\1$fingerprint\"/" "$configs/$1.toml" >"$aside"
    if ! grep -q "^$2 = \"$fingerprint\"" "$aside"; then
        rm -f "$aside"
        echo "$configs/$1.toml has no line '$2 = \"sha256:…\"' below [policy.peers]; write one and run this again" >&2
        exit 2
    fi
    cat "$aside" >"$configs/$1.toml"
    rm -f "$aside"
    echo "pinned:    $2 in $configs/$1.toml"
}

pin party-a party-b
pin party-b party-a
