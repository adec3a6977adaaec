"""The extensions of the inference protocol, through unmodified clients: tritonclient and grpcio's health check."""

import json
import os
import queue
import shutil
import time
import uuid

import grpc
import numpy as np
import onnx
import pytest
import tritonclient.grpc as triton
import tritonclient.utils.shared_memory as shm
from google.protobuf import json_format
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.utils import InferenceServerException

from programs import DIGITS, Daemon, running, succeed
from test_triton_client import DEADLINE, image_input

LABELS = [f"digit {number}" for number in range(10)]


@pytest.fixture(scope="module")
def models(digits_module, tmp_path_factory):
    """digits in versions 1 and 3."""
    folder = tmp_path_factory.mktemp("versions")
    for version in ("1", "3"):
        (folder / "digits" / version).mkdir(parents=True)
        shutil.copy(digits_module, folder / "digits" / version / "model.vtab")
    return folder


@pytest.fixture(scope="module")
def daemon(models):
    with running(models=models) as daemon:
        yield daemon
        assert daemon.is_running()


@pytest.fixture
def client(daemon):
    with triton.InferenceServerClient(daemon.url) as client:
        yield client


@pytest.fixture
def region():
    """Makes shared memory objects, and removes them."""
    made = []

    def make(byte_size):
        name = f"vta-{uuid.uuid4().hex[:12]}"
        handle = shm.create_shared_memory_region(name, f"/{name}", byte_size)
        made.append(handle)
        return name, handle

    yield make
    for handle in made:
        shm.destroy_shared_memory_region(handle)


def test_the_calls_of_perf_analyzer(client, images):
    """In its order: metadata, config as JSON, statistics around a window of requests."""
    assert {"model_configuration", "statistics", "system_shared_memory"} <= set(
        client.get_server_metadata().extensions
    )
    metadata = client.get_model_metadata("digits")
    config = json.loads(
        json_format.MessageToJson(
            client.get_model_config("digits"),
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )
    )["config"]
    assert config["max_batch_size"] > 0 and not config["model_transaction_policy"]["decoupled"]
    assert "ensemble_scheduling" not in config and "sequence_batching" not in config
    assert [(i["name"], i["data_type"], i["dims"]) for i in config["input"]] == [
        ("image", "TYPE_FP32", ["1", "8", "8"])
    ]
    assert list(metadata.inputs[0].shape)[1:] == [1, 8, 8]
    before = client.get_inference_statistics("digits", "3").model_stats[0]
    for count in (1, 4):
        client.infer("digits", [image_input(images[:count])])
    with pytest.raises(InferenceServerException):
        client.infer("digits", [image_input(images[:1], name="picture")])
    after = client.get_inference_statistics("digits", "3").model_stats[0]
    assert after.execution_count - before.execution_count == 2
    assert after.inference_count - before.inference_count == 5
    stats, old = after.inference_stats, before.inference_stats
    assert stats.success.count - old.success.count == 2 and stats.fail.count - old.fail.count == 1
    assert stats.success.ns - old.success.ns >= stats.compute_infer.ns - old.compute_infer.ns > 0
    assert abs(after.last_inference / 1000 - time.time()) < 3600
    everything = client.get_inference_statistics().model_stats
    assert [(entry.name, entry.version) for entry in everything] == [("digits", "1"), ("digits", "3")]


def test_versions(client, images, probabilities):
    assert list(client.get_model_metadata("digits").versions) == ["1", "3"]
    for version, answering in (("", "3"), ("1", "1"), ("3", "3")):
        result = client.infer("digits", [image_input(images[:1])], model_version=version)
        assert result.get_response().model_version == answering
        np.testing.assert_array_equal(result.as_numpy("probabilities"), probabilities[:1])
    with pytest.raises(InferenceServerException) as raised:
        client.infer("digits", [image_input(images[:1])], model_version="2")
    assert raised.value.status() == "StatusCode.NOT_FOUND"


