#!/bin/sh
# On a Mac: the dylib that Apple's toolchain builds and the one that ships have the same interface.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
dylib-src/build.sh "$work/native.dylib"
deno eval "import { packed } from './ffi/dylib_data.ts'; import { unpack } from './ffi/library.ts';
  Deno.writeFileSync('$work/shipped.dylib', await unpack(packed));"
for arch in arm64 x86_64; do
  for name in native shipped; do
    nm -gjU -arch $arch "$work/$name.dylib" | sort >"$work/$name.exports"
    otool -arch $arch -v -s __TEXT __objc_methname "$work/$name.dylib" |
      sed -n 's/^[0-9a-f]\{8,\} *//p' | sort -u >"$work/$name.selectors"
    test -s "$work/$name.exports" && test -s "$work/$name.selectors"
  done
  diff "$work/native.exports" "$work/shipped.exports"
  diff "$work/native.selectors" "$work/shipped.selectors"
  echo "$arch: $(wc -l <"$work/shipped.exports") exports, $(wc -l <"$work/shipped.selectors") selectors"
done
