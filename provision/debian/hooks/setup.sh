#!/bin/sh
# mmdebstrap hook: before any package. $1 is the new root directory.
set -eu

# Man pages and translations are a third of the files; licences stay. Running .pyc files by name
# would cost a service at boot. apt keeps no descriptions.
cat >"$1/etc/dpkg/dpkg.cfg.d/vibe" <<'END'
path-exclude=/usr/share/man/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/locale/*
path-include=/usr/share/locale/locale.alias
path-exclude=/usr/share/doc/*
path-include=/usr/share/doc/*/copyright
path-exclude=/usr/lib/binfmt.d/python3*
END
cat >"$1/etc/apt/apt.conf.d/90vibe" <<'END'
Acquire::Languages "none";
END

# No links to a kernel in /: nothing boots from there.
echo 'do_symlinks = no' >"$1/etc/kernel-img.conf"

# For the build only; customize.sh removes both. The second is how this host's apt reaches mirrors.
echo force-unsafe-io >"$1/etc/dpkg/dpkg.cfg.d/build"
cp "$(dirname "$0")/../host-apt.conf" "$1/etc/apt/apt.conf.d/00build"
