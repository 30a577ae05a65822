#!/bin/sh
# Makes the files of a Debian base image. Runs as root, or as root of a user namespace with a whole
# range of user ids; needs mmdebstrap and mke2fs.
#
#     build.sh OUT SUITE VARIANT PACKAGES DISK_MIB [MIRROR...]
#
# PACKAGES is separated by commas. In OUT appears disk.raw: ext4 on the whole disk, sparse. OUT/work
# is scratch space. hooks/ is beside this file, and so is host-apt.conf, apt settings for the time of
# the build.
set -eu
umask 022
recipe=$(cd "$(dirname "$0")" && pwd)
out=$1 suite=$2 variant=$3 packages=$4 disk_mib=$5
shift 5
root=$out/work/root

mmdebstrap --mode=root --format=directory --variant="$variant" --include="$packages" \
  --skip=cleanup/apt/lists --hook-dir="$recipe/hooks" --verbose "$suite" "$root" "$@"

# The lists stay, so that "apt-get install" works at once; read ahead, it is 5 s faster where the
# processor is emulated.
chroot "$root" apt-cache gencaches
rm -f "$root/var/cache/apt/pkgcache.bin"

echo 'vibe: disk'
truncate -s "${disk_mib}M" "$out/disk.raw"
disk() {
  mke2fs -q -t ext4 -L vibe -m 0 -d "$root" -E "lazy_journal_init=1,$1" $2 "$out/disk.raw"
}
# Inode tables stay holes in the file, and the guest need not clear them: 0.3 GB less. e2fsprogs
# before 1.47 must be told to clear them here.
tables=lazy_itable_init=1,assume_storage_prezeroed=1
disk "$tables" -n >/dev/null 2>&1 || tables=lazy_itable_init=0
disk "$tables" ''
rm -rf "$root"
