#!/bin/sh
# mmdebstrap hook: every package is installed. $1 is the new root directory.
set -eu
root=$1

rm "$root/etc/dpkg/dpkg.cfg.d/build" "$root/etc/apt/apt.conf.d/00build"

# The kernel is the host's to choose (it boots with -kernel), so "apt-get upgrade" need not fetch
# new ones. linux-image-cloud-* can be installed again at any time.
for meta in $(chroot "$root" dpkg-query -W -f '${Package}\n' 'linux-image-cloud-*' 2>/dev/null); do
  for kernel in "$root"/boot/vmlinuz-*; do
    chroot "$root" apt-mark manual "linux-image-${kernel##*/vmlinuz-}"
  done
  chroot "$root" dpkg --remove "$meta"
done

# Its modules must outlive their package: whatever the guest installs or removes, the host boots this
# kernel. Links take no space; the agent puts them in place if they are missed.
mkdir -p "$root/usr/lib/vibe"
cp -al "$root/usr/lib/modules" "$root/usr/lib/vibe/modules"

echo vibe >"$root/etc/hostname"
cat >"$root/etc/hosts" <<'END'
127.0.0.1 localhost
127.0.1.1 vibe
::1 localhost ip6-localhost ip6-loopback
END
echo '/dev/vda / ext4 noatime 0 0' >"$root/etc/fstab"
# The agent fills it in when the host is QEMU, which has its addresses from us.
echo '# Written by vibe' >"$root/etc/resolv.conf"
: >"$root/etc/motd"
rm -f "$root/etc/issue" "$root/etc/issue.net"
echo LANG=C.UTF-8 >"$root/etc/default/locale"

# Nobody is there to answer what a package asks; and anyone may ping.
echo debconf debconf/frontend select Noninteractive | chroot "$root" debconf-set-selections
mkdir -p "$root/etc/sysctl.d"
echo 'net.ipv4.ping_group_range = 0 2147483647' >"$root/etc/sysctl.d/vibe.conf"

cat >"$root/root/.profile" <<'END'
# ~/.profile: a login shell reads it
if [ "$BASH" ] && [ -f ~/.bashrc ]; then
  . ~/.bashrc
fi
END
cat >"$root/root/.bashrc" <<'END'
# ~/.bashrc: every interactive shell reads it
export LANG="${LANG:-C.UTF-8}"
export PATH="$HOME/.local/bin:$PATH"
case $- in *i*) ;; *) return ;; esac
PS1='\u@\h:\w\$ '
HISTCONTROL=ignoreboth
HISTSIZE=10000
HISTFILESIZE=20000
shopt -s histappend checkwinsize
alias ls='ls --color=auto' grep='grep --color=auto' ll='ls -l'
END

[ -x "$root/usr/bin/systemctl" ] || exit 0
etc=$root/etc/systemd

# The agent sets the network up before systemd runs and says so on the kernel's command line
# (vibe.net). Without it, take what DHCP gives. Cards keep the kernel's names: eth0.
mkdir -p "$etc/network"
ln -s /dev/null "$etc/network/99-default.link"
cat >"$etc/network/80-dhcp.network" <<'END'
[Match]
Name=eth*

[Network]
DHCP=yes
END
cat >"$etc/system/vibe-resolv.path" <<'END'
[Unit]
Description=Watch for name servers from DHCP

[Path]
PathChanged=/run/systemd/netif/state

[Install]
WantedBy=multi-user.target
END
cat >"$etc/system/vibe-resolv.service" <<'END'
[Unit]
Description=Write the name servers from DHCP to /etc/resolv.conf

[Service]
Type=oneshot
# A change that comes while this runs does not start it again, so it waits for what it is there for.
ExecStart=/bin/sh -c 'state=/run/systemd/netif/state; i=0; \
  until grep -q "^DNS=." $state || [ $((i += 1)) -gt 300 ]; do sleep 0.2; done; \
  servers=$(sed -n "s/^DNS=//p" $state); [ "$servers" ] || exit 0; \
  printf "nameserver %%s\n" $servers >/etc/resolv.conf'
END
for unit in systemd-networkd.service systemd-networkd.socket vibe-resolv.path; do
  mkdir -p "$etc/system/$unit.d"
  printf '[Unit]\nConditionKernelCommandLine=!vibe.net\n' >"$etc/system/$unit.d/vibe.conf"
done
chroot "$root" systemctl enable systemd-networkd.service vibe-resolv.path

mkdir -p "$etc/journald.conf.d"
cat >"$etc/journald.conf.d/vibe.conf" <<'END'
[Journal]
Storage=volatile
RuntimeMaxUse=16M
END

# What a throw-away VM has no use for: periodic chores, debugging file systems, hardware that is
# not there, and logins on consoles ("systemctl unmask --now serial-getty@hvc0" brings that one
# back). /tmp stays on the disk: builds put big things there.
chroot "$root" systemctl mask \
  apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer man-db.timer \
  e2scrub_all.timer e2scrub_reap.service \
  tmp.mount dev-hugepages.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
  sys-kernel-config.mount sys-fs-fuse-connections.mount \
  modprobe@configfs.service modprobe@drm.service modprobe@efi_pstore.service \
  modprobe@fuse.service systemd-pstore.service systemd-random-seed.service \
  systemd-journal-flush.service systemd-network-generator.service \
  systemd-networkd-persistent-storage.service systemd-networkd-wait-online.service \
  systemd-udev-load-credentials.service systemd-ask-password-console.path \
  systemd-ask-password-wall.path getty@tty1.service serial-getty@hvc0.service
mkdir -p "$etc/system-generators"
for generator in getty gpt-auto hibernate-resume ssh system-update tpm2; do
  ln -s /dev/null "$etc/system-generators/systemd-$generator-generator"
done

# Going over every device at boot took 10 s of emulated processor time: most of it for 63 text
# consoles, drivers for processor features (kvm_amd, aesni) and the chipset's empty SATA ports.
# hvc0 must be known for a login there, button for the power button.
mkdir -p "$etc/system/systemd-udev-trigger.service.d"
cat >"$etc/system/systemd-udev-trigger.service.d/vibe.conf" <<'END'
[Service]
ExecStart=
ExecStart=-udevadm trigger --type=devices --action=add --subsystem-nomatch=acpi --subsystem-nomatch=cpu --subsystem-nomatch=memory --subsystem-nomatch=tty --subsystem-nomatch=vc --subsystem-nomatch=wakeup --subsystem-nomatch=workqueue
ExecStart=-udevadm trigger --action=add /sys/class/tty/hvc0
END
echo button >"$root/etc/modules-load.d/vibe.conf"
echo blacklist ahci >"$root/etc/modprobe.d/vibe.conf"

# Nothing in /etc or /var is older than /usr: no catalogues to make again at the first boot.
touch "$root/etc/.updated" "$root/var/.updated"
