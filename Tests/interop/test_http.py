"""HTTP: an unmodified tritonclient.http, Prometheus' own parser, and requests that no client would send."""

import contextlib
import json
import random
import shutil
import socket
import urllib.error
import urllib.request

import numpy as np
import pytest
import tritonclient.grpc as grpc_client
import tritonclient.http as triton
from prometheus_client.parser import text_string_to_metric_families
from tritonclient.utils import InferenceServerException

from programs import running


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def serving(folder, models, options={}, **keys):
    """A daemon with these keys of `http`, and others; gives it and the port of 127.0.0.1."""
    port = free_port()
    config = folder / "vtad.json"
    config.write_text(json.dumps({"http": {"port": port, **keys}, **options}))
    with running("--config", config, models=models) as daemon:
        yield daemon, port
        assert daemon.is_running()


@pytest.fixture(scope="module")
def models(digits_module, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for version in ("1", "2"):
        (folder / "digits" / version).mkdir(parents=True)
        shutil.copy(digits_module, folder / "digits" / version / "model.vtab")
    (folder / "broken.vtab").write_bytes(b"rubbish")
    return folder


@pytest.fixture(scope="module")
def daemon_and_port(models, tmp_path_factory):
    with serving(tmp_path_factory.mktemp("open"), models, loopback_infer=True) as pair:
        yield pair


@pytest.fixture(scope="module")
def port(daemon_and_port):
    return daemon_and_port[1]


@pytest.fixture
def client(port):
    with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
        yield client


def image_input(images, binary=True, name="image"):
    tensor = triton.InferInput(name, list(images.shape), "FP32")
    tensor.set_data_from_numpy(images, binary_data=binary)
    return tensor


def get(port, path, headers=None, data=None):
    """Status and body, whatever the status."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=data, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_everything_that_can_be_asked(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("digits") and client.is_model_ready("digits", "1")
    assert not client.is_model_ready("nobody") and not client.is_model_ready("broken")
    assert client.get_server_metadata()["name"] == "vtad"
    metadata = client.get_model_metadata("digits")
    assert metadata["versions"] == ["1", "2"]
    assert metadata["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 1, 8, 8]}]
    config = client.get_model_config("digits")
    assert config["max_batch_size"] > 0 and config["input"][0]["data_type"] == "TYPE_FP32"
    assert config["input"][0]["dims"] == [1, 8, 8]
    stats = client.get_inference_statistics("digits", "1")["model_stats"]
    assert len(stats) == 1 and stats[0]["inference_stats"]["queue"]["count"] >= 0
    assert len(client.get_inference_statistics()["model_stats"]) == 2
    index = {(entry["name"], entry["version"]): entry for entry in client.get_model_repository_index()}
    assert index["digits", "2"]["state"] == "READY" and index["broken", "1"]["reason"]
    assert client.get_trace_settings()["trace_level"] == ["OFF"]
    assert client.get_trace_settings("digits")["trace_rate"] == "1000"
    assert client.get_log_settings()["log_info"] is True
    assert client.get_system_shared_memory_status() == []


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
def test_infer(client, images, probabilities, binary_in, binary_out):
    outputs = None
    if binary_out is not None:
        outputs = [triton.InferRequestedOutput("probabilities", binary_data=binary_out)]
    for version, count in (("", 1), ("1", 5)):
        result = client.infer(
            "digits",
            [image_input(images[:count], binary_in)],
            outputs=outputs,
            model_version=version,
            request_id="an id",
            timeout=30_000_000,
            priority=1,
        )
        answer = result.get_response()
        assert answer["id"] == "an id" and answer["model_version"] == (version or "2")
        np.testing.assert_array_equal(result.as_numpy("probabilities"), probabilities[:count])


def test_nested_data(port, images, probabilities):
    """As somebody writes it by hand."""
    body = {
        "inputs": [{"name": "image", "datatype": "FP32", "shape": [2, 1, 8, 8], "data": images[:2].tolist()}]
    }
    status, answer = get(port, "/v2/models/digits/infer", data=json.dumps(body).encode())
    assert status == 200
    output = json.loads(answer)["outputs"][0]
    assert output["shape"] == [2, 10]
    np.testing.assert_array_equal(np.array(output["data"], np.float32).reshape(2, 10), probabilities[:2])


def test_classification(client, images, probabilities):
    for binary in (True, False):
        wanted = triton.InferRequestedOutput("probabilities", binary_data=binary, class_count=2)
        result = client.infer("digits", [image_input(images[:3])], outputs=[wanted])
        answer = result.as_numpy("probabilities")
        assert answer.shape == (3, 2)
        best = [int(text.decode().split(":")[1] if binary else text.split(":")[1]) for text in answer[:, 0]]
        assert best == list(np.argmax(probabilities[:3], axis=1))


def test_concurrent_requests(port, images, probabilities):
    with triton.InferenceServerClient(f"127.0.0.1:{port}", concurrency=8) as client:
        waiting = [client.async_infer("digits", [image_input(images[i : i + 1])]) for i in range(64)]
        for index, request in enumerate(waiting):
            np.testing.assert_array_equal(
                request.get_result().as_numpy("probabilities")[0], probabilities[index]
            )


def test_large_bodies(client, images, probabilities):
    batch = np.tile(images[:1], (30_000, 1, 1, 1))
    assert batch.nbytes > 4 << 20
    answer = client.infer("digits", [image_input(batch)]).as_numpy("probabilities")
    np.testing.assert_array_equal(answer, np.tile(probabilities[:1], (30_000, 1)))


def test_nothing_is_administered_without_identity(client, digits_module):
    refused = [
        lambda: client.load_model("digits"),
        lambda: client.unload_model("digits"),
        lambda: client.update_log_settings({"log_info": False}),
        lambda: client.update_trace_settings("digits", {"trace_level": ["TIMESTAMPS"]}),
        lambda: client.register_system_shared_memory("region", "/region", 64),
    ]
    for call in refused:
        with pytest.raises(InferenceServerException) as raised:
            call()
        assert raised.value.status() == "403", raised.value
    assert client.is_model_ready("digits")


MALFORMED = {
    "nothing": (b"", None),
    "no JSON": (b"rubbish", None),
    "not an object": (b"[1,2]", None),
    "no inputs": (b"{}", None),
    "inputs of another type": (b'{"inputs": {"a": 1}}', None),
    "deep": (b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", None),
    "deep data": (
        b'{"inputs": [{"name": "image", "datatype": "FP32", "shape": [1], "data": '
        + b"[" * 400
        + b"]" * 400
        + b"}]}",
        None,
    ),
    "length beyond the body": (b"{}", "3"),
    "negative length": (b"{}", "-1"),
    "length that is no number": (b"{}", "two"),
    "bytes of nobody": (b'{"inputs": []}rest', "14"),
    "huge shape": (
        b'{"inputs": [{"name": "image", "datatype": "FP32", "shape": [9223372036854775807, 1, 8, 8], "data": [1]}]}',
        None,
    ),
    "overflowing number": (
        b'{"inputs": [{"name": "image", "datatype": "FP32", "shape": [1e400], "data": [1]}]}',
        None,
    ),
    "binary size beyond the body": (
        b'{"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8],'
        b' "parameters": {"binary_data_size": 256}}]}',
        None,
    ),
    "negative binary size": (
        b'{"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8],'
        b' "parameters": {"binary_data_size": -1}}]}',
        None,
    ),
    "texts": (
        b'{"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": ["a"]}]}',
        None,
    ),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed_requests(port, client, what):
    body, length = MALFORMED[what]
    headers = {"Inference-Header-Content-Length": length} if length else {}
    status, answer = get(port, "/v2/models/digits/infer", headers, body)
    assert status == 400, answer
    assert len(json.loads(answer)["error"].split()) >= 4
    assert client.is_server_live()


def test_other_errors(port, client, images):
    for path, status in (("/v2/models/nobody", 404), ("/v2/models/broken", 400), ("/nowhere", 404)):
        assert get(port, path)[0] == status, path
    with pytest.raises(InferenceServerException) as raised:
        client.infer("digits", [image_input(images[:1], name="picture")])
    assert raised.value.status() == "400" and "picture" in str(raised.value)
    assert get(port, "/v2/models/digits/infer", {"Content-Encoding": "br"}, b"x")[0] == 415


def test_pages_of_the_internet_are_refused(port):
    """By their name that leads here, or by their origin."""
    assert get(port, "/v2")[0] == 200
    for headers in (
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ):
        assert get(port, "/v2", headers)[0] == 403, headers
    assert get(port, "/v2", {"Origin": f"http://localhost:{port}"})[0] == 200


def test_forged_caller(port, digits_module):
    body = json.dumps({"parameters": {}}).encode()
    for headers in ({"vta-peer": "uid:0,administer,1,1"}, {"Vta-Peer": "uid:0,administer,1,1"}):
        assert get(port, "/v2/repository/models/digits/unload", headers, body)[0] == 403


def raw(port, data):
    """What the daemon answers to bytes, until it closes or a moment has passed."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(OSError):
            while chunk := connection.recv(65536):
                answer += chunk
    return answer


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X%d: y\r\n" % i for i in range(5000)) + b"\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"POST /v2/models/digits/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST /v2/models/digits/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /v2/models/digits/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nZZZ\r\n",
        b"POST /v2/models/digits/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{",
        bytes(range(256)) * 10,
    ],
    ids=["long header", "many headers", "version", "TLS", "huge", "negative", "smuggled", "cut", "noise"],
)
def test_header_abuse(port, client, data):
    answer = raw(port, data)
    assert not answer or answer.startswith(b"HTTP/1.1 4") or answer.startswith(b"HTTP/1.0 4"), answer[:200]
    assert client.is_server_live()


