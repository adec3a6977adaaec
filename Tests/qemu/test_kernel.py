"""`make test-qemu`: vtad drives an accelerator through /dev/uio0 of a real Linux kernel.

The accelerator is played by vta-device-player, a process of this machine, in memory that QEMU shows the guest as a PCI
device: registers at its start, device memory behind them.
"""

import json
import subprocess

from guest import (
    BINARIES,
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
    shared_memory,
)

TIME_LIMIT = 240
# Where Debian's kernel sees the shared memory; a check of the guest.
BUS = 0xFD000000
LAYOUTS = {
    "hls": ("ultra96", {block: BUS + index * 0x1000 for index, block in enumerate(["fetch", "load", "compute", "store"])}),
    "vcr": ("de10nano", {"vcr": BUS}),
}


def description(layout):
    """A board like the others in Configs/boards."""
    target, blocks = LAYOUTS[layout]
    return {
        "name": f"qemu-{layout}",
        "title": "Memory that a process plays a board in",
        "device_tree": {},
        "part": "none",
        "idcode": "0x0",
        "target": target,
        "registers": {
            "layout": layout,
            "blocks": {block: hex(address) for block, address in blocks.items()},
            "window": "0x1000",
        },
        "memory": {"limit": "0x100000000"},
        "bus_bits": 64,
        "clock_mhz": 100,
        "coherency": {"port": "none"},
        "configuration": {"family": "zynq-ultrascale+"},
    }


class Player:
    """Plays a board for the guest, one after the other."""

    def __init__(self, memory, boards):
        self.memory = memory
        self.boards = boards
        self.process = None
        self.log = open(CACHE / "kernel.player", "w")

    def answer(self, request):
        """`play LAYOUT [OPTION…]`"""
        self.stop()
        _, layout, *options = request.split()
        self.log.write(f"{request}\n")
        self.log.flush()
        self.process = subprocess.Popen(
            [BINARIES / "vta-device-player", "--board", self.boards / f"{layout}.json", "--bus", hex(BUS)]
            + [*options, self.memory],
            stdin=subprocess.PIPE,
            stdout=self.log,
            stderr=self.log,
        )

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        self.process = None


def main():
    kernel = Kernel()
    tree = fresh(CACHE / "kernel")
    kernel.add_modules(tree, "uio_cif")
    add_programs(tree, "usr/bin", "vtad", "vtactl")
    add_libraries(tree, "vtad", "vtactl", of_debian=True)
    for layout, (target, _) in LAYOUTS.items():
        add_answers(tree, target)
        (tree / f"checks/{layout}.json").write_text(json.dumps(description(layout)))
    copy(HERE / "guest/checks.sh", tree / "checks/checks.sh")
    initramfs = CACHE / "kernel.cpio"
    make_initramfs(tree, HERE / "guest/kernel-init", initramfs)
    memory, board = shared_memory("kernel.board", 16 << 20)
    machine = Machine(kernel, initramfs, *board, console=CACHE / "kernel.console")
    player = Player(memory, tree / "checks")
    try:
        outcome = machine.run(TIME_LIMIT, player.answer)
    finally:
        player.stop()
    conclude(machine, outcome, expected(HERE / "guest/kernel-init", layout=LAYOUTS))


if __name__ == "__main__":
    main()
