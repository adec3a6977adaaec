"""`vtactl bitstream` and `vtactl doctor` as programs: what they print, and how they end."""

import hashlib
import json
import struct

import pytest

from programs import ROOT, compile_digits, run, succeed

SEEDS = ROOT / "Tests/Fixtures/fuzz/bitstream"


def ask(*arguments):
    return json.loads(succeed("vtactl", *arguments, "--json").stdout)


def fails(code, *arguments):
    finished = run("vtactl", *arguments)
    assert finished.returncode == code, (finished.returncode, finished.stdout, finished.stderr)
    assert finished.stderr.startswith("vtactl: ") and finished.stderr.count("\n") == 1, finished.stderr
    return finished.stderr


def header_of(contents):
    """The records of a .bit file, read here by their description: key, length, value."""
    position, records = 13, {}
    while contents[position : position + 1] != b"e":
        (length,) = struct.unpack_from(">H", contents, position + 1)
        records[contents[position : position + 1]] = contents[position + 3 : position + 2 + length].decode()
        position += 3 + length
    (count,) = struct.unpack_from(">I", contents, position + 1)
    return records, contents[position + 5 : position + 5 + count]


@pytest.mark.parametrize("name", ["pynq.bit", "ultra96.bit"])
def test_inspect_shows_what_the_file_says(name):
    path = SEEDS / name
    contents = path.read_bytes()
    records, payload = header_of(contents)
    shown = ask("bitstream", "inspect", path)
    assert shown["format"] == "bit"
    assert [shown[key] for key in ("design", "part", "date", "time")] == [records[key] for key in (b"a", b"b", b"c", b"d")]
    assert shown["payload_byte_count"] == len(payload)
    assert shown["sha256"] == hashlib.sha256(contents).hexdigest()
    assert "known" not in shown
    fitting = {row["board"] for row in shown["boards"] if row["fits"]}
    assert fitting == ({"pynq-z1", "pynq-z2"} if name == "pynq.bit" else {"ultra96-v1", "ultra96-v2"})


def test_inspect_refuses_what_is_no_bitstream(tmp_path):
    short = tmp_path / "short.bit"
    short.write_bytes((SEEDS / "pynq.bit").read_bytes()[:-1])
    assert "copy it again" in fails(1, "bitstream", "inspect", short)
    other = tmp_path / "other.bit"
    other.write_bytes(b"hello")
    assert "no bitstream" in fails(1, "bitstream", "inspect", other)
    assert "no such file" in fails(1, "bitstream", "inspect", tmp_path / "missing.bit")


def test_list_knows_the_operators_files(tmp_path):
    contents = (SEEDS / "ultra96.bit").read_bytes()
    (tmp_path / "own.bit").write_bytes(contents)
    (tmp_path / "strange.bin").write_bytes(b"strange")
    empty = ask("bitstream", "list", "--folder", tmp_path)
    assert {row["path"].rsplit("/")[-1] for row in empty["unknown"]} == {"own.bit", "strange.bin"}
    entry = {
        "sha256": hashlib.sha256(contents).hexdigest(), "file": "own.bit", "from": "here", "boards": ["ultra96-v2"],
        "target": "ultra96", "hw_ver": "0.0.1", "configuration": "1x16_i8w8a32_15_15_18_17",
    }  # fmt: skip
    (tmp_path / "manifest.json").write_text(json.dumps({"bitstreams": [entry]}))
    listed = ask("bitstream", "list", "--folder", tmp_path)
    assert len(listed["known"]) == len(empty["known"]) + 1
    own = next(row for row in listed["known"] if row.get("path"))
    assert own["title"] == "ultra96 0.0.1 1x16_i8w8a32_15_15_18_17" and own["profile"] == "hls-001"
    shown = ask("bitstream", "inspect", tmp_path / "own.bit", "--folder", tmp_path)
    assert shown["known"]["target"] == "ultra96 1x16_i8w8a32_15_15_18_17 hls-001"
    (tmp_path / "manifest.json").write_text("{")
    assert "manifest" in fails(1, "bitstream", "list", "--folder", tmp_path)


