#!/bin/sh
# Runs build.sh in a Debian VM that has the recipe at /mnt/recipe, and leaves disk.raw in /mnt/out.
#
#     in_vm.sh SUITE VARIANT PACKAGES DISK_MIB [MIRROR...]
set -eu
if ! command -v mmdebstrap >/dev/null || ! command -v mke2fs >/dev/null; then
  cp /mnt/recipe/host-apt.conf /etc/apt/apt.conf.d/00build
  # The lists are as old as the image; reading new ones takes a minute under emulation.
  install='apt-get install -y --no-install-recommends mmdebstrap e2fsprogs'
  $install || { apt-get update && $install; }
fi
# On the disk: it is larger than the memory.
out=/var/tmp/vibe
mkdir -p "$out/work"
sh /mnt/recipe/build.sh "$out" "$@"
cp --sparse=always "$out/disk.raw" /mnt/out/disk.raw
sync
