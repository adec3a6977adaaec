#!/bin/sh
# Writes vta_VERSION_ARCHITECTURE.deb and a tarball of the same files into dist/, from what `make release` built.
set -eu
cd "$(dirname "$0")/.."

BIN=${BIN:-.build-release/release}
dist=dist
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
The VTA project. Licensed under the Apache License, Version 2.0; on Debian systems
its text is in /usr/share/common-licenses/Apache-2.0.
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
depends=$(cd "$root" && dpkg-shlibdeps -O --ignore-missing-info usr/bin/vtad usr/bin/vtactl | sed 's/^shlibs:Depends=//')
rm -rf "$root/debian"
cat >"$root/DEBIAN/control" <<CONTROL
Package: vta
Version: $version
Architecture: $architecture
Maintainer: The VTA project <vta@localhost>
Installed-Size: $(du -sk "$root" | cut -f1)
Depends: $depends, systemd | adduser
Section: science
Priority: optional
Description: driver, runtime and compiler for the VTA accelerator
 vtad serves models on VTA, the open deep-learning accelerator for FPGA
 boards, or on its simulator, to Triton's clients; vtactl compiles ONNX
 models for it and runs them.
CONTROL
echo /etc/vtad/vtad.json >"$root/DEBIAN/conffiles"
cat >"$root/DEBIAN/postinst" <<'SCRIPT'
#!/bin/sh
set -e
if [ "$1" = configure ]; then
  if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers vtad.conf
  else
    adduser --quiet --system --group --home /var/lib/vtad --no-create-home vta
    addgroup --quiet --system vta-hw
  fi
  if command -v systemd-tmpfiles >/dev/null; then
    systemd-tmpfiles --create vtad.conf || true
  else
    install -d -o vta -g vta /run/vtad /var/lib/vtad /var/lib/vtad/models /var/lib/vtad/bitstreams /var/lib/vtad/firmware
  fi
  if command -v udevadm >/dev/null && [ -S /run/udev/control ]; then
    udevadm control --reload || true
    udevadm trigger --action=change --subsystem-match=uio --subsystem-match=u-dma-buf --subsystem-match=dma_heap \
      --subsystem-match=misc --subsystem-match=fpga_manager --subsystem-match=usb || true
  fi
  if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl try-restart vtad.service || true
  fi
fi
SCRIPT
cat >"$root/DEBIAN/prerm" <<'SCRIPT'
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then systemctl stop vtad.socket vtad.service || true; fi
SCRIPT
# Users stay, as Debian's packages leave them: a number must not come to mean somebody else.
cat >"$root/DEBIAN/postrm" <<'SCRIPT'
#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi
if [ "$1" = remove ] || [ "$1" = purge ]; then
  if [ -S /run/udev/control ]; then udevadm control --reload || true; fi
  if [ -L /usr/lib/firmware/vta ]; then
    rm -f /usr/lib/firmware/vta
    rmdir --ignore-fail-on-non-empty /usr/lib/firmware
  fi
fi
if [ "$1" = purge ]; then rm -rf /var/lib/vtad /run/vtad /etc/vtad; fi
SCRIPT
chmod 0755 "$root/DEBIAN/postinst" "$root/DEBIAN/prerm" "$root/DEBIAN/postrm"
dpkg-deb --root-owner-group --build "$root" "$dist/$name.deb" >/dev/null
echo "$dist/$name.deb"
echo "$dist/$name.tar.gz"
