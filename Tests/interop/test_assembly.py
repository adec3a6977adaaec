"""`vtactl assemble` and `disassemble` as they are documented in Documentation/Assembly.md."""

import json

import numpy as np
import pytest

from programs import ROOT, compile_digits, run, succeed
from refusal import refused

EXAMPLE = ROOT / "Examples/assembly/convolution.vtas"
TARGETS = ["sim", "pynq", "ultra96", "zcu104", "de10nano"]


def random_fill(count, seed, low, high):
    """`.random`, from the documentation: SplitMix64."""
    mask = 2**64 - 1
    values = []
    for _ in range(count):
        seed = (seed + 0x9E3779B97F4A7C15) & mask
        mixed = ((seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9) & mask
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
        values.append(low + (mixed ^ (mixed >> 31)) % (high - low + 1))
    return np.array(values)


def convolution(x):
    """What the head of the example says."""
    tiles = random_fill(4608, 1, -20, 20).reshape(2, 3, 3, 16, 16)
    weights = tiles.transpose(0, 3, 4, 1, 2).reshape(32, 16, 3, 3)
    biases = random_fill(32, 2, -2000, 2000)
    padded = np.pad(x.astype(np.int64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    sums = sum(
        np.einsum("oi,nihw->nohw", weights[:, :, kh, kw], padded[:, :, kh : kh + 8, kw : kw + 8])
        for kh in range(3)
        for kw in range(3)
    )
    return np.clip((sums + biases[None, :, None, None]) >> 7, 0, 127)


@pytest.mark.parametrize("target", TARGETS)
def test_example(target, tmp_path):
    text = tmp_path / "example.vtas"
    text.write_text(EXAMPLE.read_text().replace(".target sim", f".target {target}"))
    module = tmp_path / "example.vtab"
    succeed("vtactl", "assemble", text, "-o", module)
    succeed("vtactl", "verify", module)
    description = json.loads(succeed("vtactl", "inspect", module, "--json").stdout)
    assert target in json.dumps(description)
    x = np.random.default_rng(3).integers(-128, 128, (3, 16, 8, 8))
    np.save(tmp_path / "x.npy", x.astype(np.float32))
    folder = tmp_path / "out"
    succeed("vtactl", "run", module, "--in-process", "--input", tmp_path / "x.npy", "--output-dir", folder)
    np.testing.assert_array_equal(np.load(folder / "y.npy"), convolution(x))


@pytest.mark.parametrize("target", TARGETS)
def test_round_trip(target, tmp_path):
    compile_digits(tmp_path / "digits.vtab", target=target)
    compiled = (tmp_path / "digits.vtab").read_bytes()
    (tmp_path / "whole.vtas").write_text(succeed("vtactl", "disassemble", tmp_path / "digits.vtab").stdout)
    succeed("vtactl", "assemble", tmp_path / "whole.vtas", "-o", tmp_path / "whole.vtab")
    assert (tmp_path / "whole.vtab").read_bytes() == compiled
    short = succeed("vtactl", "disassemble", "--omit-constants", tmp_path / "digits.vtab").stdout
    (tmp_path / "short.vtas").write_text(short)
    options = ["--constants-from", tmp_path / "digits.vtab"]
    succeed("vtactl", "assemble", tmp_path / "short.vtas", "-o", tmp_path / "short.vtab", *options)
    assert (tmp_path / "short.vtab").read_bytes() == compiled
    refused("vtactl", "assemble", tmp_path / "short.vtas", "-o", tmp_path / "none.vtab", words=["short.vtas:"])
    assert not (tmp_path / "none.vtab").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("iter=3x3", "iter=3x99999", "iter_in of GEMM is 99999, but must lie in 0…16383; correct the number"),
        ("dram=biases", "dram=bias", "no region before this line has the name bias; known: x, y, weights"),
        ("[p-|p-]", "[p-|p]", "[p-|p] is no column of dependence flags; write [pn|pn]"),
    ],
)
def test_mistakes_are_named_with_their_place(old, new, message, tmp_path):
    text = tmp_path / "wrong.vtas"
    text.write_text(EXAMPLE.read_text().replace(old, new))
    lines = text.read_text().splitlines()
    line = next(number for number, line in enumerate(lines, 1) if new in line)
    refused("vtactl", "assemble", text, "-o", tmp_path / "wrong.vtab", words=[f"{text}:{line}:", message])


def test_a_missing_token_is_found(tmp_path):
    text = tmp_path / "wrong.vtas"
    text.write_text(EXAMPLE.read_text().replace("[--|p-] gemm ", "[--|--] gemm ", 1))
    succeed("vtactl", "assemble", text, "-o", tmp_path / "wrong.vtab")
    report = json.loads(run("vtactl", "verify", tmp_path / "wrong.vtab", "--json").stdout)
    assert report["findings"]
