"""`make test-qemu`: vtad drives an accelerator through /dev/uio0 of a real Linux kernel."""

from board import TARGETS, Board
from guest import (
    CACHE,
    HERE,
    Kernel,
    Machine,
    add_answers,
    add_libraries,
    add_programs,
    conclude,
    copy,
    expected,
    fresh,
    make_initramfs,
)

# Seconds; several times what an idle machine with two cores takes.
TIME_LIMIT = 400


def main():
    kernel = Kernel()
    tree = fresh(CACHE / "kernel")
    kernel.add_modules(tree, "uio_cif")
    add_programs(tree, "usr/bin", "vtad", "vtactl")
    add_libraries(tree, "vtad", "vtactl", of_debian=True)
    for target in TARGETS.values():
        add_answers(tree, target)
    copy(HERE / "guest/checks.sh", tree / "checks/checks.sh")
    board = Board("kernel", tree)
    initramfs = CACHE / "kernel.cpio"
    make_initramfs(tree, HERE / "guest/kernel-init", initramfs)
    machine = Machine(kernel, initramfs, *board.qemu_options, console=CACHE / "kernel.console")
    try:
        outcome = machine.run(TIME_LIMIT, board.serve)
    finally:
        board.leave()
    conclude(machine, outcome, expected(HERE / "guest/kernel-init", layout=TARGETS))


if __name__ == "__main__":
    main()
