"""How much memory the daemon takes to answer one large request: 100 MiB of inputs, inline and in shared memory.

    VTA_BIN=.build/release .venv/bin/python Tests/interop/large_tensors.py
"""

import pathlib
import tempfile
import uuid

import numpy as np
import onnx
import tritonclient.grpc as triton
import tritonclient.utils.shared_memory as shm

from onnx_network import Network
from programs import running, succeed
from refusal import compile_arguments

SHAPE = [25_600, 16, 8, 8]
# What comes out of the same inputs.
MODELS = {"narrow": 0, "wide": 200}
MIB = 1 << 20


def compile_model(name, folder):
    net = Network(name)
    y = net.conv(net.input(*SHAPE[1:]), 16, 32, 1)
    if name == "narrow":
        y = net.node("GlobalAveragePool", y)
    case = net.case(y)
    onnx.save(case.model, folder / "model.onnx")
    np.savez(folder / "calibration.npz", **case.samples(4, seed=1))
    module = folder / "models" / f"{name}.vtab"
    succeed("vtactl", *compile_arguments(folder / "model.onnx", module, folder / "calibration.npz"))


def memory(pid, name):
    """In MiB."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0]) * 1024 / MIB


def measure(model, shared, folder):
    image = np.random.default_rng(0).uniform(-1, 1, SHAPE).astype(np.float32)
    value = triton.InferInput("x", SHAPE, "FP32")
    key = f"/vtad-{uuid.uuid4()}"
    with running(models=folder) as daemon, triton.InferenceServerClient(daemon.url) as client:
        if shared:
            handle = shm.create_shared_memory_region(key, key, image.nbytes)
            shm.set_shared_memory_region(handle, [image])
            client.register_system_shared_memory(key, key, image.nbytes)
            value.set_shared_memory(key, image.nbytes)
        else:
            value.set_data_from_numpy(image)
        before = memory(daemon.process.pid, "VmRSS")
        try:
            client.infer(model, [value])
        finally:
            if shared:
                shm.destroy_shared_memory_region(handle)
        return memory(daemon.process.pid, "VmHWM") - before


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "models").mkdir()
        for model in MODELS:
            compile_model(model, folder)
        for model, outputs in MODELS.items():
            for shared in [False, True]:
                grown = measure(model, shared, folder / "models")
                where = "in shared memory" if shared else "inline"
                print(f"100 MiB {where}, {outputs} MiB of outputs: grows by {grown:.0f} MiB at most")


if __name__ == "__main__":
    main()
