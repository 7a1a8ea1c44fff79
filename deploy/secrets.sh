#!/bin/sh
# Makes the passwords that deploy/compose.yaml hands to its containers. What is there is kept: the database remembers its
# password. Run it once, before the first start.
set -eu
cd "$(dirname "$0")"

# Containers read the files as users of their own, so everybody may; the directory keeps everybody else on this machine out.
umask 022
mkdir -p secrets
chmod 700 secrets

# Without characters that a URL would have to escape.
password() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

for name in database-password grafana-password; do
    [ -s "secrets/$name" ] || password >"secrets/$name"
done
printf 'postgres://cartwright:%s@postgres:5432/cartwright' "$(cat secrets/database-password)" >secrets/database-url
echo "The passwords are in $(pwd)/secrets."
