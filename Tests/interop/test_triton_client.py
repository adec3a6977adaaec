"""An unmodified tritonclient, and the stubs that it ships, against a running `vtad`."""

import json
import os
import queue
import shutil

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2 as messages
from tritonclient.grpc import service_pb2_grpc
from tritonclient.utils import InferenceServerException

from programs import Daemon, running, succeed

DEADLINE = 60


@pytest.fixture(scope="module")
def daemon(digits_module, tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    shutil.copy(digits_module, models / "digits.vtab")
    with running(models=models) as daemon:
        yield daemon
        assert daemon.is_running()


@pytest.fixture
def client(daemon):
    with triton.InferenceServerClient(daemon.url) as client:
        yield client


@pytest.fixture
def stub(daemon):
    """gRPC's defaults but for the size of answers: `:authority` is the socket's path, percent-encoded."""
    with grpc.insecure_channel(daemon.url, [("grpc.max_receive_message_length", -1)]) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def image_input(images, name="image"):
    tensor = triton.InferInput(name, list(images.shape), "FP32")
    tensor.set_data_from_numpy(images)
    return tensor


def raw_request(images, **changes):
    """A request as tritonclient sends it, for changing one thing."""
    fields = {
        "model": "digits",
        "name": "image",
        "datatype": "FP32",
        "shape": images.shape,
        "raw": images.tobytes(),
    }
    fields |= changes
    request = messages.ModelInferRequest(model_name=fields["model"])
    request.inputs.add(name=fields["name"], datatype=fields["datatype"], shape=fields["shape"])
    request.raw_input_contents.append(fields["raw"])
    return request


def typed_request(images, shape=None, datatype="FP32", **contents):
    request = messages.ModelInferRequest(model_name="digits")
    tensor = request.inputs.add(name="image", datatype=datatype, shape=shape or images.shape)
    for field, values in (contents or {"fp32_contents": images.ravel()}).items():
        getattr(tensor.contents, field).extend(values)
    return request


def answer_of(response):
    assert [output.name for output in response.outputs] == ["probabilities"]
    values = np.frombuffer(response.raw_output_contents[0], np.float32)
    return values.reshape(response.outputs[0].shape)


def test_liveness_and_metadata(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("digits") and client.is_model_ready("digits", "1")
    assert not client.is_model_ready("nobody")
    server = client.get_server_metadata()
    assert server.name and server.version

    model = client.get_model_metadata("digits")
    assert (model.name, list(model.versions)) == ("digits", ["1"])
    assert [(i.name, i.datatype, list(i.shape)) for i in model.inputs] == [("image", "FP32", [-1, 1, 8, 8])]
    assert [(o.name, o.datatype, list(o.shape)) for o in model.outputs] == [
        ("probabilities", "FP32", [-1, 10])
    ]
    assert model.platform
    index = client.get_model_repository_index()
    assert [(entry.name, entry.version, entry.state) for entry in index.models] == [("digits", "1", "READY")]


def test_infer(client, images, probabilities):
    for count in (1, 5):
        result = client.infer("digits", [image_input(images[:count])], request_id=f"request {count}")
        np.testing.assert_array_equal(result.as_numpy("probabilities"), probabilities[:count])
        assert result.get_response().id == f"request {count}"
    chosen = triton.InferRequestedOutput("probabilities")
    result = client.infer("digits", [image_input(images[:1])], outputs=[chosen], model_version="1")
    np.testing.assert_array_equal(result.as_numpy("probabilities"), probabilities[:1])


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compressed_requests(daemon, client, digits_module, images, probabilities, algorithm):
    """Of all sizes, on all ways."""
    for count in (1, 5, len(images)):
        result = client.infer("digits", [image_input(images[:count])], compression_algorithm=algorithm)
        np.testing.assert_array_equal(result.as_numpy("probabilities"), probabilities[:count])
    large = np.tile(images, (4_000_000 // images.nbytes + 1, 1, 1, 1))
    result = client.infer("digits", [image_input(large)], compression_algorithm=algorithm)
    np.testing.assert_array_equal(result.as_numpy("probabilities")[-len(images) :], probabilities[: len(images)])
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)), compression_algorithm=algorithm)
    for index in range(8):
        client.async_stream_infer("digits", [image_input(images[index : index + 1])], request_id=str(index))
    for _ in range(8):
        result, error = answers.get(timeout=DEADLINE)
        assert error is None
        index = int(result.get_response().id)
        np.testing.assert_array_equal(result.as_numpy("probabilities")[0], probabilities[index])
    client.stop_stream()
    known = grpc.Compression.Gzip if algorithm == "gzip" else grpc.Compression.Deflate
    with grpc.insecure_channel(daemon.url, compression=known) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        load = messages.RepositoryModelLoadRequest(model_name=f"uploaded {algorithm}")
        load.parameters["file:1/model.vtab"].bytes_param = digits_module.read_bytes()
        stub.RepositoryModelLoad(load, timeout=DEADLINE)
        request = raw_request(images[:1], model=f"uploaded {algorithm}")
        np.testing.assert_array_equal(answer_of(stub.ModelInfer(request, timeout=DEADLINE)), probabilities[:1])


def test_typed_contents(stub, images, probabilities):
    response = stub.ModelInfer(typed_request(images[:2]), timeout=DEADLINE)
    if response.raw_output_contents:
        answer = answer_of(response)
    else:
        answer = np.array(response.outputs[0].contents.fp32_contents, np.float32).reshape(2, 10)
    np.testing.assert_array_equal(answer, probabilities[:2])


def test_concurrent_requests(client, images, probabilities):
    """Answers go to those who asked."""
    answers = queue.Queue()
    for index in range(40):
        client.async_infer(
            "digits",
            [image_input(images[index : index + 1])],
            client_timeout=DEADLINE,
            request_id=str(index),
            callback=lambda result, error: answers.put((result, error)),
        )
    seen = set()
    for _ in range(40):
        result, error = answers.get(timeout=DEADLINE)
        assert error is None
        index = int(result.get_response().id)
        np.testing.assert_array_equal(result.as_numpy("probabilities")[0], probabilities[index])
        seen.add(index)
    assert seen == set(range(40))


def test_large_messages(stub, small):
    """More than gRPC's usual 4 MB, there and back; the same sample gets the same answer."""
    load = messages.RepositoryModelLoadRequest(model_name="small")
    load.parameters["file:1/model.vtab"].bytes_param = (small / "model.vtab").read_bytes()
    stub.RepositoryModelLoad(load, timeout=DEADLINE)
    batch = np.tile(np.load(small / "x.npy"), (600, 1, 1, 1))
    request = raw_request(batch, model="small", name="x")
    assert request.ByteSize() > 4 << 20
    response = stub.ModelInfer(request, timeout=DEADLINE)
    answer = np.frombuffer(response.raw_output_contents[0], np.float32).reshape(response.outputs[0].shape)
    assert answer.shape == (1200, 32, 8, 8)
    np.testing.assert_array_equal(answer, np.tile(answer[:2], (600, 1, 1, 1)))


ONE = np.zeros((1, 1, 8, 8), np.float32)
NOT_FOUND, INVALID = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT


def without_inputs():
    return messages.ModelInferRequest(model_name="digits")


def without_contents():
    request = raw_request(ONE)
    del request.raw_input_contents[:]
    return request


def with_two_raw_contents():
    request = raw_request(ONE)
    request.raw_input_contents.append(b"")
    return request


def with_raw_and_typed():
    request = typed_request(ONE)
    request.raw_input_contents.append(ONE.tobytes())
    return request


def with_extra_input():
    request = raw_request(ONE)
    request.inputs.add(name="another", datatype="FP32", shape=[1])
    request.raw_input_contents.append(bytes(4))
    return request


def with_input_twice():
    request = raw_request(ONE)
    request.inputs.add(name="image", datatype="FP32", shape=[1, 1, 8, 8])
    request.raw_input_contents.append(ONE.tobytes())
    return request


def with_output(name):
    request = raw_request(ONE)
    request.outputs.add(name=name)
    return request


# What is wrong -> request, status, and words that its sentence must contain.
MALFORMED = {
    "unknown model": (raw_request(ONE, model="nobody"), NOT_FOUND, ["nobody"]),
    "unknown version": (raw_request(ONE), NOT_FOUND, ["7"]),
    "no model name": (raw_request(ONE, model=""), NOT_FOUND, []),
    "unknown input": (raw_request(ONE, name="picture"), INVALID, ["picture", "image"]),
    "extra input": (with_extra_input(), INVALID, ["another"]),
    "input twice": (with_input_twice(), INVALID, ["image"]),
    "missing input": (without_inputs(), INVALID, ["image"]),
    "unknown output": (with_output("scores"), INVALID, ["scores"]),
    "wrong datatype": (raw_request(ONE, datatype="INT8", raw=bytes(64)), INVALID, ["INT8", "FP32"]),
    "datatype that does not exist": (raw_request(ONE, datatype="FLOAT"), INVALID, ["FLOAT"]),
    "no datatype": (raw_request(ONE, datatype=""), INVALID, []),
    "wrong shape": (raw_request(ONE, shape=[1, 1, 4, 16]), INVALID, ["8"]),
    "wrong rank": (raw_request(ONE, shape=[1, 64]), INVALID, ["8"]),
    "no shape": (raw_request(ONE, shape=[]), INVALID, ["8"]),
    "empty batch": (raw_request(ONE, shape=[0, 1, 8, 8], raw=b""), INVALID, []),
    "negative extent": (raw_request(ONE, shape=[-1, 1, 8, 8]), INVALID, ["-1"]),
    "two negative extents": (raw_request(ONE, shape=[-1, -1, 8, 8]), INVALID, ["-1"]),
    "huge shape": (raw_request(ONE, shape=[2**62, 1, 8, 8]), INVALID, []),
    "shape that overflows": (raw_request(ONE, shape=[2**63 - 1, 2**63 - 1, 8, 8]), INVALID, []),
    "a byte short": (raw_request(ONE, raw=bytes(255)), INVALID, ["255", "256"]),
    "a byte long": (raw_request(ONE, raw=bytes(257)), INVALID, ["257", "256"]),
    "no bytes": (raw_request(ONE, raw=b""), INVALID, ["256"]),
    "no contents at all": (without_contents(), INVALID, ["image"]),
    "two raw contents for one input": (with_two_raw_contents(), INVALID, ["2", "1"]),
    "raw and typed contents": (with_raw_and_typed(), INVALID, ["image"]),
    "typed, an element short": (typed_request(ONE, fp32_contents=[0] * 63), INVALID, ["63", "64"]),
    "typed, an element long": (typed_request(ONE, fp32_contents=[0] * 65), INVALID, ["65", "64"]),
    "typed, another field": (typed_request(ONE, int_contents=[0] * 64), INVALID, ["FP32"]),
    "typed, two fields": (typed_request(ONE, fp32_contents=[0] * 64, int_contents=[0] * 64), INVALID, []),
    "typed, wrong datatype": (
        typed_request(ONE, datatype="INT32", int_contents=[0] * 64),
        INVALID,
        ["INT32", "FP32"],
    ),
    "typed, huge shape": (typed_request(ONE, shape=[2**62, 1, 8, 8]), INVALID, []),
}
MALFORMED["unknown version"][0].model_version = "7"


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed_request(what, stub, daemon, images, probabilities):
    request, status, words = MALFORMED[what]
    with pytest.raises(grpc.RpcError) as raised:
        stub.ModelInfer(request, timeout=DEADLINE)
    assert_clear(raised.value, status, words)
    answer = answer_of(stub.ModelInfer(raw_request(images[:1]), timeout=DEADLINE))
    np.testing.assert_array_equal(answer, probabilities[:1])


def assert_clear(error, status, words):
    """One sentence, with the words that tell the reader what to change."""
    sentence = error.details()
    assert error.code() == status, sentence
    assert len(sentence.split()) >= 4 and "\n" not in sentence, sentence
    for word in words:
        assert word in sentence, sentence


def test_client_gets_errors(client, images):
    with pytest.raises(InferenceServerException) as raised:
        client.infer("nobody", [image_input(images[:1])])
    assert raised.value.status() == "StatusCode.NOT_FOUND"
    with pytest.raises(InferenceServerException) as raised:
        client.infer("digits", [image_input(images[:1], name="picture")])
    assert raised.value.status() == "StatusCode.INVALID_ARGUMENT"
    with pytest.raises(InferenceServerException) as raised:
        client.get_model_metadata("nobody")
    assert raised.value.status() == "StatusCode.NOT_FOUND"


def test_upload_and_unload(client, digits_module, images, probabilities):
    module = digits_module.read_bytes()
    client.load_model("uploaded", files={"file:1/model.vtab": module})
    assert client.is_model_ready("uploaded")
    result = client.infer("uploaded", [image_input(images[:3])])
    np.testing.assert_array_equal(result.as_numpy("probabilities"), probabilities[:3])

    client.unload_model("uploaded")
    assert not client.is_model_ready("uploaded")
    with pytest.raises(InferenceServerException) as raised:
        client.infer("uploaded", [image_input(images[:1])])
    assert raised.value.status() == "StatusCode.NOT_FOUND"
    assert client.is_model_ready("digits")


def test_unload_and_load_of_the_repository(client, images):
    client.unload_model("digits")
    try:
        assert not client.is_model_ready("digits")
        states = {entry.name: entry.state for entry in client.get_model_repository_index().models}
        assert states["digits"] != "READY"
    finally:
        client.load_model("digits")
    assert client.is_model_ready("digits")
    client.infer("digits", [image_input(images[:1])])


@pytest.mark.parametrize("what", ["damaged", "random", "empty", "several files"])
def test_upload_of_rubbish(what, stub, client, digits_module):
    module = bytearray(digits_module.read_bytes())
    module[len(module) // 2] ^= 1
    contents = {
        "damaged": bytes(module),
        "random": bytes(range(256)) * 16,
        "empty": b"",
        "several files": bytes(module),
    }
    request = messages.RepositoryModelLoadRequest(model_name="rubbish")
    request.parameters["file:1/model.vtab"].bytes_param = contents[what]
    if what == "several files":
        request.parameters["file:2/model.vtab"].bytes_param = contents[what]
    with pytest.raises(grpc.RpcError) as raised:
        stub.RepositoryModelLoad(request, timeout=DEADLINE)
    assert_clear(raised.value, INVALID, [])
    assert client.is_server_live() and not client.is_model_ready("rubbish")


@pytest.mark.parametrize("name", ["nobody", "", "../digits", "/etc/passwd"])
def test_load_and_unload_of_unknown_models(name, stub):
    for call, request in (
        (stub.RepositoryModelLoad, messages.RepositoryModelLoadRequest(model_name=name)),
        (stub.RepositoryModelUnload, messages.RepositoryModelUnloadRequest(model_name=name)),
    ):
        with pytest.raises(grpc.RpcError) as raised:
            call(request, timeout=DEADLINE)
        assert raised.value.code() in (NOT_FOUND, INVALID), raised.value.details()


def test_calls_that_do_not_exist(stub):
    with pytest.raises(grpc.RpcError) as raised:
        stub.CudaSharedMemoryStatus(messages.CudaSharedMemoryStatusRequest(), timeout=DEADLINE)
    assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_vtactl_run_through_the_daemon(daemon, client, digits_module, images, probabilities, tmp_path):
    """The daemon gets a model of the caller's own, and forgets it when the caller leaves."""
    np.save(tmp_path / "image.npy", images[:4])
    finished = succeed(
        "vtactl",
        "run",
        digits_module,
        "--socket",
        daemon.socket,
        "--input",
        tmp_path / "image.npy",
        "--output-dir",
        tmp_path / "outputs",
        "--repeat",
        3,
        "--json",
    )
    answer = json.loads(finished.stdout)
    assert len(answer["seconds"]) == 3 and answer["where"] != "in-process"
    np.testing.assert_array_equal(np.load(tmp_path / "outputs/probabilities.npy"), probabilities[:4])
    assert [entry.name for entry in client.get_model_repository_index().models] == ["digits"]


def test_dumped_tensors_need_no_second_thought(daemon, digits_module, images, tmp_path):
    """A daemon gives outputs only: the run happens in the process that asks, and the answer says so."""
    np.save(tmp_path / "image.npy", images[:2])
    arguments = ["run", digits_module, "--socket", daemon.socket, "--input", tmp_path / "image.npy"]
    finished = succeed("vtactl", *arguments, "--dump-tensors", tmp_path / "device", "--json")
    assert json.loads(finished.stdout)["where"] == "in-process"
    assert all(len(np.load(path)) == 2 for path in (tmp_path / "device").iterdir())


def test_forged_caller(daemon, stub, digits_module):
    """The log names the process that the kernel names, whatever headers the client sends."""
    request = messages.RepositoryModelLoadRequest(model_name="forged")
    request.parameters["file:1/model.vtab"].bytes_param = digits_module.read_bytes()
    forgery = [("vta-peer", "4711,4711,1,0"), ("vta-peer", "4711,4711,1,1")]
    stub.RepositoryModelLoad(request, metadata=forgery, timeout=DEADLINE)
    stub.RepositoryModelUnload(messages.RepositoryModelUnloadRequest(model_name="forged"), metadata=forgery)
    lines = [line for line in daemon.log_text().splitlines() if "model=forged" in line]
    assert lines
    for line in lines:
        assert f"uid {os.getuid()}, pid {os.getpid()}" in line and "4711" not in line


def test_sigterm_lets_requests_finish(digits_module, images, probabilities, tmp_path):
    """A request that is under way when the daemon is told to stop gets its answer."""
    shutil.copy(digits_module, tmp_path / "digits.vtab")
    daemon = Daemon(models=tmp_path)
    answers = queue.Queue()
    with triton.InferenceServerClient(daemon.url) as client:
        client.infer("digits", [image_input(images[:1])])
        client.async_infer(
            "digits",
            [image_input(images)],
            client_timeout=DEADLINE,
            callback=lambda result, error: answers.put((result, error)),
        )
        # The daemon has read the request once a later one has been answered.
        client.infer("digits", [image_input(images[:1])])
        code = daemon.stop()
        result, error = answers.get(timeout=DEADLINE)
    assert code == 0 and error is None
    np.testing.assert_array_equal(result.as_numpy("probabilities"), probabilities)
