#!/bin/sh
# install.sh install|uninstall: puts what was built, and all that belongs to it, under $DESTDIR; or takes it away again.
# Of a live system (no DESTDIR) it makes the users, and has udev and systemd read the new files.
set -eu

BIN=${BIN:-.build-release/release}
DESTDIR=${DESTDIR:-}
PREFIX=${PREFIX:-/usr}
SYSCONFDIR=${SYSCONFDIR:-/etc}
share=$PREFIX/share/vta
documentation=$PREFIX/share/doc/vta

# The users first: udev may read the rules as soon as they are there.
users() { echo "0644 systemd/vtad.sysusers $PREFIX/lib/sysusers.d/vtad.conf"; }

# MODE SOURCE TARGET of all other files but the configuration.
files() {
  echo "0755 $BIN/vtad $PREFIX/bin/vtad"
  echo "0755 $BIN/vtactl $PREFIX/bin/vtactl"
  for unit in vtad.service vtad.socket; do echo "0644 systemd/$unit $PREFIX/lib/systemd/system/$unit"; done
  echo "0644 systemd/vtad.tmpfiles $PREFIX/lib/tmpfiles.d/vtad.conf"
  for file in udev/*.rules; do echo "0644 $file $PREFIX/lib/udev/rules.d/${file##*/}"; done
  for file in systemd/drop-ins/*.conf; do echo "0644 $file $share/${file#systemd/}"; done
  for file in Configs/*.json Configs/boards/*.json Configs/nginx/* bitstreams/manifest.json; do
    echo "0644 $file $share/$file"
  done
  # As in the repository, so that what they say of each other holds.
  for file in README.md CHANGELOG.md LICENSE Documentation/*.md Documentation/Reference/*.md Examples/assembly/* \
    Sources/VTAModule/Protos/manifest.proto Sources/VTAService/Protos/vta.proto; do
    echo "0644 $file $documentation/$file"
  done
}

put() { while read -r mode source target; do install -D -m "$mode" "$source" "$DESTDIR$target"; done; }

# Of vtactl, each of its commands and vtad, from what the programs say of themselves.
put_pages() {
  if ! command -v python3 >/dev/null; then
    echo "install: no man pages, as python3 is missing" >&2
    return
  fi
  pages=$(mktemp -d)
  python3 scripts/manpages.py "$BIN" "$pages"
  gzip -9n "$pages"/*
  for page in "$pages"/*; do
    section=${page%.gz}
    install -D -m 0644 "$page" "$DESTDIR$PREFIX/share/man/man${section##*.}/${page##*/}"
  done
  rm -r "$pages"
}

# SHELL TARGET of what completes vtactl's command line.
completions() {
  echo "bash $PREFIX/share/bash-completion/completions/vtactl"
  echo "zsh $PREFIX/share/zsh/vendor-completions/_vtactl"
  echo "fish $PREFIX/share/fish/vendor_completions.d/vtactl.fish"
}

put_completions() {
  script=$(mktemp)
  while read -r shell target; do
    "$BIN/vtactl" --generate-completion-script "$shell" >"$script"
    # They are read, not run.
    sed -i '1{/^#!/d;}' "$script"
    install -D -m 0644 "$script" "$DESTDIR$target"
  done
  rm "$script"
}

is_live() { [ -z "$DESTDIR" ] && [ -d /run/systemd/system ]; }

refresh() {
  udevadm control --reload
  udevadm trigger --action=change --settle --subsystem-match=uio --subsystem-match=u-dma-buf \
    --subsystem-match=dma_heap --subsystem-match=misc --subsystem-match=fpga_manager --subsystem-match=usb
  systemctl daemon-reload
}

install_all() {
  for program in vtad vtactl; do
    if [ ! -x "$BIN/$program" ]; then
      echo "install: $BIN/$program is missing; run make release first" >&2
      exit 1
    fi
  done
  users | put
  if is_live; then systemd-sysusers vtad.conf; fi
  files | put
  put_pages
  completions | put_completions
  ln -sfn ../../vta/Configs "$DESTDIR$documentation/Configs"
  # The unit names the places that it was written for.
  sed -i "s|/usr/bin/|$PREFIX/bin/|; s|/usr/share/|$PREFIX/share/|; s|/etc/|$SYSCONFDIR/|" \
    "$DESTDIR$PREFIX/lib/systemd/system/vtad.service"
  configuration=$DESTDIR$SYSCONFDIR/vtad/vtad.json
  if [ -e "$configuration" ]; then
    echo "install: kept $configuration; the example is $share/Configs/vtad.json"
  else
    install -D -m 0644 Configs/vtad.json "$configuration"
  fi
  if is_live; then
    systemd-tmpfiles --create vtad.conf
    refresh
    echo "install: done; systemctl enable --now vtad.socket serves, members of the group vta may connect"
  fi
}

# Users, configuration and models stay, as they may hold what nobody has a copy of.
uninstall_all() {
  if is_live; then systemctl disable --now vtad.socket vtad.service || true; fi
  { users && files; } | while read -r _ _ target; do rm -f "$DESTDIR$target"; done
  completions | while read -r _ target; do rm -f "$DESTDIR$target"; done
  rm -f "$DESTDIR$PREFIX"/share/man/man1/vtactl.1.gz "$DESTDIR$PREFIX"/share/man/man1/vtactl-*.1.gz \
    "$DESTDIR$PREFIX/share/man/man8/vtad.8.gz" "$DESTDIR$documentation/Configs"
  for folder in "$DESTDIR$share" "$DESTDIR$documentation"; do
    if [ -d "$folder" ]; then find "$folder" -depth -type d -empty -delete; fi
  done
  if is_live; then refresh; fi
  echo "uninstall: left $SYSCONFDIR/vtad, /var/lib/vtad and the user vta"
}

case ${1:-} in
install) install_all ;;
uninstall) uninstall_all ;;
*)
  echo "usage: install.sh install|uninstall" >&2
  exit 2
  ;;
esac