def families(port):
    status, text = get(port, "/metrics")
    assert status == 200
    return {family.name: family for family in text_string_to_metric_families(text.decode())}


def value(family, **labels):
    return sum(
        sample.value for sample in family.samples if labels.items() <= sample.labels.items() and
        not sample.name.endswith("_created")
    )


def test_fuzzed_requests(port, client, images):
    """Any answer but a failure of the server's own, or a closed connection; and the next client is served."""
    generator = random.Random(23)
    body = json.dumps(
        {"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [0.0] * 64}]}
    ).encode()
    head = b"POST /v2/models/digits/infer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    right = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    assert status_of(port, right, patience=30) == 200
    for _ in range(200):
        data = bytearray(right)
        for _ in range(generator.choice([1, 1, 2, 8])):
            at = generator.randrange(len(data))
            match generator.randrange(4):
                case 0:
                    data[at] ^= 1 << generator.randrange(8)
                case 1:
                    data[at:at] = generator.randbytes(generator.randrange(1, 16))
                case 2:
                    del data[at : at + generator.randrange(1, 64)]
                case 3:
                    data[at:at] = generator.choice([b"9" * 40, b"-1", b"[" * 500, b"\r\n\r\n", b"\x00"])
        status = status_of(port, bytes(data))
        assert status is None or status < 500 or status in (501, 505), (status, bytes(data))
    client.infer("digits", [image_input(images[:1])])


def status_of(port, data, patience=0.1):
    """Of the answer to these bytes; `None` if there is none: the connection was closed, or the server waits for more."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        answer = b""
        try:
            connection.sendall(data)
            # A first answer takes long on a busy machine; that to a mutant is not needed.
            connection.settimeout(patience)
            while b"\r\n" not in answer and (part := connection.recv(4096)):
                answer += part
        except (ConnectionError, TimeoutError):
            return None
    words = answer.split(b" ", 2)
    return int(words[1]) if len(words) > 1 else None


def test_metrics(port, client, images):
    """Read by Prometheus' own parser; requests are counted."""
    before = families(port)
    for _ in range(3):
        client.infer("digits", [image_input(images[:2])], model_version="1")
    with pytest.raises(InferenceServerException):
        client.infer("digits", [image_input(images[:2], name="picture")], model_version="1")
    after = families(port)
    labels = {"model": "digits", "version": "1"}

    def difference(name, **more):
        return value(after[name], **labels, **more) - value(before[name], **labels, **more)

    assert difference("vtad_inference_requests", outcome="success") == 3
    assert difference("vtad_inference_requests", outcome="failure") == 1
    assert difference("vtad_inference_samples") == 6
    assert difference("vtad_inference_duration_seconds", le="+Inf") == 3
    assert after["vtad_ready"].samples[0].value == 1
    assert after["process_resident_memory_bytes"].samples[0].value > 1 << 20
    for family in after.values():
        assert family.documentation and family.type in ("gauge", "counter", "histogram")
    buckets = [s for s in after["vtad_inference_duration_seconds"].samples if s.name.endswith("_bucket")]
    own = [s.value for s in buckets if labels.items() <= s.labels.items()]
    assert own == sorted(own)


def test_page_and_its_data(port, client, images):
    status, page = get(port, "/")
    assert status == 200 and b"<script src=" in page and b"http" not in page
    for path in ("/page.js", "/page.css"):
        assert get(port, path)[0] == 200
    client.infer("digits", [image_input(images[:1])])
    status, answer = get(port, "/status.json")
    report = json.loads(answer)
    assert status == 200 and report["ready"] and report["inferences"] > 0
    assert [(m["name"], m["version"]) for m in report["models"]] == [("digits", "1"), ("digits", "2")]
    assert [m["name"] for m in report["unavailable"]] == ["broken"]
    assert report["devices"][0]["kind"] == "simulator"


def test_read_only(models, tmp_path, images):
    with serving(tmp_path, models, loopback_readonly=True) as (daemon, port):
        for path in ("/", "/metrics", "/status.json", "/v2/health/live", "/v2/health/ready"):
            assert get(port, path)[0] == 200, path
        for path in ("/v2", "/v2/models/digits", "/v2/models/stats", "/v2/logging"):
            assert get(port, path)[0] == 403, path
        assert get(port, "/v2/models/digits/infer", data=b"{}")[0] == 403
        # The Unix socket is as it was.
        with grpc_client.InferenceServerClient(daemon.url) as client:
            assert client.is_model_ready("digits")
