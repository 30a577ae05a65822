#!/bin/sh
# Makes a disk like Debian's published "nocloud" one: a partition table, GRUB for BIOS and for UEFI, a
# root file system with systemd, root without a password, and nothing of vibe. Runs as root, or as
# root of a user namespace; needs mmdebstrap and mke2fs. GRUB comes from packages and is made inside.
#
#     build.sh OUT SUITE MIRROR...
#
# In OUT appears disk.raw, sparse. OUT/work is scratch space; host-apt.conf is beside this file.
set -eu
umask 022
here=$(cd "$(dirname "$0")" && pwd)
out=$1 suite=$2
shift 2
root=$out/work/root
root_mib=2048 efi_mib=16

mmdebstrap --mode=root --format=directory --variant=apt --aptopt="$here/host-apt.conf" \
  --include=linux-image-cloud-amd64,initramfs-tools,grub-pc-bin,grub-efi-amd64-bin,mtools,systemd-sysv,udev,dbus,login,passwd \
  --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
  --essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d"' \
  --essential-hook='printf "MODULES=list\nCOMPRESS=cat\n" >"$1/etc/initramfs-tools/conf.d/plain"' \
  --essential-hook='printf "virtio_blk\nvirtio_pci\next4\n" >"$1/etc/initramfs-tools/modules"' \
  "$suite" "$root" "$@"

echo plain >"$root/etc/hostname"
echo '127.0.0.1 localhost plain' >"$root/etc/hosts"
echo '/dev/vda1 / ext4 noatime 0 0' >"$root/etc/fstab"
chroot "$root" passwd -d root
# Chores and what emulation makes slow; the login is as systemd has it.
chroot "$root" systemctl mask apt-daily.timer apt-daily-upgrade.timer getty@tty1.service \
  systemd-networkd-wait-online.service

cat >"$root/boot/early.cfg" <<'END'
set root=(hd0,msdos1)
linux /vmlinuz root=/dev/vda1 rw console=hvc0 quiet panic=-1 mitigations=off
initrd /initrd.img
boot
END
chroot "$root" grub-mkimage -O x86_64-efi -p /boot/grub -c /boot/early.cfg -o /boot/bootx64.efi \
  part_msdos ext2 linux boot normal
truncate -s "${efi_mib}M" "$root/boot/efi.img"
chroot "$root" sh -c 'cd /boot && mformat -i efi.img :: && mmd -i efi.img ::/EFI ::/EFI/BOOT &&
  mcopy -i efi.img bootx64.efi ::/EFI/BOOT/BOOTX64.EFI'
mv "$root/boot/efi.img" "$out/work/efi.img"
chroot "$root" grub-mkimage -O i386-pc -p /boot/grub -c /boot/early.cfg -o /boot/core.img \
  biosdisk part_msdos ext2 linux boot normal
# boot.img loads core.img from the sector behind it, which is where core.img says it lies.
cat "$root/usr/lib/grub/i386-pc/boot.img" "$root/boot/core.img" >"$out/work/grub"
[ "$(wc -c <"$out/work/grub")" -lt 1048576 ]

disk=$out/disk.raw
truncate -s $((1 + root_mib + efi_mib))M "$disk"
dd if="$out/work/grub" of="$disk" conv=notrunc status=none
dd if="$out/work/efi.img" of="$disk" bs=1M seek=$((1 + root_mib)) conv=notrunc status=none
# An entry of the partition table: status, CHS, type, CHS, first sector, sectors. Offset and size are
# in MiB; CHS is not used.
entry() {
  printf "$1\\377\\377\\377$2\\377\\377\\377"
  for number in $(($3 << 11)) $(($4 << 11)); do
    printf "$(printf '\\%03o\\%03o\\%03o\\%03o' $((number & 255)) $((number >> 8 & 255)) \
      $((number >> 16 & 255)) $((number >> 24)))"
  done
}
{
  entry '\200' '\203' 1 $root_mib
  entry '\000' '\357' $((1 + root_mib)) $efi_mib
  head -c 32 /dev/zero
  printf '\125\252'
} | dd of="$disk" bs=1 seek=446 conv=notrunc status=none
mke2fs -q -t ext4 -m 0 -d "$root" \
  -E lazy_itable_init=1,lazy_journal_init=1,offset=1048576 "$disk" "${root_mib}M"
rm -rf "$root"
