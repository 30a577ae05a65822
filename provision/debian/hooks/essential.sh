#!/bin/sh
# mmdebstrap hook: once the essential packages work. $1 is the new root directory.
#
# The kernel package wants something that makes an initramfs. The host brings the initramfs of
# these VMs, so an empty package says that one is there: no initramfs is made now or when a
# kernel is upgraded in the guest. Installing initramfs-tools replaces it.
set -eu

deb="$1/tmp/vibe-initramfs"
mkdir -p "$deb/DEBIAN"
cat >"$deb/DEBIAN/control" <<'END'
Package: vibe-initramfs
Version: 1
Architecture: all
Maintainer: vibe <root@localhost>
Provides: linux-initramfs-tool
Conflicts: linux-initramfs-tool
Description: stands for the initramfs that the host of this VM brings
END
chroot "$1" dpkg-deb --build /tmp/vibe-initramfs
chroot "$1" dpkg --install /tmp/vibe-initramfs.deb
rm -r "$deb" "$deb.deb"
