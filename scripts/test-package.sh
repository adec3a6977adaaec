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

# Of each command, with nothing that troff complains about.
manual_pages() {
  for page in vtactl.1 vtactl-run.1 vtactl-compile.1 vtad.8; do
    inside test -s "/usr/share/man/man${page##*.}/$page.gz" || fail "there is no man page $page"
  done
  complaints=$(man --warnings=all -E UTF-8 -l -Tutf8 -Z "$root"/usr/share/man/man[18]/vta*.gz 2>&1 >/dev/null)
  [ -z "$complaints" ] || fail "man: $complaints"
}

# As the shells find them.
completions() {
  # shellcheck disable=SC2016
  inside bash -c '. /usr/share/bash-completion/bash_completion; _completion_loader vtactl
    complete -p vtactl' | grep -q ' -F _vtactl ' || fail "bash does not complete vtactl"
  # shellcheck disable=SC2016
  [ "$(inside zsh -c 'autoload -U compinit; compinit -u; echo $_comps[vtactl]; zsh -n $^fpath/_vtactl(N)')" = _vtactl ] ||
    fail "zsh does not complete vtactl"
  inside fish -c 'complete -C "vtactl stat"' | grep -q '^status' || fail "fish does not complete vtactl"
}

say "the Debian package"
fresh
if command -v lintian >/dev/null; then
  # The project has no address yet.
  lintian --fail-on error --suppress-tags bogus-mail-host,bogus-mail-host-in-debian-changelog "$package"
fi
cp "$package" "$root/tmp/vta.deb"
# What it needs, and the shells that it completes for, come first, so that what is left afterwards is its own.
depends=$(dpkg-deb --field "$package" Depends | sed 's/|[^,]*//g; s/([^)]*)//g; s/,//g')
inside apt-get update -qq
# shellcheck disable=SC2086
inside apt-get install -y -qq --no-install-recommends $depends bash-completion zsh fish >/dev/null
state >"$root/tmp/before"
inside dpkg --install /tmp/vta.deb >"$root/tmp/said"
cat "$root/tmp/said"
grep -q 'adduser USER vta' "$root/tmp/said" || fail "it does not say how to be let in"
manual_pages
completions
inside getent passwd vta
inside getent group vta-hw
for folder in /run/vtad /var/lib/vtad /var/lib/vtad/models /var/lib/vtad/bitstreams /var/lib/vtad/firmware; do
  [ "$(inside stat -c '%U %G %a' $folder)" = "vta vta 755" ] || fail "$folder is not the daemon's"
done
for unit in sockets.target.wants/vtad.socket multi-user.target.wants/vtad.service; do
  inside test -e "/etc/systemd/system/$unit" || fail "a boot does not start it: no $unit"
done
serve /usr/bin /etc/vtad/vtad.json vta
inside sed -i 's/"log_level": "info"/"log_level": "debug"/' /etc/vtad/vtad.json
inside cp /tmp/digits.vtab /var/lib/vtad/models/
inside dpkg --install /tmp/vta.deb >"$root/tmp/said"
! grep 'adduser USER vta' "$root/tmp/said" || fail "an upgrade explains again what is known"
inside grep -q '"debug"' /etc/vtad/vtad.json || fail "an upgrade took the operator's configuration"
inside dpkg --remove vta
inside test -e /etc/vtad/vtad.json || fail "remove took the configuration"
inside test -e /var/lib/vtad/models/digits.vtab || fail "remove took the models"
inside test ! -e /usr/bin/vtad || fail "remove left the program"
inside dpkg --purge vta
left=$(inside find /etc /run /var/lib/systemd -name '*vtad*')
[ -z "$left" ] || fail "purge left $left"
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
[ "$(inside stat -c '%U %G %a' /var/lib/vtad/models)" = "vta vta 755" ] || fail "the models' folder is not the daemon's"
inside dpkg --purge vta
inside test ! -e /var/lib/vtad -a ! -e /run/vtad -a ! -e /etc/vtad || fail "purge left folders"

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
