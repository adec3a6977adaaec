"""What the suites share: modules that are compiled once."""

import numpy as np
import onnx
import pytest

import onnx_models
from programs import compile_digits, succeed
from refusal import compile_arguments


@pytest.fixture(scope="session")
def digits_module(tmp_path_factory):
    path = tmp_path_factory.mktemp("digits") / "digits.vtab"
    compile_digits(path)
    return path


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
