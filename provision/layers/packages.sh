#!/bin/sh
# Layer packages: Debian packages that somebody asked for. PACKAGES: their names.
set -eu
apt-get update
# shellcheck disable=SC2086
apt-get install -y --no-install-recommends $PACKAGES
