#!/bin/sh
# Installs Debian packages, if any is missing: those named, or those that build and tests need.
set -eu

packages="${*:-libsystemd-dev libpng-dev libturbojpeg0-dev libzip-dev libusb-1.0-0-dev zlib1g-dev pkg-config python3-venv systemd openssl nginx-light}"

missing=""
for package in $packages; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then sudo=""; else sudo="sudo"; fi
echo "setup: installing$missing"
$sudo apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
