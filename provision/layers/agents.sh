#!/bin/sh
# Layer agents: coding agents, each by itself, so that one that fails does not take the others along.
# The layer fails if none could be installed. AGENTS: their names.
#
# What became of each is said on lines of its own: "vibe: installed NAME VERSION" and "vibe: missing
# NAME WHY".
set -u
export HOME=/root

if ! command -v npm >/dev/null; then
  echo 'There is no npm in this image: the layer tools brings it.' >&2
  exit 1
fi

# agent NAME PACKAGE COMMAND [@VERSION]
agent() {
  case " $AGENTS " in *" $1 "*) ;; *) return ;; esac
  # npm runs a package's own installer only if it is told to.
  if ! npm install --global --prefix /usr/local --no-audit --no-fund --no-update-notifier \
    --loglevel=warn --allow-scripts="$2" "$2${4-}"; then
    echo "vibe: missing $1 npm could not install $2"
  elif ! version=$("$3" --version </dev/null 2>&1); then
    echo "$version"
    echo "vibe: missing $1 $3 was installed, but does not start"
  else
    echo "vibe: installed $1 $(echo "$version" | grep -oE '[0-9]+\.[0-9][0-9A-Za-z.+-]*' | head -n 1)"
    count=$((count + 1))
  fi
}

# Since 0.75 pi needs node 22.19; Debian 13 has node 20.
pi_version() {
  node -e 'const [major, minor] = process.versions.node.split(".").map(Number);
    process.exit(major > 22 || (major === 22 && minor >= 19) ? 0 : 1)' || echo @0.74
}

count=0
agent claude-code @anthropic-ai/claude-code claude
agent codex @openai/codex codex
agent gemini-cli @google/gemini-cli gemini
agent opencode opencode-ai opencode
agent pi @earendil-works/pi-coding-agent pi "$(pi_version)"
npm cache clean --force >/dev/null 2>&1
[ "$count" -gt 0 ]