def test_upload_of_versions(client, digits_module, images, probabilities):
    module = digits_module.read_bytes()
    client.load_model(
        "several", config="{}", files={"file:2/model.vtab": module, "file:10/model.vtab": module}
    )
    assert list(client.get_model_metadata("several").versions) == ["2", "10"]
    result = client.infer("several", [image_input(images[:2])], model_version="2")
    np.testing.assert_array_equal(result.as_numpy("probabilities"), probabilities[:2])
    for name in ("file:0/model.vtab", "file:x/model.vtab", "file:1/../model.vtab", "file:1/other"):
        with pytest.raises(InferenceServerException) as raised:
            client.load_model("several", config="{}", files={name: module})
        assert raised.value.status() == "StatusCode.INVALID_ARGUMENT"
    client.unload_model("several")


def test_published_model(digits_module, images, probabilities, tmp_path):
    """What is uploaded for everybody is kept in the model folder."""
    config = json.dumps({"parameters": {"visibility": {"string_value": "everybody"}}})
    with running(models=tmp_path) as daemon:
        with triton.InferenceServerClient(daemon.url) as client:
            for name in ("../escape", ".hidden", "", "a/b"):
                with pytest.raises(InferenceServerException) as raised:
                    client.load_model(name, config=config, files={"file:1/model.vtab": b"rubbish"})
                assert raised.value.status() == "StatusCode.INVALID_ARGUMENT"
            client.load_model("kept", config=config, files={"file:4/model.vtab": digits_module.read_bytes()})
            with pytest.raises(InferenceServerException):
                client.load_model("kept", config=config, files={"file:5/model.vtab": b"rubbish"})
        with triton.InferenceServerClient(daemon.url) as client:
            assert list(client.get_model_metadata("kept").versions) == ["4"]
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.vtab")] == ["kept/4/model.vtab"]
    with running(models=tmp_path) as daemon, triton.InferenceServerClient(daemon.url) as client:
        result = client.infer("kept", [image_input(images[:1])])
        np.testing.assert_array_equal(result.as_numpy("probabilities"), probabilities[:1])


def test_stream(client, images, probabilities):
    """An error is an answer; the stream goes on. Answers may come in any order."""
    answers = queue.Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)))
    for index in range(30):
        name = "image" if index % 10 else "picture"
        client.async_stream_infer(
            "digits", [image_input(images[index : index + 1], name=name)], request_id=str(index)
        )
    seen = {}
    errors = 0
    for _ in range(30):
        result, error = answers.get(timeout=DEADLINE)
        if error is not None:
            assert "picture" in str(error)
            errors += 1
        else:
            seen[int(result.get_response().id)] = result.as_numpy("probabilities")
    client.stop_stream()
    assert errors == 3 and sorted(seen) == [index for index in range(30) if index % 10]
    for index, answer in seen.items():
        np.testing.assert_array_equal(answer[0], probabilities[index])


def test_classification(client, images, probabilities):
    wanted = triton.InferRequestedOutput("probabilities", class_count=3)
    result = client.infer("digits", [image_input(images[:4])], outputs=[wanted])
    answer = result.as_numpy("probabilities")
    assert answer.shape == (4, 3)
    labels = (DIGITS / "labels.txt").read_text().split("\n")
    for row, scores in zip(answer, probabilities):
        best = np.argsort(-scores, kind="stable")[:3]
        assert [text.decode() for text in row] == [f"{scores[i]:f}:{i}:{labels[i]}" for i in best]
    many = triton.InferRequestedOutput("probabilities", class_count=1000)
    result = client.infer("digits", [image_input(images[:1])], outputs=[many])
    assert result.as_numpy("probabilities").shape == (1, 10)


def test_shared_memory(client, images, probabilities, region):
    """Input and output in one region, at offsets; then the output alone."""
    count = 7
    batch = images[:count]
    name, handle = region(4096 + batch.nbytes + 40 * count)
    client.register_system_shared_memory(name, f"/{name}", 4096 + batch.nbytes + 40 * count)
    status = client.get_system_shared_memory_status(name)
    assert [(r.name, r.key, r.byte_size) for r in status.regions.values()] == [
        (name, f"/{name}", 4096 + batch.nbytes + 40 * count)
    ]
    shm.set_shared_memory_region(handle, [np.ascontiguousarray(batch)], offset=4096)
    tensor = triton.InferInput("image", list(batch.shape), "FP32")
    tensor.set_shared_memory(name, batch.nbytes, offset=4096)
    output = triton.InferRequestedOutput("probabilities")
    output.set_shared_memory(name, 40 * count, offset=4096 + batch.nbytes)
    result = client.infer("digits", [tensor], outputs=[output])
    answered = result.get_output("probabilities")
    assert answered.parameters["shared_memory_region"].string_param == name
    written = shm.get_contents_as_numpy(handle, np.float32, [count, 10], offset=4096 + batch.nbytes)
    np.testing.assert_array_equal(written, probabilities[:count])

    result = client.infer("digits", [tensor])
    np.testing.assert_array_equal(result.as_numpy("probabilities"), probabilities[:count])
    del written
    client.unregister_system_shared_memory(name)
    assert not client.get_system_shared_memory_status().regions
    with pytest.raises(InferenceServerException) as raised:
        client.infer("digits", [tensor])
    assert raised.value.status() == "StatusCode.NOT_FOUND"


