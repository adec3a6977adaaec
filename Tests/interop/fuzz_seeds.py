"""Writes the seeds of `make fuzz` under Tests/Fixtures/fuzz from real files; run it when a format changes.

Call it with the Python of `.venv` and VTA_BIN set, then `vta-campaign seeds` for the programs.
"""

import ctypes
import io
import json
import pathlib
import shutil
import struct
import sys
import tempfile

import numpy as np
import onnx_models
from programs import DIGITS, ROOT, succeed

FOLDER = ROOT / "Tests/Fixtures/fuzz"
VECTORS = ROOT / "Tests/Fixtures/vectors"
# One or two per operator, all of them small.
MODELS = [
    "conv_channels_1_1", "conv_1x5", "norm_alone", "relu_alone", "clip_bounds_from_nodes", 
    "max_pool_relu", "flatten_last", "softmax_axis_last", "gemm_one_output", "matmul_bias", "global_average_1x1",
    "average_pool_padded_counted", "reshape_infers_batch", "identity_and_dropout", "weights_from_constant_nodes",
    "strange_names",
]  # fmt: skip
COMPILED = ["conv_channels_1_1", "max_pool_relu"]
BYTES_MAX = 10_500


def write(decoder, name, contents):
    path = FOLDER / decoder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(contents)


def models():
    for name in MODELS:
        if name not in onnx_models.CASES:
            sys.exit(f"no case {name}: {sorted(onnx_models.CASES)}")
        contents = onnx_models.CASES[name]().model.SerializeToString()
        if len(contents) <= BYTES_MAX:
            write("onnx", name, contents)
        else:
            print(f"{name}: {len(contents)} bytes, left out")


def modules():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name in COMPILED:
            case = onnx_models.CASES[name]()
            model = folder / f"{name}.onnx"
            model.write_bytes(case.model.SerializeToString())
            np.savez(folder / "samples.npz", **case.samples(4, 1))
            output = folder / f"{name}.vtab"
            succeed("vtactl", "compile", model, "-o", output, "--calibration", folder / "samples.npz")
            contents = output.read_bytes()
            write("vtab", name, contents)
            offset, length = struct.unpack_from("<QQ", contents, 64 + 8)
            write("manifest", name, contents[offset : offset + length])
            if name == COMPILED[-1]:
                write("assembly", name, succeed("vtactl", "disassemble", output).stdout.encode())


def recorded_run(path):
    """With segments no larger than what the file holds for them, or one page."""
    raw = path.read_bytes()
    (length,) = struct.unpack_from("<I", raw, 12)
    header = json.loads(raw[16 : 16 + length])
    for segment in header["segments"]:
        held = [segment[key]["length"] for key in ("before", "after") if key in segment]
        segment["size"] = min(segment["size"], max([4096, *held]))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(16 + len(text)) % 16)
    return raw[:12] + struct.pack("<I", len(text)) + text + raw[16 + length :]


def arrays():
    values = {
        "scalar": np.float32(3),
        "matrix": np.arange(6, dtype="<f4").reshape(2, 3),
        "bytes": np.arange(5, dtype="u1"),
        "column_major": np.asfortranarray(np.arange(6, dtype="<i4").reshape(2, 3)),
    }
    for name, value in values.items():
        file = io.BytesIO()
        np.save(file, value)
        write("npy", name, file.getvalue())
    for name, save in {"stored": np.savez, "deflated": np.savez_compressed}.items():
        file = io.BytesIO()
        save(file, **{key: values[key] for key in ("matrix", "bytes")})
        write("npz", name, file.getvalue())


