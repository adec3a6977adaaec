"""A board for a guest, played by a process of this machine."""

import json
import shutil
import subprocess
import threading

from guest import BINARIES, CACHE

# Where Debian's kernel sees the shared memory; the guests' scripts check it.
BUS = 0xFD000000
BYTE_COUNT = 16 << 20
BLOCKS = {"hls": ["fetch", "load", "compute", "store"], "vcr": ["vcr"]}
TARGETS = {"hls": "ultra96", "vcr": "de10nano"}


def description(layout):
    """Like those in Configs/boards."""
    return {
        "name": f"qemu-{layout}",
        "title": "Memory in which a process plays a board",
        "device_tree": {},
        "part": "none",
        "idcode": "0x0",
        "target": TARGETS[layout],
        "registers": {
            "layout": layout,
            "blocks": {block: hex(BUS + index * 0x1000) for index, block in enumerate(BLOCKS[layout])},
            "window": "0x1000",
        },
        "memory": {"limit": "0x100000000"},
        "bus_bits": 64,
        "clock_mhz": 100,
        "coherency": {"port": "none"},
        "configuration": {"family": "zynq-ultrascale+"},
    }


class Board:
    """Memory that the guest sees as a PCI device: registers at its start, device memory behind them."""

    def __init__(self, name, tree):
        """Puts the descriptions into the guest's tree, under checks/."""
        self.file = CACHE / f"{name}.board"
        with open(self.file, "wb") as output:
            output.truncate(BYTE_COUNT)
        backend = f"memory-backend-file,id=board,mem-path={self.file},size={BYTE_COUNT},share=on"
        self.qemu_options = ["-object", backend, "-device", "ivshmem-plain,memdev=board"]
        self.descriptions = {layout: tree / f"checks/{layout}.json" for layout in BLOCKS}
        for layout, file in self.descriptions.items():
            file.write_text(json.dumps(description(layout)))
        self.log = open(CACHE / f"{name}.player", "w")
        self.player = None

    def serve(self, request):
        """`play LAYOUT [OPTION…]`: a new player, with options of vta-device-player. `leave`: nobody plays."""
        self.leave()
        verb, *options = request.split()
        if verb == "play":
            self.play(*options)

    def play(self, layout, *options):
        print(f"play {layout}", *options, file=self.log, flush=True)
        self.player = subprocess.Popen(
            [BINARIES / "vta-device-player", "--board", self.descriptions[layout], "--bus", hex(BUS)]
            + [*options, self.file],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        if self.player.stdout.readline() != "ready\n":
            raise RuntimeError(f"vta-device-player did not start; see {self.log.name}")
        threading.Thread(target=shutil.copyfileobj, args=(self.player.stdout, self.log), daemon=True).start()

    def leave(self):
        if self.player:
            self.player.kill()
            self.player.wait()
        self.player = None
