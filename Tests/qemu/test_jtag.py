"""`make test-qemu`, second part: vtactl jtag against cables in a real Linux kernel.

The cables are played by vta-cable-player, which plugs them into the guest kernel's virtual host controller (vhci-hcd).
From there on all is real: enumeration, the kernel's serial driver, usbfs, libusb. Beside them there is QEMU's
usb-serial, which is an FTDI chip that nobody here wrote.
"""

import random

from guest import (
    CACHE,
    HERE,
    Kernel,
    Machine,
    add_libraries,
    add_programs,
    conclude,
    copy,
    expected,
    fresh,
    make_initramfs,
)

# Several times what an idle machine with two cores takes.
TIME_LIMIT = 600


def bit_file(part, idcode, byte_count):
    """A .bit file as Vivado writes it, with `byte_count` bytes that configure a played device; its header's length."""
    words = [0xBB, 0x11220044, 0xFFFFFFFF, 0xFFFFFFFF, 0xAA995566, 0x20000000, 0x30018001, idcode]
    end = [0x30008001, 0x0000000D] + [0x20000000] * 4
    payload = b"\xff" * 32 + b"".join(word.to_bytes(4, "big") for word in words)
    payload += random.Random(part).randbytes(byte_count - len(payload) - 4 * len(end))
    payload += b"".join(word.to_bytes(4, "big") for word in end)
    header = bytes.fromhex("00090ff00ff00ff00ff0000001")
    for key, text in zip("abcd", ("vta_wrapper;UserID=0XFFFFFFFF;Version=2018.3", part, "2020/06/30", "18:11:16")):
        header += key.encode() + (len(text) + 1).to_bytes(2, "big") + text.encode() + b"\0"
    header += b"e" + len(payload).to_bytes(4, "big")
    return header + payload, len(header)


def hex_line(address, data):
    record = bytes([len(data), address >> 8, address & 0xFF, 0]) + data
    return ":" + (record + bytes([-sum(record) & 0xFF])).hex().upper()


def main():
    kernel = Kernel()
    tree = fresh(CACHE / "jtag")
    kernel.add_modules(tree, "vhci-hcd", "ftdi_sio", "xhci-pci")
    add_programs(tree, "usr/bin", "vtactl", "vta-cable-player")
    add_libraries(tree, "vtactl", "vta-cable-player", of_debian=True)
    checks = tree / "checks"
    checks.mkdir(exist_ok=True)
    for name, part, idcode, byte_count in (
        ("zcu104", "xczu7ev-ffvc1156-2-e", 0x04730093, 1_000_000),
        # The length of VTA's published files.
        ("pynq", "7z020clg484", 0x03727093, 4_045_564),
    ):
        file, header = bit_file(part, idcode, byte_count)
        (checks / f"{name}.bit").write_bytes(file)
        (checks / f"{name}.header").write_text(str(header))
    rbf = b"\xff" * 32 + b"\x6a" * 4 + random.Random("rbf").randbytes(999_964)
    (checks / "de10nano.rbf").write_bytes(rbf)
    (checks / "firmware.hex").write_text(hex_line(0x0100, random.Random("hex").randbytes(200)) + "\n:00000001FF\n")
    copy(HERE / "guest/checks.sh", checks / "checks.sh")
    initramfs = CACHE / "jtag.cpio"
    make_initramfs(tree, HERE / "guest/jtag-init", initramfs)
    # A serial line on which zeros come, without end.
    line = CACHE / "jtag.line"
    for end, device in ((".in", "/dev/zero"), (".out", "/dev/null")):
        line.with_suffix(line.suffix + end).unlink(missing_ok=True)
        line.with_suffix(line.suffix + end).symlink_to(device)
    usb = ["-device", "qemu-xhci", "-chardev", f"pipe,id=line,path={line}"]
    usb += ["-device", "usb-serial,always-plugged=on,chardev=line"]
    machine = Machine(kernel, initramfs, *usb, console=CACHE / "jtag.console")
    conclude(machine, machine.run(TIME_LIMIT, lambda request: None), expected(HERE / "guest/jtag-init"))


if __name__ == "__main__":
    main()
