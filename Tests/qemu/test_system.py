"""`make test-system`: vtad installed on a Debian system with systemd and udev, in a guest.

The base system is debootstrap's, kept in .build-qemu/; each run starts from it again.
"""

import os
import shutil
import zlib
from subprocess import DEVNULL

from board import TARGETS, Board
from guest import (
    CACHE,
    HERE,
    ROOT,
    Kernel,
    Machine,
    add_answers,
    add_libraries,
    add_programs,
    conclude,
    copy,
    expected,
    fresh,
    log,
    make_initramfs,
    shell,
)

# What vtad and vtactl link against, and what the checks call.
PACKAGES = "systemd,systemd-sysv,udev,kmod,make,libzip4,libpng16-16,libturbojpeg0,libusb-1.0-0,libstdc++6"
# Seconds; several times what an idle machine with two cores takes.
TIME_LIMIT = 900


def debian():
    """The image of a file system with Debian in it."""
    image = CACHE / f"debian-{zlib.crc32(PACKAGES.encode()):08x}.ext4"
    if not image.exists():
        log("making a Debian system with debootstrap")
        root, partial = fresh(CACHE / "debian"), CACHE / "debian.partial"
        shell("debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", root, stdout=DEVNULL)
        partial.unlink(missing_ok=True)
        shell("mke2fs", "-q", "-t", "ext4", "-d", root, partial, "1G")
        shutil.rmtree(root)
        partial.rename(image)
    return image


def package(tree):
    """The Debian package, of the programs that are tested, as checks/vta.deb."""
    programs = fresh(CACHE / "package")
    add_programs(programs, "bin", "vtad", "vtactl")
    # Of Swift's libraries, which are no package's, it says a lot.
    shell(
        ROOT / "scripts/package.sh", stdout=DEVNULL, stderr=DEVNULL,
        env=os.environ | {"BIN": str(programs / "bin"), "DIST": str(programs / "dist")},
    )  # fmt: skip
    (file,) = (programs / "dist").glob("*.deb")
    copy(file, tree / "checks/vta.deb")


def payload(kernel):
    """An archive of what this test adds to the system: modules, the source tree with its programs, the checks; the board."""
    tree = fresh(CACHE / "system")
    source = tree / "checks/source"
    for folder in ("scripts", "systemd", "udev", "Configs", "bitstreams", "Documentation", "Examples/assembly"):
        shutil.copytree(ROOT / folder, source / folder)
    protos = [str(path.relative_to(ROOT)) for path in ROOT.glob("Sources/*/Protos/*.proto")]
    for file in ("Makefile", "README.md", "CHANGELOG.md", "LICENSE", *protos):
        copy(ROOT / file, source / file)
    add_programs(source, ".build-release/release", "vtad", "vtactl")
    add_libraries(tree, "vtad", "vtactl", of_debian=False)
    package(tree)
    add_answers(tree, TARGETS["hls"])
    kernel.add_modules(tree / "usr", "uio_cif")
    for file in ("checks.sh", "system.sh"):
        copy(HERE / "guest" / file, tree / "checks" / file)
    copy(HERE / "guest/checks.service", tree / "etc/systemd/system/checks.service")
    wanted = tree / "etc/systemd/system/multi-user.target.wants/checks.service"
    wanted.parent.mkdir()
    wanted.symlink_to("../checks.service")
    copy(HERE / "guest/60-vta-local.rules", tree / "etc/udev/rules.d/60-vta-local.rules")
    board = Board("system", tree)
    archive = CACHE / "system.tar"
    shell("tar", "--create", "--owner=0", "--group=0", "--directory", tree, "--file", archive, ".")
    return archive, board


def main():
    kernel = Kernel()
    tree = fresh(CACHE / "initramfs")
    kernel.add_modules(tree, "virtio_pci", "virtio_blk", "ext4", "crc32c_generic")
    initramfs = CACHE / "system.cpio"
    make_initramfs(tree, HERE / "guest/system-init", initramfs)
    archive, board = payload(kernel)
    machine = Machine(
        kernel,
        initramfs,
        *("-drive", f"file={debian()},format=raw,if=virtio,snapshot=on"),
        *("-drive", f"file={archive},format=raw,if=virtio,readonly=on"),
        *board.qemu_options,
        console=CACHE / "system.console",
    )
    try:
        outcome = machine.run(TIME_LIMIT, board.serve)
    finally:
        board.leave()
    conclude(machine, outcome, expected(HERE / "guest/system.sh"))


if __name__ == "__main__":
    main()
