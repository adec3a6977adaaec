"""What `make install` puts where, and what systemd and udev say of it."""

import gzip
import re
import shutil
import stat
import subprocess

import pytest

from programs import BINARIES, ROOT

DROP_INS = sorted(path.stem for path in (ROOT / "systemd/drop-ins").glob("*.conf"))
EXPOSURE_MAXIMUM = 2.0


def make(target, destination):
    subprocess.run(
        ["make", "-s", "-C", ROOT, target, f"DESTDIR={destination}", f"RELEASE={BINARIES}"],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def files(folder):
    """Permissions of all files, by path."""
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode)
        for path in folder.rglob("*")
        if not path.is_dir()
    }


@pytest.fixture
def destination(tmp_path):
    folder = tmp_path / "destination"
    make("install", folder)
    yield folder
    shutil.rmtree(folder)


def analyze(*arguments, **options):
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *map(str, arguments)], capture_output=True, text=True, **options
    )


def test_files(destination):
    installed = files(destination)
    expected = {
        "usr/bin/vtad": 0o755,
        "usr/bin/vtactl": 0o755,
        "etc/vtad/vtad.json": 0o644,
        "usr/lib/systemd/system/vtad.service": 0o644,
        "usr/lib/systemd/system/vtad.socket": 0o644,
        "usr/lib/sysusers.d/vtad.conf": 0o644,
        "usr/lib/tmpfiles.d/vtad.conf": 0o644,
        "usr/share/doc/vta/Documentation/System.md": 0o644,
        "usr/share/man/man1/vtactl.1.gz": 0o644,
        "usr/share/man/man1/vtactl-run.1.gz": 0o644,
        "usr/share/man/man8/vtad.8.gz": 0o644,
        "usr/share/bash-completion/completions/vtactl": 0o644,
        "usr/share/zsh/vendor-completions/_vtactl": 0o644,
        "usr/share/fish/vendor_completions.d/vtactl.fish": 0o644,
    }
    for folder, pattern, target in (
        ("udev", "*.rules", "usr/lib/udev/rules.d"),
        ("systemd/drop-ins", "*.conf", "usr/share/vta/drop-ins"),
        ("Configs/boards", "*.json", "usr/share/vta/Configs/boards"),
        ("Configs", "*.json", "usr/share/vta/Configs"),
        ("Configs/nginx", "*", "usr/share/vta/Configs/nginx"),
        ("bitstreams", "*.json", "usr/share/vta/bitstreams"),
    ):
        names = [path.name for path in (ROOT / folder).glob(pattern)]
        assert names, f"{folder} has no {pattern}"
        expected |= {f"{target}/{name}": 0o644 for name in names}
    assert {path: installed.get(path) for path in expected} == expected
    others = set(installed) - set(expected)
    assert all(path.startswith(("usr/share/doc/vta/", "usr/share/man/man1/vtactl-")) for path in others), others


