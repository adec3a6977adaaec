"""What `vtactl compile` must refuse: one clear line, a non-zero exit; no crash, no hang, no full memory."""

import json
import zipfile

import numpy as np
import pytest

import bad_models
from programs import succeed
from refusal import USAGE, compile_arguments, refused, survives
from test_bit_exact import CONFIGURATION


@pytest.mark.parametrize("what", bad_models.CASES)
def test_bad_model(what, tmp_path):
    build, words = bad_models.CASES[what]
    (tmp_path / "in").mkdir()
    model = build(tmp_path / "in")
    np.savez(tmp_path / "calibration.npz", x=np.ones((2, 3, 8, 8), np.float32))
    refused(
        "vtactl", *compile_arguments(model, tmp_path / "out.vtab", tmp_path / "calibration.npz"), words=words
    )
    assert not (tmp_path / "out.vtab").exists()


def test_external_data_beside_the_model(tmp_path):
    """What the refusals above must not refuse."""
    model = bad_models.external(tmp_path, "data")
    np.savez(tmp_path / "calibration.npz", x=np.ones((2, 3, 8, 8), np.float32))
    succeed("vtactl", *compile_arguments(model, tmp_path / "out.vtab", tmp_path / "calibration.npz"))


def test_symbolic_extent_with_shape(tmp_path):
    model = bad_models.symbolic(tmp_path)
    np.savez(tmp_path / "calibration.npz", x=np.ones((2, 3, 8, 8), np.float32))
    arguments = compile_arguments(model, tmp_path / "out.vtab", tmp_path / "calibration.npz")
    succeed("vtactl", *arguments, "--shape", "x=1,3,8,8")
    for shape in (
        "x=1,3,8",
        "x=1,3,-8,8",
        "x=1,3,eight,8",
        "z=1,3,8,8",
        "x",
        "x=1,5,8,8",
        f"x=1,3,{1 << 62},8",
    ):
        finished = survives("vtactl", *arguments, "--shape", shape)
        assert finished.returncode != 0, shape


def test_truncated_models(small, tmp_path):
    """Cut anywhere: refused, or (cut between two fields) complete enough to mean something."""
    content = (small / "model.onnx").read_bytes()
    for length in sorted({len(content) * i // 24 for i in range(24)} | {1, 2, len(content) - 1}):
        (tmp_path / "model.onnx").write_bytes(content[:length])
        refused(
            "vtactl", *compile_arguments(tmp_path / "model.onnx", tmp_path / "o", small / "calibration.npz")
        )


def test_random_models(small, tmp_path):
    random = np.random.default_rng(5)
    for length in (1, 10, 100, 1000, 100_000):
        (tmp_path / "model.onnx").write_bytes(random.bytes(length))
        refused(
            "vtactl", *compile_arguments(tmp_path / "model.onnx", tmp_path / "o", small / "calibration.npz")
        )


def test_flipped_models(small, tmp_path):
    """A flipped bit of a weight is another model; a flipped bit of the structure must not be a crash."""
    content = (small / "model.onnx").read_bytes()
    random = np.random.default_rng(6)
    structure = [i for i in range(len(content)) if i < 60 or i > len(content) - 160]
    for position in random.choice(structure, 60, replace=False):
        damaged = bytearray(content)
        damaged[position] ^= 1 << random.integers(8)
        (tmp_path / "model.onnx").write_bytes(damaged)
        survives(
            "vtactl", *compile_arguments(tmp_path / "model.onnx", tmp_path / "o", small / "calibration.npz")
        )


# Calibration and other files of `compile`.


def test_missing_calibration(small, tmp_path):
    refused("vtactl", *compile_arguments(small / "model.onnx", tmp_path / "o"), words=["calibration"])


def damaged_archive(path):
    np.savez(path, x=np.ones((4, 16, 8, 8), np.float32))
    path.write_bytes(path.read_bytes()[:1000])


def archive_of_rubbish(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"rubbish")


def archive_with_huge_array(path):
    with zipfile.ZipFile(path, "w") as archive:
        header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 16, 8, 8), }"
        archive.writestr(
            "x.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(64)
        )


