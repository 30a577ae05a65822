#!/bin/sh
# Layer tools: node with npm, which the layer fails without; mise, uv and rust, which are named and
# left out if their servers cannot be reached.
#
# What became of each is said on lines of its own: "vibe: installed NAME VERSION" and "vibe: missing
# NAME WHY".
set -u
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME=/root

# Runs an installer from the web, whole or not at all: install URL [ARGUMENT...]
install() {
  url=$1
  shift
  if ! curl -fsSL --connect-timeout 20 --retry 2 -o "$work/installer" "$url"; then
    why="its server cannot be reached (${url#https://})"
    return 1
  fi
  why='its installer failed'
  sh "$work/installer" "$@"
}

report() {
  echo "vibe: installed $1 $("$1" --version 2>/dev/null | head -n 1 | grep -oE '[0-9][0-9A-Za-z.+-]*' | head -n 1)"
}

if MISE_INSTALL_PATH=/usr/local/bin/mise install https://mise.run; then
  report mise
else
  echo "vibe: missing mise $why"
fi

if UV_INSTALL_DIR=/usr/local/bin UV_NO_MODIFY_PATH=1 install https://astral.sh/uv/install.sh; then
  report uv
else
  echo "vibe: missing uv $why"
fi

if install https://sh.rustup.rs -y --profile minimal -c rustfmt -c clippy --no-modify-path; then
  ln -sf /root/.cargo/bin/* /usr/local/bin/
  report rustc
else
  echo "vibe: missing rust $why"
fi

node_from_mise() {
  command -v mise >/dev/null && mise use --global node@lts && place=$(mise where node@lts) &&
    ln -sf "$place/bin/node" "$place/bin/npm" "$place/bin/npx" /usr/local/bin/
}

# Debian's npm is 400 packages. corepack comes with Debian's node, and brings npm as npm publishes it:
# 11 is the last for node 20.
npm_by_corepack() {
  export COREPACK_HOME="$work/corepack" COREPACK_ENABLE_DOWNLOAD_PROMPT=0
  corepack prepare npm@11 || return
  mkdir -p /usr/local/lib/node_modules
  rm -rf /usr/local/lib/node_modules/npm
  mv "$work"/corepack/npm/*/ /usr/local/lib/node_modules/npm || return
  for name in npm npx; do
    chmod +x "/usr/local/lib/node_modules/npm/bin/$name-cli.js"
    ln -sf "../lib/node_modules/npm/bin/$name-cli.js" "/usr/local/bin/$name"
  done
}

node_from_debian() {
  # The lists may be older than what is on the mirrors.
  apt-get install -y --no-install-recommends nodejs ||
    { apt-get update && apt-get install -y --no-install-recommends nodejs; } || return
  npm_by_corepack || apt-get install -y --no-install-recommends npm
}

if ! command -v npm >/dev/null; then
  node_from_mise || node_from_debian || exit
fi
# For everyone's "npm install --global".
grep -qs '^prefix=' /root/.npmrc || echo prefix=/usr/local >>/root/.npmrc
node --version && npm --version || exit
report node
report npm