def test_outputs_here_and_there(client, region, small, tmp_path):
    """One output in shared memory and one in the message."""
    network = onnx.load(DIGITS.parents[1] / "Tests/Fixtures/onnx/two_outputs.onnx")
    source = network.graph.input[0]
    shape = [dimension.dim_value or 1 for dimension in source.type.tensor_type.shape.dim]
    data = np.random.default_rng(3).standard_normal([2, *shape[1:]]).astype(np.float32)
    np.savez(tmp_path / "calibration.npz", **{source.name: data})
    onnx.save(network, tmp_path / "two.onnx")
    succeed(
        *("vtactl", "compile", tmp_path / "two.onnx", "-o", tmp_path / "two.vtab", "--target", "sim"),
        *("--calibration", tmp_path / "calibration.npz"),
    )
    client.load_model("two", config="{}", files={"file:1/model.vtab": (tmp_path / "two.vtab").read_bytes()})
    tensor = triton.InferInput(source.name, list(data.shape), "FP32")
    tensor.set_data_from_numpy(data)
    plain = client.infer("two", [tensor])
    first, second = [output.name for output in plain.get_response().outputs]
    expected = plain.as_numpy(first)
    name, handle = region(expected.nbytes)
    client.register_system_shared_memory(name, name, expected.nbytes)
    there = triton.InferRequestedOutput(first)
    there.set_shared_memory(name, expected.nbytes)
    mixed = client.infer("two", [tensor], outputs=[there, triton.InferRequestedOutput(second)])
    np.testing.assert_array_equal(mixed.as_numpy(second), plain.as_numpy(second))
    np.testing.assert_array_equal(
        shm.get_contents_as_numpy(handle, np.float32, list(expected.shape)), expected
    )
    client.unregister_system_shared_memory()


def test_shared_memory_refusals(client, images, region):
    name, _ = region(4096)
    refusals = [
        (("a", "/nobody-made-this", 64), "NOT_FOUND"),
        (("a", f"/{name}", 4097), "INVALID_ARGUMENT"),
        (("a", f"/{name}", 64, 2**64 - 32), "INVALID_ARGUMENT"),
        (("a", f"/{name}", 0), "INVALID_ARGUMENT"),
        (("a", "/../etc/passwd", 64), "INVALID_ARGUMENT"),
        (("a", "/", 64), "INVALID_ARGUMENT"),
        (("", f"/{name}", 64), "INVALID_ARGUMENT"),
    ]
    for arguments, status in refusals:
        with pytest.raises(InferenceServerException) as raised:
            client.register_system_shared_memory(*arguments)
        assert raised.value.status() == f"StatusCode.{status}", arguments
    client.register_system_shared_memory("once", name, 4096)
    with pytest.raises(InferenceServerException) as raised:
        client.register_system_shared_memory("once", name, 4096)
    assert raised.value.status() == "StatusCode.ALREADY_EXISTS"
    tensor = triton.InferInput("image", [1, 1, 8, 8], "FP32")
    for size, offset in ((256, 3841), (256, 2**62), (2**62, 0), (255, 0)):
        tensor.set_shared_memory("once", size, offset=offset)
        with pytest.raises(InferenceServerException) as raised:
            client.infer("digits", [tensor])
        assert raised.value.status() == "StatusCode.INVALID_ARGUMENT"
    # The client takes the memory away under the daemon.
    tensor.set_shared_memory("once", 256, offset=256)
    client.infer("digits", [tensor])
    os.truncate(f"/dev/shm/{name}", 100)
    with pytest.raises(InferenceServerException) as raised:
        client.infer("digits", [tensor])
    assert raised.value.status() == "StatusCode.FAILED_PRECONDITION"
    client.unregister_system_shared_memory("once")