def zip_bomb(path):
    """Says little and holds 1 GB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (4, 16, 8, 8), }"
        with archive.open("x.npy", "w", force_zip64=True) as file:
            file.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
            for _ in range(64):
                file.write(bytes(16 << 20))


CALIBRATIONS = {
    "absent": lambda path: None,
    "empty": lambda path: path.write_bytes(b""),
    "random": lambda path: path.write_bytes(np.random.default_rng(1).bytes(1000)),
    "cut": damaged_archive,
    "rubbish inside": archive_of_rubbish,
    "huge array declared": archive_with_huge_array,
    "no arrays": lambda path: np.savez(path),
    "other name": lambda path: np.savez(path, y=np.ones((4, 16, 8, 8), np.float32)),
    "other shape": lambda path: np.savez(path, x=np.ones((4, 16, 8, 9), np.float32)),
    "other rank": lambda path: np.savez(path, x=np.ones(4, np.float32)),
    "no samples": lambda path: np.savez(path, x=np.ones((0, 16, 8, 8), np.float32)),
    "text": lambda path: np.savez(path, x=np.array(["text"])),
    "objects": lambda path: np.savez(path, x=np.array([{}, None], object)),
    "no numbers": lambda path: np.savez(path, x=np.full((4, 16, 8, 8), np.nan, np.float32)),
    "infinite": lambda path: np.savez(path, x=np.full((4, 16, 8, 8), np.inf, np.float32)),
}


@pytest.mark.parametrize("what", CALIBRATIONS)
def test_bad_calibration(what, small, tmp_path):
    CALIBRATIONS[what](tmp_path / "calibration.npz")
    refused("vtactl", *compile_arguments(small / "model.onnx", tmp_path / "o", tmp_path / "calibration.npz"))


def test_zip_bomb(small, tmp_path):
    zip_bomb(tmp_path / "calibration.npz")
    survives("vtactl", *compile_arguments(small / "model.onnx", tmp_path / "o", tmp_path / "calibration.npz"))


def test_calibration_of_zeros(small, tmp_path):
    """No range to quantize; a useless model rather than a crash, or an error."""
    np.savez(tmp_path / "calibration.npz", x=np.zeros((4, 16, 8, 8), np.float32))
    survives("vtactl", *compile_arguments(small / "model.onnx", tmp_path / "o", tmp_path / "calibration.npz"))


def test_bad_options_of_compile(small, tmp_path):
    good = compile_arguments(small / "model.onnx", tmp_path / "o", small / "calibration.npz")
    refused(
        "vtactl",
        *compile_arguments(small / "model.onnx", tmp_path / "o", target="nowhere"),
        code=USAGE,
        words=["nowhere", "ultra96"],
    )
    refused("vtactl", *good, "--no-such-option", code=USAGE, words=["--no-such-option"])
    (tmp_path / "file").write_text("")
    refused("vtactl", "compile", code=USAGE)
    refused("vtactl", "no-such-command", code=USAGE, words=["no-such-command"])
    refused(
        "vtactl", *compile_arguments(small / "model.onnx", tmp_path / "file/o", small / "calibration.npz")
    )
    for option in ("--preprocess", "--labels"):
        refused("vtactl", *good, option, tmp_path / "absent", words=["absent"])
    for content in (
        "",
        "[]",
        "{}",
        '{"channels": "purple"}',
        '{"channels": "gray", "layout": "nchw", "range": "wide"}',
    ):
        (tmp_path / "preprocess.json").write_text(content)
        assert survives("vtactl", *good, "--preprocess", tmp_path / "preprocess.json").returncode != 0


TARGETS = {
    "no JSON": "rubbish",
    "empty": "",
    "missing keys": json.dumps({"TARGET": "sim", "HW_VER": "0.0.2"}),
    "unknown pair": json.dumps(CONFIGURATION | {"TARGET": "moon"}),
    "unknown profile": json.dumps(CONFIGURATION | {"PROFILE": "moon-1"}),
    "impossible": json.dumps(CONFIGURATION | {"LOG_BLOCK": 40}),
    "negative": json.dumps(CONFIGURATION | {"LOG_INP_BUFF_SIZE": -1}),
    "too large for the format": json.dumps(
        CONFIGURATION | {"LOG_ACC_BUFF_SIZE": 30, "LOG_INP_BUFF_SIZE": 30}
    ),
    "smaller than an element": json.dumps(CONFIGURATION | {"LOG_WGT_BUFF_SIZE": 2}),
}


@pytest.mark.parametrize("what", TARGETS)
def test_bad_target_file(what, small, tmp_path):
    (tmp_path / "target.json").write_text(TARGETS[what])
    finished = survives(
        "vtactl",
        *compile_arguments(
            small / "model.onnx", tmp_path / "o", small / "calibration.npz", target=tmp_path / "target.json"
        ),
    )
    assert finished.returncode != 0