def test_program_needs_a_board_and_a_way_to_its_fpga(tmp_path):
    """This machine has neither; what is refused before is the wrong part."""
    arguments = ["bitstream", "program", SEEDS / "pynq.bit", "--socket", tmp_path / "none.sock"]
    assert "zcu102" in fails(2, *arguments, "--board", "zedboard")
    assert "Ultra96-V2" in fails(1, *arguments, "--board", "ultra96-v2")


def healthy(root):
    """The files of an Ultra96-V2 on which nothing is wrong."""
    files = {
        "proc/device-tree/compatible": "avnet,ultra96-rev2\0avnet,ultra96-rev1\0xlnx,zynqmp\0",
        "proc/cmdline": "clk_ignore_unused",
        "proc/meminfo": "CmaTotal: 262144 kB\nCmaFree: 262144 kB\n",
        "sys/class/fpga_manager/fpga0/name": "Xilinx ZynqMP FPGA Manager\n",
        "sys/class/fpga_manager/fpga0/state": "operating\n",
        "sys/class/fpga_manager/fpga0/firmware": "",
        "sys/class/fpga_manager/fpga0/flags": "0\n",
        "sys/class/u-dma-buf/udmabuf0/phys_addr": "0x60000000\n",
        "sys/class/u-dma-buf/udmabuf0/size": "67108864\n",
        "dev/udmabuf0": "",
    }
    for index in range(4):
        files[f"sys/class/uio/uio{index}/name"] = f"vta{index}\n"
        files[f"sys/class/uio/uio{index}/maps/map0/addr"] = f"{0xA0000000 + index * 0x1000:#x}\n"
        files[f"sys/class/uio/uio{index}/maps/map0/size"] = "0x1000\n"
        files[f"dev/uio{index}"] = ""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_doctor_on_a_copy_of_a_board(tmp_path):
    healthy(tmp_path)
    report = ask("doctor", "--root", tmp_path)
    assert report["board"] == "ultra96-v2" and report["working"] and report["failures"] == report["warnings"] == 0
    (tmp_path / "sys/class/fpga_manager/fpga0/state").write_text("write error\n")
    finished = run("vtactl", "doctor", "--root", tmp_path, "--json")
    assert finished.returncode == 1
    report = json.loads(finished.stdout)
    findings = [row for section in report["sections"] for row in section["findings"] if row["severity"] == "failure"]
    assert [row["check"] for row in findings] == ["fpga-manager"] and "vtactl bitstream program" in findings[0]["fix"]
    text = run("vtactl", "doctor", "--root", tmp_path)
    assert text.returncode == 1 and "failure  fpga-manager" in text.stdout and "fix: " in text.stdout
    fails(2, "doctor", "--root", tmp_path, "--save", tmp_path)


def test_doctor_without_a_board(tmp_path):
    """A copy of nothing, then this machine, which saves what it looked at."""
    report = ask("doctor", "--root", tmp_path)
    assert report["working"] and "board" not in report
    here = run("vtactl", "doctor", "--json", "--save", tmp_path / "saved", "--socket", tmp_path / "none.sock")
    seen = json.loads(here.stdout)
    if "board" not in seen:
        assert here.returncode == 0, here.stderr
        sections = [section for section in seen["sections"] if section["title"] != "JTAG cables"]
        assert ask("doctor", "--root", tmp_path / "saved")["sections"] == sections


@pytest.mark.parametrize("target", ["ultra96", "pynq", "zcu102", "zcu104", "de10nano"])
def test_a_run_on_a_simulated_board_equals_the_simulator(target, tmp_path):
    module, image = tmp_path / "digits.vtab", ROOT / "Examples/digits/images/7-index0007.png"
    compile_digits(module, target=target)
    outputs = []
    for device in [f"simulated-board:{target}", f"sim:{target}"]:
        folder = tmp_path / device.partition(":")[0]
        succeed("vtactl", "run", module, "--input", image, "--device", device, "--in-process", "--output-dir", folder)
        outputs.append([path.read_bytes() for path in sorted(folder.glob("*.npy"))])
    assert outputs[0] and outputs[0] == outputs[1]
