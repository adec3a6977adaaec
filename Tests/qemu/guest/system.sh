#!/bin/sh
# The checks of test_system.py, run by root on a Debian system with systemd and udev.
. /checks/checks.sh

main_process() { systemctl show -P MainPID vtad; }
is_active() { systemctl -q is-active vtad; }
property() { systemctl show -P "$1" vtad; }
# status FIELD: of the daemon's process.
status() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$(main_process)/status"; }
as="runuser -u client --"
asks() { answers ultra96 "$1"; }
# The daemon has another process than the one given, and answers.
replaced() { is_active && [ "$(main_process)" != "$1" ] && asks 7; }

stty -echo
check "make install" make -s -C /checks/source install
useradd --system --no-create-home stranger
useradd --system --no-create-home --groups vta client
depmod
modprobe uio_cif
echo 1af4 1110 >/sys/bus/pci/drivers/hilscher/new_id
udevadm settle
mkdir -p /run/systemd/system/vtad.service.d
printf '[Service]\nWatchdogSec=8\n' >/run/systemd/system/vtad.service.d/watchdog.conf
systemctl daemon-reload

check "the units have no faults" lacks vtad systemd-analyze verify vtad.service vtad.socket
check "udev has no complaint about the rules" lacks '-vta.*\.rules' journalctl -q -b -u systemd-udevd
expect "udev gives the accelerator to the daemon's user" "vta vta-hw 660" stat -c '%U %G %a' /dev/uio0

install -o vta -g vta -d /var/lib/vtad/models
install -m 0644 /checks/ultra96/models/digits.vtab /var/lib/vtad/models/
expect "the board is where its description says" 0x00000000fd000000 cat /sys/class/uio/uio0/maps/map1/addr
cat >/etc/vtad/vtad.json <<END
{"device": "uio:uio0", "board": "/checks/hls.json", "memory": "uio:uio0", "models": "/var/lib/vtad/models"}
END
host "play hls"
check "doctor finds nothing wrong" vtactl doctor
check "and that the daemon may open the accelerator" has 'vta may open /dev/uio0' vtactl doctor
chown root:root /dev/uio0
check "it finds a device that the daemon may not open" has 'failure *permission: vta may not open /dev/uio0' vtactl doctor
udevadm trigger --settle /dev/uio0
check "which udev puts right" vtactl doctor
check "the socket is enabled" systemctl -q enable --now vtad.socket
check "the daemon does not run before somebody asks" fails is_active
check "a member of the group vta is answered: socket activation" asks "$all_digits"
check "now it runs" is_active
check "a user outside the group is refused" has 'you may not connect' runuser -u stranger -- vtactl status
check "the board is the device" has 'board qemu-hls' $as vtactl devices
check "the model directory is served" has digits $as vtactl models

# The journal's own view of what the daemon sends it.
fields() { journalctl -q -b -u vtad -o json --output-fields="$1" MESSAGE_ID=efe2a189fb11444c94a652930a7df0f4; }
check "the journal has the device's entry, with its fields" has '"VTA_BOARD":"qemu-hls"' fields VTA_BOARD
check "as vtad's own" has '"SYSLOG_IDENTIFIER":"vtad"' fields SYSLOG_IDENTIFIER
check "and a priority" has '"PRIORITY":"5"' fields PRIORITY
check "entries can be asked for by a field" has digits journalctl -q -b -u vtad VTA_MODEL=digits

expect "it runs as the user vta" vta stat -c %U "/proc/$(main_process)"
expect "without capabilities" 0000000000000000 status CapEff
expect "with a system call filter" 2 status Seccomp
expect "and no new privileges" 1 status NoNewPrivs
mounted() { sed -n "s|^[^/]*/[^ ]* $1 \(r[wo]\)[, ].*|\1|p" "/proc/$(main_process)/mountinfo"; }
expect "tunables are read-only to it" "ro ro" echo "$(mounted /proc/sys)" "$(mounted /sys)"
expect "attributes of devices are as their owners say" rw mounted /sys/devices
# Root, but under the unit's rules for devices.
within() { sh -c 'echo $$ >/sys/fs/cgroup/system.slice/vtad.service/cgroup.procs && exec "$@"' sh "$@"; }
check "the unit allows the accelerator" within head -c 0 /dev/uio0
check "and not the disk" fails within head -c 0 /dev/vda
check "it has the accelerator open" test -n "$(find "/proc/$(main_process)/fd" -lname /dev/uio0)"
check "exposure below 2.0" has 'Overall exposure level for vtad.service: [01]\.[0-9]' \
  systemd-analyze --no-pager security vtad.service