def test_regions_go_with_their_user(daemon, region):
    name, _ = region(4096)
    with triton.InferenceServerClient(daemon.url) as staying:
        staying.is_server_live()
        with triton.InferenceServerClient(daemon.url) as leaving:
            leaving.register_system_shared_memory(name, name, 4096)
        assert list(staying.get_system_shared_memory_status().regions) == [name]
    limit = time.monotonic() + DEADLINE
    while time.monotonic() < limit:
        with triton.InferenceServerClient(daemon.url) as client:
            if not client.get_system_shared_memory_status().regions:
                return
        time.sleep(0.05)
    raise AssertionError("the region is still registered")


def test_regions_of_clients_that_left_make_room(daemon, region):
    name, _ = region(4096)
    with triton.InferenceServerClient(daemon.url) as staying:
        staying.register_system_shared_memory("kept", name, 4096)
        # Clients of one process share a connection otherwise.
        own = [("grpc.use_local_subchannel_pool", 1)]
        with triton.InferenceServerClient(daemon.url, channel_args=own) as leaving:
            for number in range(255):
                leaving.register_system_shared_memory(f"left {number}", name, 4096)
            with pytest.raises(InferenceServerException, match="already; unregister one"):
                leaving.register_system_shared_memory("too many", name, 4096)
        limit = time.monotonic() + DEADLINE
        while True:
            try:
                staying.register_system_shared_memory("new", name, 4096)
                break
            except InferenceServerException:
                # Until the daemon has seen that the connection is closed.
                assert time.monotonic() < limit
                time.sleep(0.05)
        assert sorted(staying.get_system_shared_memory_status().regions) == ["kept", "new"]


def test_trace_settings(daemon, client, images):
    assert list(client.get_trace_settings().settings["trace_level"].value) == ["OFF"]
    client.update_trace_settings(
        "digits", {"trace_level": ["TIMESTAMPS"], "trace_rate": "2", "trace_count": "2"}
    )
    for index in range(8):
        client.infer("digits", [image_input(images[:1])], request_id=f"traced-{index}")
    traced = [line for line in daemon.log_text().splitlines() if "request=traced-" in line]
    assert [line.split("request=")[1].split()[0] for line in traced] == ["traced-0", "traced-2"]
    assert list(client.get_trace_settings().settings["trace_level"].value) == ["OFF"]
    cleared = client.update_trace_settings("digits", {"trace_level": None, "trace_count": None})
    assert list(cleared.settings["trace_level"].value) == ["OFF"]
    for settings in ({"trace_rate": "0"}, {"trace_file": "/etc/passwd"}, {"colour": "red"}):
        with pytest.raises(InferenceServerException) as raised:
            client.update_trace_settings(settings=settings)
        assert raised.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_log_settings(client):
    before = client.get_log_settings().settings
    assert before["log_info"].bool_param and before["log_verbose_level"].uint32_param == 0
    changed = client.update_log_settings({"log_verbose_level": 1}).settings
    assert changed["log_verbose_level"].uint32_param == 1
    changed = client.update_log_settings({"log_verbose_level": 0, "log_info": False}).settings
    assert not changed["log_info"].bool_param and changed["log_warning"].bool_param
    client.update_log_settings({"log_info": True})
    with pytest.raises(InferenceServerException) as raised:
        client.update_log_settings({"log_file": "/etc/passwd"})
    assert raised.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_health(digits_module, tmp_path):
    """The health check of grpcio, and a watch that sees the daemon go."""
    shutil.copy(digits_module, tmp_path / "digits.vtab")
    daemon = Daemon(models=tmp_path)
    with grpc.insecure_channel(daemon.url) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", "inference.GRPCInferenceService"):
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=DEADLINE)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as raised:
            stub.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=DEADLINE)
        assert raised.value.code() == grpc.StatusCode.NOT_FOUND
        unknown = stub.Watch(health_pb2.HealthCheckRequest(service="nobody"), timeout=DEADLINE)
        assert next(unknown).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        unknown.cancel()
        watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=DEADLINE)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        assert daemon.stop() == 0
        assert [answer.status for answer in watch] == [health_pb2.HealthCheckResponse.NOT_SERVING]
