#!/bin/sh
# Installs dist/'s Debian package, and apart from it the tarball, in a clean Debian, lets both serve a model, and removes
# the package again. Needs root; the system that debootstrap makes is kept in .build-package/.
set -eu
cd "$(dirname "$0")/.."

[ "$(id -u)" -eq 0 ] || { echo "test-package: needs root, for chroot" >&2; exit 1; }
base=.build-package/debian
root=$PWD/.build-package/root
# shellcheck disable=SC2012
package=$(ls -t dist/vta_*.deb | head -n 1)
tarball=${package%.deb}.tar.gz

say() { echo "test-package: $*"; }
fail() {
  echo "test-package: $*" >&2
  exit 1
}
inside() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 "$@"; }
clean_up() {
  if [ -f "$root/tmp/vtad.pid" ]; then kill "$(cat "$root/tmp/vtad.pid")" 2>/dev/null || true; fi
  umount "$root/proc" 2>/dev/null || true
}
trap clean_up EXIT

if [ ! -f "$base.done" ]; then
  say "making a Debian system with debootstrap"
  rm -rf "$base"
  mkdir -p "$base"
  debootstrap --variant=minbase bookworm "$base" >/dev/null
  touch "$base.done"
fi

fresh() {
  clean_up
  rm -rf "$root"
  cp -a "$base" "$root"
  mount -t proc proc "$root/proc"
  cp -r Examples/digits "$root/tmp/digits"
}

# Whatever is there but what Debian itself writes when anything is installed.
state() {
  inside find / -xdev \( -path /proc -o -path /tmp -o -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/cache \
    -o -path /var/log -o -path /etc -o -path /root -o -path /dev -o -path /run \) -prune -o -print | sort
}

# serve PROGRAMS-FOLDER CONFIGURATION: as the daemon's user, what the README shows.
serve() {
  bin=$1
  inside "$bin/vtad" --version
  inside "$bin/vtad" --check-config --config "$2"
  ! inside ldd "$bin/vtad" "$bin/vtactl" | grep -E 'not found|swift' || fail "libraries are missing, or Swift's are not linked in"
  inside "$bin/vtactl" compile /tmp/digits/digits.onnx -o /tmp/digits.vtab --target sim \
    --calibration /tmp/digits/calibration.npz --preprocess /tmp/digits/preprocess.json --labels /tmp/digits/labels.txt
  inside mkdir -p /tmp/models /tmp/run
  inside cp /tmp/digits.vtab /tmp/models/digits.vtab
  inside chmod -R a+rX /tmp/models /tmp/digits /tmp/digits.vtab
  inside chown "$3" /tmp/run
  inside su -s /bin/sh "$3" -c \
    "echo \$\$ >/tmp/run/pid; exec $bin/vtad --socket /tmp/run/s --device sim --models /tmp/models >/tmp/run/log 2>&1" &
  for _ in $(seq 100); do
    grep -q '^vtad: ready' "$root/tmp/run/log" 2>/dev/null && break
    sleep 0.1
  done
  cp "$root/tmp/run/pid" "$root/tmp/vtad.pid"
  inside "$bin/vtactl" status --socket /tmp/run/s
  inside "$bin/vtactl" run /tmp/digits.vtab --input /tmp/digits/images/7-index0007.png --socket /tmp/run/s |
    tee "$root/tmp/answer"
  grep -Eq '^ *7 (100|9[0-9])\.' "$root/tmp/answer" || fail "the picture of a 7 is none"
  kill "$(cat "$root/tmp/vtad.pid")"
  wait
  rm -f "$root/tmp/vtad.pid"
}

say "the Debian package"
fresh
if command -v lintian >/dev/null; then
  # The project has no address yet.
  lintian --fail-on error --suppress-tags bogus-mail-host,bogus-mail-host-in-debian-changelog "$package"
fi
cp "$package" "$root/tmp/vta.deb"
# What it needs comes first, so that what is left afterwards is its own.
depends=$(dpkg-deb --field "$package" Depends | sed 's/|[^,]*//g; s/([^)]*)//g; s/,//g')
inside apt-get update -qq
# shellcheck disable=SC2086
inside apt-get install -y -qq --no-install-recommends $depends >/dev/null
state >"$root/tmp/before"
inside dpkg --install /tmp/vta.deb
inside test -s /usr/share/man/man1/vtactl-run.1.gz -a -s /usr/share/man/man8/vtad.8.gz
inside bash -n /usr/share/bash-completion/completions/vtactl
inside getent passwd vta
inside getent group vta-hw
serve /usr/bin /etc/vtad/vtad.json vta
inside dpkg --remove vta
inside test -e /etc/vtad/vtad.json || fail "remove took the configuration"
inside test ! -e /usr/bin/vtad || fail "remove left the program"
inside dpkg --purge vta
inside test ! -e /etc/vtad || fail "purge left the configuration"
state >"$root/tmp/after"
diff "$root/tmp/before" "$root/tmp/after" || fail "purge left what the lines above show"

say "the Debian package where there is no systemd"
fresh
cp "$package" "$root/tmp/vta.deb"
inside apt-get update -qq
# shellcheck disable=SC2046
inside apt-get install -y -qq --no-install-recommends adduser $(echo "$depends" | sed 's/\bsystemd\b//') >/dev/null
inside dpkg --install /tmp/vta.deb
inside getent passwd vta
inside getent group vta-hw
inside vtad --check-config --config /etc/vtad/vtad.json

say "the tarball"
fresh
tar --extract --gzip --file "$tarball" --directory "$root/opt"
inside apt-get update -qq
# shellcheck disable=SC2046
inside apt-get install -y -qq --no-install-recommends $(echo "$depends" | sed 's/\bsystemd\b//') >/dev/null
folder=$(cd "$root" && ls -d opt/vta-*)
inside mkdir -p /run/vtad /var/lib/vtad/models
serve "/$folder/usr/bin" "/$folder/etc/vtad/vtad.json" nobody

say "all well"
