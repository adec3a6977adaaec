"""Linux guests under QEMU's software emulation, made of Debian's packages alone.

A guest runs a script of checks and reports on its second serial port, a line each:

    ok NAME          a check that held
    not ok NAME      one that did not; the indented lines before it say why
    host WORD        the host is to do WORD and to answer with the same line
    done             the last line

Everything downloaded or built is kept in .build-qemu/.
"""

import contextlib
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "interop"))
from programs import BINARIES, DIGITS, ROOT, compile_digits, succeed  # noqa: E402, F401

CACHE = ROOT / ".build-qemu"
HERE = pathlib.Path(__file__).resolve().parent


def shell(*command, **options):
    return subprocess.run([str(word) for word in command], check=True, **options)


def log(text):
    print(f"qemu: {text}", flush=True)


class Kernel:
    """Debian's kernel for this release, taken out of its package; nothing is installed."""

    def __init__(self):
        depends = subprocess.run(
            ["apt-cache", "depends", "--important", "linux-image-amd64"],
            check=True, capture_output=True, text=True,
        ).stdout
        found = re.search(r"Depends: (linux-image-\S+)", depends)
        if not found:
            sys.exit("qemu: apt knows no linux-image-amd64; run apt-get update")
        package = found.group(1)
        self.version = package.removeprefix("linux-image-")
        self.folder = CACHE / package
        if not self.folder.exists():
            self.fetch(package)
        self.image = self.folder / f"boot/vmlinuz-{self.version}"

    def fetch(self, package):
        log(f"downloading {package}")
        with staging(self.folder) as folder:
            # As root it would warn that its own user can't write here.
            shell("apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package, cwd=folder)
            (archive,) = folder.glob("*.deb")
            shell("dpkg-deb", "--extract", archive, folder)
            archive.unlink()

    def add_modules(self, tree, *names):
        """Copies modules with all that they need, and their index for modprobe."""
        modules = f"lib/modules/{self.version}"
        if not (self.folder / modules / "modules.dep").exists():
            shell("busybox", "depmod", "-b", self.folder, self.version, cwd=self.folder)
        needed = set()
        for line in (self.folder / modules / "modules.dep").read_text().splitlines():
            file, _, rest = line.partition(":")
            if pathlib.Path(file).stem in names:
                needed |= {file, *rest.split()}
        for file in needed:
            copy(self.folder / modules / file, tree / modules / file)
        for index in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
            copy(self.folder / modules / index, tree / modules / index)
        shell("busybox", "depmod", "-b", tree, self.version)


@contextlib.contextmanager
def staging(final):
    """A folder that gets its name only when it is complete."""
    partial = final.with_name(final.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    partial.rename(final)


def copy(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def add_programs(tree, folder, *names):
    """Programs without their symbols in a folder of the guest."""
    for name in names:
        target = tree / folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shell("strip", "-o", target, BINARIES / name)


def add_libraries(tree, *names, of_debian):
    """The shared libraries that programs need, where the loader finds them here; with those of Debian's packages or not."""
    for name in names:
        listed = subprocess.run(["ldd", BINARIES / name], check=True, capture_output=True, text=True).stdout
        for library in re.findall(r"(/\S+) \(0x", listed):
            if of_debian or not library.startswith(("/lib", "/usr/lib")):
                copy(library, tree / library.lstrip("/"))


def add_answers(tree, target):
    """The digits model for the target, pictures, and what this machine's simulator answers, under checks/."""
    folder = tree / "checks" / target
    model = folder / "models/digits.vtab"
    model.parent.mkdir(parents=True)
    compile_digits(model, target=target)
    for picture in sorted((DIGITS / "images").iterdir()):
        digit = picture.name.partition("-")[0]
        copy(picture, tree / f"checks/pictures/{digit}.png")
        succeed(
            "vtactl", "run", model, "--in-process", "--device", "sim",
            "--input", picture, "--output-dir", folder / digit,
        )  # fmt: skip


def fresh(folder):
    """The folder, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def make_initramfs(tree, init, archive):
    """An archive of the tree that the kernel unpacks into memory, with busybox in it to run the script `init`."""
    copy(pathlib.Path(shutil.which("busybox")), tree / "bin/busybox")
    copy(init, tree / "init")
    (tree / "init").chmod(0o755)
    names = subprocess.run(["find", "."], cwd=tree, check=True, capture_output=True).stdout
    with open(archive, "wb") as output:
        shell("cpio", "--quiet", "-o", "-H", "newc", cwd=tree, input=names, stdout=output)


UNFINISHED = "the guest reports to the end, in time"


class Machine:
    """A guest that runs until its last report, or until the time limit."""

    def __init__(self, kernel, initramfs, *options, console, cmdline="", memory="1G", cpu="max"):
        self.console = console
        self.command = [
            "qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-cpu", cpu, "-smp", "2", "-m", memory,
            "-nodefaults", "-display", "none", "-no-reboot",
            "-serial", f"file:{console}", "-serial", "stdio",
            "-kernel", kernel.image, "-initrd", initramfs,
            "-append", f"console=ttyS0 panic=-1 mitigations=off {cmdline}",
            *options,
        ]  # fmt: skip

    def run(self, limit, on_request):
        """Prints the guest's reports.

        - limit: seconds until the guest is ended.
        - on_request: called with the WORD of `host WORD`.
        Returns the names of the checks that held and of those that did not.
        """
        began = time.monotonic()
        process = subprocess.Popen(
            [str(word) for word in self.command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, errors="replace",
        )  # fmt: skip
        timer = threading.Timer(limit, process.kill)
        timer.start()
        held, failed, finished = [], [], False
        try:
            for line in process.stdout:
                line = line.rstrip()
                seconds = time.monotonic() - began
                if line.startswith("host "):
                    on_request(line.removeprefix("host "))
                    process.stdin.write(line + "\n")
                    process.stdin.flush()
                elif line == "done":
                    finished = True
                else:
                    print(f"{seconds:6.1f} s  {line}", flush=True)
                    if line.startswith("ok "):
                        held.append(line.removeprefix("ok "))
                    elif line.startswith("not ok "):
                        failed.append(line.removeprefix("not ok "))
            process.wait()
        finally:
            timer.cancel()
            process.kill()
            process.wait()
        if not finished:
            failed.append(UNFINISHED)
        return held, failed, time.monotonic() - began


def expected(script, **loops):
    """Names of a guest script's checks; `loops` says which values its loops give to variables in the names."""
    names = re.findall(r'^ *(?:check|expect) "([^"]+)"', script.read_text(), re.MULTILINE)
    for variable, values in loops.items():
        names = [name.replace(f"${variable}", value) for name in names for value in values]
    return list(dict.fromkeys(names))


def conclude(machine, outcome, names):
    """Prints the result and exits with 1 unless exactly the named checks ran and all of them held."""
    held, failed, seconds = outcome
    if UNFINISHED not in failed:
        failed += [f"{name} (never reported)" for name in names if name not in held + failed]
    failed += [f"{name} (unknown)" for name in held if name not in names]
    for name in failed:
        print(f"FAILED: {name}")
    if failed:
        print("The end of the guest's console:")
        print(*machine.console.read_text(errors="replace").splitlines()[-40:], sep="\n")
    print(f"{len(held)} checks held, {len(failed)} failed, {seconds:.0f} s; console: {machine.console}")
    sys.exit(1 if failed else 0)
