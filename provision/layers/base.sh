#!/bin/sh
# Layer base: the packages that vibe's own images begin with, on an image from anywhere; the locale;
# what shells and programs find in their environment. PACKAGES: names of Debian packages.
set -eu

missing=
for package in $PACKAGES; do
  dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^.i' ||
    missing="$missing $package"
done
if [ "$missing" ]; then
  apt-get update
  # shellcheck disable=SC2086
  apt-get install -y --no-install-recommends $missing
fi

[ -s /etc/default/locale ] || echo LANG=C.UTF-8 >/etc/default/locale

# Every program gets these, also one that no shell started. Agents ask for IS_SANDBOX before they
# work as root without questions; Gemini would look for a container to run in.
for line in COLORTERM=truecolor IS_SANDBOX=1 GEMINI_SANDBOX=false; do
  grep -qs "^${line%%=*}=" /etc/environment || echo "$line" >>/etc/environment
done

cat >/etc/profile.d/vibe.sh <<'END'
# Shells in this VM: all history is kept, without lines that repeat or begin with a space.
export COLORTERM="${COLORTERM:-truecolor}" IS_SANDBOX=1 GEMINI_SANDBOX=false
HISTCONTROL=ignoreboth
HISTSIZE=-1
HISTFILESIZE=-1
END
# The last word, after what a distribution's own .bashrc says.
for file in /root/.bashrc /etc/skel/.bashrc; do
  mkdir -p "${file%/*}"
  grep -qs /etc/profile.d/vibe.sh "$file" ||
    printf '\n[ ! -f /etc/profile.d/vibe.sh ] || . /etc/profile.d/vibe.sh\n' >>"$file"
done
