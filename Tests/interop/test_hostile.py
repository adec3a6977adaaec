"""Clients that mean harm: each is answered or refused, and the daemon's memory stays bounded."""

import pathlib
import random
import shutil
import socket
import threading
import time

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2 as messages

from programs import running
from test_triton_client import image_input, raw_request

SERVICE = "/inference.GRPCInferenceService/"
# Everything that a refusal may be; UNKNOWN and INTERNAL would be our mistake.
REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}


@pytest.fixture(scope="module")
def daemon(digits_module, tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    shutil.copy(digits_module, models / "digits.vtab")
    with running(models=models) as daemon:
        yield daemon
        assert daemon.is_running()


def resident(daemon):
    status = pathlib.Path(f"/proc/{daemon.process.pid}/status").read_text()
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmRSS"))


def seeds(digits_module):
    """A right message for each call that takes something."""
    infer = raw_request(np.zeros((1, 1, 8, 8), np.float32))
    infer.parameters["priority"].uint64_param = 1
    infer.inputs[0].parameters["shared_memory_region"].string_param = "region"
    infer.outputs.add(name="probabilities").parameters["classification"].int64_param = 3
    load = messages.RepositoryModelLoadRequest(model_name="fuzzed")
    load.parameters["file:1/model.vtab"].bytes_param = digits_module.read_bytes()
    load.parameters["config"].string_param = "{}"
    trace = messages.TraceSettingRequest(model_name="digits")
    trace.settings["trace_rate"].value.append("10")
    log = messages.LogSettingsRequest()
    log.settings["log_info"].bool_param = True
    register = messages.SystemSharedMemoryRegisterRequest(name="region", key="/region", byte_size=64)
    return {
        "ModelInfer": infer,
        "ModelMetadata": messages.ModelMetadataRequest(name="digits", version="1"),
        "ModelConfig": messages.ModelConfigRequest(name="digits"),
        "ModelStatistics": messages.ModelStatisticsRequest(name="digits"),
        "RepositoryModelLoad": load,
        "RepositoryIndex": messages.RepositoryIndexRequest(ready=True),
        "SystemSharedMemoryRegister": register,
        "TraceSetting": trace,
        "LogSettings": log,
    }


def mutated(data, generator):
    data = bytearray(data)
    for _ in range(generator.choice([1, 1, 2, 8])):
        what = generator.randrange(5)
        at = generator.randrange(len(data) + 1)
        # Most of a module is weights; what is interesting stands at the ends.
        if len(data) > 4096 and generator.random() < 0.8:
            at = generator.choice([generator.randrange(256), len(data) - generator.randrange(256)])
        if what == 0 and data:
            data[min(at, len(data) - 1)] ^= 1 << generator.randrange(8)
        elif what == 1 and data:
            data[min(at, len(data) - 1)] = generator.choice([0, 0x7F, 0x80, 0xFF])
        elif what == 2:
            data[at:at] = generator.randbytes(generator.randrange(1, 16))
        elif what == 3:
            del data[at : at + generator.randrange(1, 64)]
        else:
            data[at:at] = b"\xff" * 9 + b"\x01"
    return bytes(data)


def test_fuzzed_messages(daemon, digits_module, images):
    generator = random.Random(20)
    right = seeds(digits_module)
    before = resident(daemon)
    with grpc.insecure_channel(daemon.url) as channel:
        for call, message in right.items():
            method = channel.unary_unary(SERVICE + call)
            data = message.SerializeToString()
            for _ in range(60 if len(data) > 4096 else 300):
                try:
                    method(mutated(data, generator), timeout=30)
                except grpc.RpcError as error:
                    assert error.code() in REFUSALS, (call, error.code(), error.details())
    # What a mutant may have changed.
    with triton.InferenceServerClient(daemon.url) as client:
        client.update_log_settings({"log_info": True, "log_verbose_level": 0})
        client.load_model("digits")
        client.infer("digits", [image_input(images[:1])])
    assert resident(daemon) - before < 256 << 20


def test_noise_instead_of_http2(daemon, images):
    generator = random.Random(21)
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
    for number in range(200):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(daemon.socket)
            try:
                connection.sendall((preface if number % 2 else b"") + generator.randbytes(500))
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
            except OSError:
                pass
    with triton.InferenceServerClient(daemon.url) as client:
        client.infer("digits", [image_input(images[:1])])


def test_thousands_of_idle_connections(daemon, images):
    """One user has some hundred of them at most; the others are closed. Who is connected goes on."""
    before = resident(daemon)
    with triton.InferenceServerClient(daemon.url) as client:
        client.infer("digits", [image_input(images[:1])])
        connections = []
        for _ in range(3000):
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(10)
            try:
                connection.connect(daemon.socket)
            except OSError:
                connection.close()
                continue
            connections.append(connection)
        client.infer("digits", [image_input(images[:1])])
        grown = resident(daemon) - before
        for connection in connections:
            connection.close()
    assert grown < 200 << 20, f"{grown >> 20} MiB"
    limit = time.monotonic() + 60
    while True:
        try:
            with triton.InferenceServerClient(daemon.url) as client:
                client.infer("digits", [image_input(images[:1])])
            return
        except Exception:  # noqa: BLE001 - until the daemon has seen all of them close
            if time.monotonic() > limit:
                raise
            time.sleep(0.1)


def test_flood_of_requests(daemon, images, small):
    """More than may wait: answered or refused, none lost, and memory bounded."""
    batch = np.tile(images[:32], (8, 1, 1, 1))
    before = resident(daemon)
    counts = {"answered": 0, "refused": 0, "other": []}
    lock = threading.Condition()

    def take(result, error):
        with lock:
            if error is None:
                counts["answered"] += 1
            elif "RESOURCE_EXHAUSTED" in str(error.status()):
                counts["refused"] += 1
            else:
                counts["other"].append(f"{error.status()}: {error.message()}")
            lock.notify()

    with triton.InferenceServerClient(daemon.url) as client:
        for _ in range(600):
            client.async_infer("digits", [image_input(batch)], callback=take, client_timeout=100)
        with lock:
            done = lock.wait_for(lambda: counts["answered"] + counts["refused"] + len(counts["other"]) == 600, 110)
    assert done and not counts["other"], counts
    assert counts["answered"] >= 100, counts
    assert resident(daemon) - before < 512 << 20


def test_slow_reader(daemon, images, small):
    """Asks for large answers and reads none of them."""
    data = np.tile(np.load(small / "x.npy"), (100, 1, 1, 1))
    with triton.InferenceServerClient(daemon.url) as client:
        client.load_model("small", config="{}", files={"file:1/model.vtab": (small / "model.vtab").read_bytes()})
        tensor = triton.InferInput("x", list(data.shape), "FP32")
        tensor.set_data_from_numpy(data)
        before = resident(daemon)
        hold = threading.Event()
        client.start_stream(callback=lambda result, error: hold.wait(60))
        for number in range(64):
            client.async_stream_infer("small", [tensor], request_id=str(number))
        with triton.InferenceServerClient(daemon.url) as other:
            for _ in range(20):
                other.infer("digits", [image_input(images[:1])])
        grown = resident(daemon) - before
        hold.set()
        client.stop_stream(cancel_requests=True)
    assert grown < 512 << 20, f"{grown >> 20} MiB"