# What bash offers for the last word of $1.
COMPLETE = """
. "$0"
read -ra COMP_WORDS <<<"$1"
COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE=$1 COMP_POINT=${#1}
_vtactl vtactl "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    "line, offered",
    [
        ("vtactl stat", ["status"]),
        ("vtactl inspect mo", ["model.vtab"]),
        ("vtactl run model.vtab --input pic", ["picture.png"]),
        ("vtactl compile net.onnx --target zcu10", ["zcu102", "zcu104"]),
    ],
)
def test_completion(destination, line, offered):
    for name in ("model.vtab", "model.txt", "picture.png", "picture.txt"):
        (destination / name).touch()
    script = destination / "usr/share/bash-completion/completions/vtactl"
    finished = subprocess.run(
        ["bash", "-c", COMPLETE, script, line], cwd=destination, capture_output=True, text=True, check=True
    )
    assert finished.stdout.split() == offered


def test_manual_page_of_the_daemon(destination):
    """Each key of the configuration has an entry; vtad has no commands."""
    text = gzip.decompress((destination / "usr/share/man/man8/vtad.8.gz").read_bytes()).decode()
    assert "\\fIcommand\\fR" not in text
    keys = re.findall(r"^\.TP\n\\fB([a-z_.]+)\\fR \(", text, re.MULTILINE)
    assert {"socket", "drain_seconds", "quota.models", "tcp.administer"} <= set(keys)


def test_links_of_the_documentation(destination):
    """What a page names is there, where it says."""
    folder = destination / "usr/share/doc/vta"
    pages = [folder / "README.md", *folder.glob("Documentation/**/*.md")]
    links = [
        (page, link)
        for page in pages
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        if not link.startswith("#")
    ]
    assert len(links) > 30
    assert [(page.name, link) for page, link in links if not (page.parent / link).exists()] == []


def test_second_installation_keeps_the_configuration(destination):
    configuration = destination / "etc/vtad/vtad.json"
    configuration.write_text('{"device": "sim"}')
    (destination / "usr/bin/vtad").write_text("an old release")
    before = files(destination)
    make("install", destination)
    assert configuration.read_text() == '{"device": "sim"}'
    assert (destination / "usr/bin/vtad").stat().st_size == (BINARIES / "vtad").stat().st_size
    assert files(destination) == before


def test_uninstall_leaves_the_configuration(destination):
    (destination / "usr/share/vta/own.txt").write_text("not ours")
    make("uninstall", destination)
    assert set(files(destination)) == {"etc/vtad/vtad.json", "usr/share/vta/own.txt"}
    assert not (destination / "usr/share/doc/vta").exists()


def test_units_have_no_faults(destination):
    """Beside the units of this machine's systemd, with the program where it was installed."""
    units = destination / "usr/lib/systemd/system"
    service = units / "vtad.service"
    service.write_text(service.read_text().replace("/usr/bin/vtad", f"{destination}/usr/bin/vtad"))
    finished = analyze(
        "verify", units / "vtad.service", units / "vtad.socket", env={"SYSTEMD_UNIT_PATH": f"{units}:"}
    )
    assert (finished.returncode, finished.stdout + finished.stderr) == (0, "")


def documented_exposure(drop_in):
    text = (ROOT / "Documentation/System.md").read_text()
    pattern = rf"`{drop_in}\.conf` \|[^|]*\| ([\d.]+) \|" if drop_in else r"rates its exposure ([\d.]+)"
    return re.search(pattern, text)[1]


@pytest.mark.parametrize("drop_in", [None, *DROP_INS])
def test_exposure(destination, drop_in):
    if drop_in:
        folder = destination / "etc/systemd/system/vtad.service.d"
        folder.mkdir(parents=True)
        shutil.copy(destination / f"usr/share/vta/drop-ins/{drop_in}.conf", folder)
    finished = analyze("security", "--offline=true", f"--root={destination}", "vtad.service", check=True)
    exposure = re.search(r"exposure level for vtad.service: ([\d.]+)", finished.stdout)[1]
    assert float(exposure) <= EXPOSURE_MAXIMUM
    assert exposure == documented_exposure(drop_in)
    # Devices are open to it one by one.
    assert re.search(r"DeviceAllow= +Service has a device ACL with some special devices: .*char-uio:rw", finished.stdout)


def test_users(destination):
    """systemd makes them in a system that has none."""
    (destination / "etc").mkdir(exist_ok=True)
    finished = subprocess.run(
        ["systemd-sysusers", f"--root={destination}", "vtad.conf"], capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stderr
    passwd = (destination / "etc/passwd").read_text()
    assert re.search(r"^vta:x:\d+:\d+:VTA accelerator daemon:/var/lib/vtad:\S*nologin$", passwd, re.MULTILINE)
    group = (destination / "etc/group").read_text()
    assert re.search(r"^vta:", group, re.MULTILINE) and re.search(r"^vta-hw:x:\d+:$", group, re.MULTILINE)


def test_udev_rules(destination):
    folder = destination / "usr/lib/udev/rules.d"
    udevadm = shutil.which("udevadm")
    if not udevadm or "verify" not in subprocess.run([udevadm, "--help"], capture_output=True, text=True).stdout:
        pytest.skip("udevadm verify comes with systemd 254; make test-system has udev read the rules")
    finished = subprocess.run([udevadm, "verify", *folder.glob("*.rules")], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stdout + finished.stderr