def bitstreams():
    """What stands around a design in the published files, without one."""

    def record(key, text):
        contents = text.encode() + b"\0"
        return key + struct.pack(">H", len(contents)) + contents

    def words(idcode):
        # Padding, bus width, sync, then writes of registers; 0x30018001 is that of IDCODE.
        prologue = [0xFFFFFFFF] * 8 + [0x000000BB, 0x11220044, 0xFFFFFFFF, 0xFFFFFFFF, 0xAA995566, 0x20000000]
        packets = [0x30020001, 0, 0x30022001, 0, 0x30008001, 0, 0x20000000, 0x30018001, idcode]
        return struct.pack(">64I", *(prologue + packets + [0x20000000] * 64)[:64])

    def bit(part, idcode):
        records = [(b"a", "vta_wrapper;UserID=0XFFFFFFFF;Version=2018.3"), (b"b", part), (b"c", "2020/06/30"), (b"d", "18:11:16")]
        data = words(idcode)
        header = bytes.fromhex("00090ff00ff00ff00ff0000001") + b"".join(record(*pair) for pair in records)
        return header + b"e" + struct.pack(">I", len(data)) + data

    write("bitstream", "pynq.bit", bit("7z020clg484", 0x03727093))
    write("bitstream", "ultra96.bit", bit("xczu3eg-sbva484-1-e", 0x04710093))
    write("bitstream", "words.bin", words(0x04710093))
    write("bitstream", "swapped.bin", struct.pack("<64I", *struct.unpack(">64I", words(0x04710093))))
    write("bitstream", "de10nano.rbf", b"\xff" * 128 + b"\x6a" * 4 + bytes(range(64)))


def picture():
    """A small JPEG, made with the library that vtactl reads them with."""
    library = ctypes.CDLL("libturbojpeg.so.0")
    library.tjInitCompress.restype = ctypes.c_void_p
    library.tjFree.argtypes = [ctypes.c_void_p]
    pixels = np.random.default_rng(1).integers(0, 256, (16, 24, 3), np.uint8)
    output, size = ctypes.c_void_p(), ctypes.c_ulong()
    colour, chroma_halved, quality = 0, 2, 60
    status = library.tjCompress2(
        ctypes.c_void_p(library.tjInitCompress()), ctypes.c_void_p(pixels.ctypes.data), 24, 0, 16, colour,
        ctypes.byref(output), ctypes.byref(size), chroma_halved, quality, 0,
    )  # fmt: skip
    assert status == 0
    return ctypes.string_at(output, size.value)


def firmware():
    """Intel HEX, with the kinds of records and of line ends that there are."""

    def record(kind, address, *contents):
        line = bytes([len(contents), address >> 8, address & 255, kind, *contents])
        return ":" + (line + bytes([-sum(line) & 255])).hex().upper()

    data = [record(0, 0, 2, 0, 0x60), record(0, 0x60, *range(16)), record(0, 0xFFFF, 7)]
    write("firmware", "cable.hex", "\n".join([*data, record(1, 0), ""]).encode())
    extended = [record(4, 0, 0, 0), record(2, 0, 0, 0), data[1].lower(), record(0, 0x100), record(1, 0)]
    write("firmware", "extended.hex", "\r\n".join(extended).encode())


def main():
    if FOLDER.exists():
        for decoder in [
            "onnx", "vtab", "manifest", "trace", "npy", "npz", "configuration", "preprocess", "image", "bitstream", "board",
            "catalogue", "firmware",
        ]:  # fmt: skip
            shutil.rmtree(FOLDER / decoder, ignore_errors=True)
    models()
    modules()
    arrays()
    for name in ["test_gemm-000", "test_padded_load-002", "test_shift_and_scale-000"]:
        write("trace", name, recorded_run(VECTORS / f"unit/{name}.vtatrace"))
    for path in sorted((ROOT / "Configs").glob("*.json")):
        if path.name != "vtad.json":
            write("configuration", path.stem, path.read_bytes())
    for path in sorted((ROOT / "Configs/boards").glob("*.json")):
        write("board", path.stem, path.read_bytes())
    write("catalogue", "published", (ROOT / "bitstreams/manifest.json").read_bytes())
    bitstreams()
    firmware()
    write("preprocess", "digits", (DIGITS / "preprocess.json").read_bytes())
    write("preprocess", "all", b'{"channels":"bgr","layout":"nhwc","range":255,"mean":[1,2,3],"deviation":[1,2,4]}')
    write("image", "noise.jpg", picture())
    write("image", "digit.png", (DIGITS / "images/0-index0000.png").read_bytes())


if __name__ == "__main__":
    main()
