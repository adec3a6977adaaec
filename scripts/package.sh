#!/bin/sh
# Writes vta_VERSION_ARCHITECTURE.deb and a tarball of the same files into $DIST (dist/), from what `make release` built.
set -eu
cd "$(dirname "$0")/.."

BIN=${BIN:-.build-release/release}
dist=${DIST:-dist}
version=$("$BIN/vtactl" --version | sed 's/.* //')
architecture=$(dpkg --print-architecture)
name=vta_${version}_$architecture
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 0755 "$root"

BIN=$BIN DESTDIR=$root scripts/install.sh install

# As Debian's policy wants them.
documentation=$root/usr/share/doc/vta
cat >"$documentation/copyright" <<COPYRIGHT
Copyright: the contributors of the VTA project

Licensed under the Apache License, Version 2.0; on Debian systems its text is in
/usr/share/common-licenses/Apache-2.0.
COPYRIGHT
gzip -9nc >"$documentation/changelog.gz" <<CHANGELOG
vta ($version) unstable; urgency=medium

  * What has changed is in CHANGELOG.md.

 -- The VTA project <vta@localhost>  $(date --utc --rfc-email --date "@${SOURCE_DATE_EPOCH:-0}")
CHANGELOG
rm "$documentation/LICENSE"
find "$root" -type d -exec chmod 0755 {} +

mkdir -p "$dist"
tar --create --gzip --sort=name --owner=0 --group=0 --numeric-owner --mtime="@${SOURCE_DATE_EPOCH:-0}" \
  --file "$dist/$name.tar.gz" --directory "$root" --transform "s|^\.|vta-$version|" .

# The libraries that the programs are linked with, as their packages name them.
mkdir -p "$root/DEBIAN" "$root/debian"
echo "Source: vta" >"$root/debian/control"
depends=$(cd "$root" && dpkg-shlibdeps -O --ignore-missing-info "$root/usr/bin/vtad" "$root/usr/bin/vtactl" | sed 's/^shlibs:Depends=//')
rm -rf "$root/debian"
cat >"$root/DEBIAN/control" <<CONTROL
Package: vta
Version: $version
Architecture: $architecture
Maintainer: The VTA project <vta@localhost>
Installed-Size: $(du -sk --exclude DEBIAN "$root" | cut -f1)
Depends: $depends, systemd | adduser
Section: science
Priority: optional
Description: driver, runtime and compiler for the VTA accelerator
 vtad serves models on VTA, the open deep-learning accelerator for FPGA
 boards, or on its simulator, to Triton's clients; vtactl compiles ONNX
 models for it and runs them.
CONTROL
echo /etc/vtad/vtad.json >"$root/DEBIAN/conffiles"
install -m 0755 scripts/debian/postinst scripts/debian/prerm scripts/debian/postrm "$root/DEBIAN"
dpkg-deb --root-owner-group --build "$root" "$dist/$name.deb" >/dev/null
echo "$dist/$name.deb"
echo "$dist/$name.tar.gz"
