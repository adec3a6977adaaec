"""What the suites share: modules that are compiled once, and what they answer."""

import numpy as np
import onnx
import pytest

import onnx_models
from programs import DIGITS, compile_digits, succeed
from refusal import compile_arguments


@pytest.fixture(scope="session")
def digits_module(tmp_path_factory):
    path = tmp_path_factory.mktemp("digits") / "digits.vtab"
    compile_digits(path)
    return path


@pytest.fixture(scope="session")
def images():
    return np.load(DIGITS / "heldout.npz")["image"]


@pytest.fixture(scope="session")
def probabilities(digits_module, images, tmp_path_factory):
    """What a run without the daemon answers."""
    folder = tmp_path_factory.mktemp("expected")
    np.save(folder / "image.npy", images)
    succeed(
        "vtactl", "run", digits_module, "--input", folder / "image.npy", "--in-process", "--output-dir", folder / "outputs"
    )
    return np.load(folder / "outputs/probabilities.npy")


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A folder with a small model, its calibration and its module."""
    folder = tmp_path_factory.mktemp("small")
    case = onnx_models.CASES["conv_3x3"]()
    onnx.save(case.model, folder / "model.onnx")
    np.savez(folder / "calibration.npz", **case.samples(4, seed=1))
    np.save(folder / "x.npy", case.samples(2, seed=2)["x"])
    succeed(
        "vtactl", *compile_arguments(folder / "model.onnx", folder / "model.vtab", folder / "calibration.npz")
    )
    return folder
