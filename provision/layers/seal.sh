#!/bin/sh
# After each layer: what no image should hold, and what it must.
set -eu
! command -v apt-get >/dev/null || apt-get clean
rm -rf /tmp/* /tmp/.[!.]* /var/tmp/* /root/.cache /root/.npm/_logs

# Every VM has an identity of its own; systemd fills the file in at the first boot.
[ ! -s /etc/machine-id ] || : >/etc/machine-id
rm -f /var/lib/systemd/random-seed /etc/ssh/ssh_host_*_key*

# The modules of the kernel that the host will boot outlive their package: links to the same files.
if [ -d /lib/modules ]; then
  rm -rf /usr/lib/vibe/modules
  mkdir -p /usr/lib/vibe
  cp -al /lib/modules /usr/lib/vibe/modules
fi

# What was deleted becomes a hole in the host's file.
fstrim / || true
sync