process=$(main_process)
kill -9 "$process"
check "after kill -9 another process answers" eventually 60 replaced "$process"
process=$(main_process)
kill -STOP "$process"
check "the watchdog replaces a process that hangs" eventually 90 replaced "$process"
check "it was the watchdog" has 'Watchdog timeout' journalctl -q -b -u vtad

drop_ins=/etc/systemd/system/vtad.service.d
mkdir -p $drop_ins
cp /usr/share/vta/drop-ins/*.conf $drop_ins
systemctl daemon-reload
systemctl restart vtad
check "with all drop-ins it answers" asks 8
expect "with their capabilities" 0000000000220002 status CapEff
check "and the unit allows /dev/mem" within head -c 0 /dev/mem
rm -r $drop_ins
systemctl daemon-reload

process=$(main_process)
systemctl restart vtad &
check "clients wait while it restarts" asks "3 4 5"
wait
check "it was restarted" replaced "$process"
# With the same process if it can, else with a new one.
reloads() {
  process=$(main_process)
  systemctl reload-or-restart vtad || return 1
  [ "$(property CanReload)" = no ] || [ "$(main_process)" = "$process" ] || return 1
  asks 9
}
check "it reads its configuration again" reloads
check "it stops in time and in peace" systemctl stop vtad
expect "with success" success property Result

echo '{"device": "sim", "log_level": "debug"}' >/etc/vtad/vtad.json
check "a second installation" make -s -C /checks/source install
check "keeps the configuration" has '"debug"' cat /etc/vtad/vtad.json

check "make uninstall" make -s -C /checks/source uninstall
check "takes the units away" fails systemctl -q cat vtad.service
check "and the programs" fails test -e /usr/bin/vtad
check "but not the configuration" test -e /etc/vtad/vtad.json

# As on a machine that never had it, but for the users.
rm -rf /etc/vtad /var/lib/vtad /run/vtad /run/systemd/system/vtad.service.d
systemctl daemon-reload
check "the Debian package says how to be let in" has 'adduser USER vta' dpkg --install /checks/vta.deb
check "its service runs" eventually 30 is_active
check "and answers" asks 6
expect "both start with the machine" "enabled
enabled" systemctl is-enabled vtad.socket vtad.service
expect "the socket is the group's" "root vta 660" stat -c '%U %G %a' /run/vtad/vtad.sock
expect "it may have many connections" 65536 sed -n 's/^Max open files *\([0-9]*\) .*/\1/p' "/proc/$(main_process)/limits"
expect "models have a place" "vta vta 755" stat -c '%U %G %a' /var/lib/vtad/models
install -m 0644 /checks/ultra96/models/digits.vtab /var/lib/vtad/models/
systemctl stop vtad.socket vtad.service
check "starting it is all that it takes" systemctl start vtad
check "its socket comes with it" systemctl -q is-active vtad.socket
check "it serves what root has put there" has 'digits version 1: READY' $as vtactl models

echo '{"device": "sim", "log_level": "debug", "models": "/var/lib/vtad/models"}' >/etc/vtad/vtad.json
process=$(main_process)
dpkg --install /checks/vta.deb >/dev/null &
check "clients wait while it is upgraded" asks "$all_digits"
wait
check "the upgraded one answers" replaced "$process"
check "an upgrade keeps the configuration" has '"debug"' cat /etc/vtad/vtad.json
systemctl -q disable --now vtad.socket vtad.service
check "an upgrade where it is disabled" dpkg --install /checks/vta.deb
check "does not start it" fails is_active
systemctl -q enable --now vtad.socket vtad.service
process=$(main_process)
check "the package goes while it runs" dpkg --remove vta
check "and the daemon with it" fails test -e "/proc/$process"
check "and its socket" fails systemctl -q is-active vtad.socket
check "but not what it serves" test -e /etc/vtad/vtad.json -a -e /var/lib/vtad/models/digits.vtab
check "back again" dpkg --install /checks/vta.deb
check "it is as it was" has 'digits version 1: READY' $as vtactl models
check "purged" dpkg --purge vta
expect "nothing is left" "" find /etc /usr /var/lib /run -name '*vtad*'
check "systemd knows of no failure" fails systemctl -q is-failed vtad.service vtad.socket

journalctl -q -b -u vtad -u systemd-udevd --no-pager >/dev/ttyS0
echo done
systemctl --force poweroff
