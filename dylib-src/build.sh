#!/bin/sh
# Builds the universal dylib: build.sh OUTPUT
# On a Mac with Apple's compiler and SDK, elsewhere with clang-19, lld-19, llvm-19 and sdk/.
# The same sources and compiler give the same bytes.
set -eu
output=${1:?usage: build.sh OUTPUT}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
install_name=@rpath/libvibe_vz.dylib
common='-Os -fvisibility=hidden -Wall -Wextra -Werror -Wunguarded-availability'
objc='-fobjc-arc -fobjc-arc-exceptions'

# tbd NAME INSTALL-NAME CURRENT COMPATIBILITY: makes a linker stub of a library of macOS.
tbd() {
  symbols=$here/sdk/symbols/$1.sym
  cat >"$work/$1.tbd" <<END
--- !tapi-tbd
tbd-version: 4
targets: [ x86_64-macos, arm64-macos ]
install-name: '$2'
current-version: $3
compatibility-version: $4
exports:
  - targets: [ x86_64-macos, arm64-macos ]
    symbols: [ $(sed -n "/ /!s/.*/'&'/p" "$symbols" | paste -sd, -) ]
    objc-classes: [ $(sed -n 's/^class //p' "$symbols" | paste -sd, -) ]
    objc-eh-types: [ $(sed -n 's/^exception //p' "$symbols" | paste -sd, -) ]
...
END
}

if [ "$(uname -s)" = Darwin ]; then
  cd "$here"
  # shellcheck disable=SC2086
  clang -arch arm64 -arch x86_64 -mmacosx-version-min=13.0 $common $objc \
    -dynamiclib -install_name "$install_name" -Wl,-dead_strip -Wl,-x \
    -framework Foundation -framework Virtualization \
    bridge.m configuration.m devices.m machine.m settings.m -o "$work/libvibe_vz.dylib"
  codesign --force --sign - "$work/libvibe_vz.dylib"
else
  v=-${LLVM:-19}
  frameworks=/System/Library/Frameworks
  tbd libSystem /usr/lib/libSystem.B.dylib 1 1
  tbd libobjc /usr/lib/libobjc.A.dylib 228 1
  tbd CoreFoundation $frameworks/CoreFoundation.framework/Versions/A/CoreFoundation 150 150
  tbd Foundation $frameworks/Foundation.framework/Versions/C/Foundation 300 300
  tbd Virtualization $frameworks/Virtualization.framework/Versions/A/Virtualization 1 1
  for arch in arm64 x86_64; do
    for source in "$here"/*.m "$here"/*.c; do
      case $source in *.m) flags=$objc ;; *) flags= ;; esac
      # shellcheck disable=SC2086
      "clang$v" -target $arch-apple-macos13.0 -nostdlibinc -I"$here/sdk/libc" \
        -I"$here/sdk/frameworks" $common $flags -c "$source" \
        -o "$work/$(basename "$source").$arch.o"
    done
    # macOS 11 and Apple silicon run nothing unsigned, so lld signs both slices ad hoc.
    "ld64.lld$v" -arch "$arch" -platform_version macos 13.0 15.0 -dylib -dead_strip -x \
      -adhoc_codesign -install_name "$install_name" "$work"/*.$arch.o "$work"/*.tbd \
      -o "$work/$arch.dylib"
  done
  "llvm-lipo$v" -create "$work/arm64.dylib" "$work/x86_64.dylib" -output "$work/libvibe_vz.dylib"
fi
chmod 644 "$work/libvibe_vz.dylib"
mv "$work/libvibe_vz.dylib" "$output"
