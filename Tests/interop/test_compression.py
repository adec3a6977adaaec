"""Compressed requests and answers over HTTP: tritonclient with both of its algorithms, and bodies that no client would send."""

import gzip
import http.client
import itertools
import json
import pathlib
import random
import shutil
import threading
import zlib

import numpy as np
import pytest
import tritonclient.http as triton
from prometheus_client.parser import text_string_to_metric_families

# `client` and `port` are fixtures.
from test_http import client, image_input, port, serving, status_of

PAIRS = list(itertools.product((None, "deflate", "gzip"), repeat=2))
MIB = 1 << 20
LIMIT = 8 * MIB


@pytest.fixture(scope="module")
def daemon_and_port(digits_module, tmp_path_factory):
    folder = tmp_path_factory.mktemp("compression")
    (folder / "models").mkdir()
    shutil.copy(digits_module, folder / "models/digits.vtab")
    with serving(folder, folder / "models", {"max_message_bytes": LIMIT}, loopback_infer=True) as pair:
        yield pair


def ask(port, path, headers=None, body=None, method=None):
    """Status, headers and body as they come."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        # Without the Accept-Encoding of http.client's own.
        connection.putrequest(method or ("GET" if body is None else "POST"), path, skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def infer(port, body, headers=None):
    return ask(port, "/v2/models/digits/infer", headers, body)


def request_body(images, **more):
    """Everything in the JSON."""
    data = {"name": "image", "datatype": "FP32", "shape": list(images.shape), "data": images.ravel().tolist()}
    return json.dumps({"inputs": [data], **more}).encode()


def raw_deflate(data):
    compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
    return compressor.compress(data) + compressor.flush()


def decoded(headers, body):
    match headers["Content-Encoding"]:
        case None:
            return body
        case "gzip":
            return gzip.decompress(body)
        case "deflate":
            return zlib.decompress(body)


def outputs(body):
    return np.array(json.loads(body)["outputs"][0]["data"], np.float32).reshape(-1, 10)


@pytest.mark.parametrize("request_algorithm, response_algorithm", PAIRS)
@pytest.mark.parametrize("binary_in, binary_out", [(True, True), (True, False), (False, True), (False, False)])
def test_triton_client(
    client, images, probabilities, request_algorithm, response_algorithm, binary_in, binary_out
):
    algorithms = {
        "request_compression_algorithm": request_algorithm,
        "response_compression_algorithm": response_algorithm,
    }
    wanted = [triton.InferRequestedOutput("probabilities", binary_data=binary_out)]
    for count in (1, 5, 300):
        arguments = ("digits", [image_input(images[:count], binary_in)])
        results = [
            client.infer(*arguments, outputs=wanted, **algorithms),
            client.async_infer(*arguments, outputs=wanted, **algorithms).get_result(),
        ]
        for result in results:
            np.testing.assert_array_equal(result.as_numpy("probabilities"), probabilities[:count])


@pytest.mark.parametrize("request_algorithm, response_algorithm", PAIRS)
def test_large_tensors(client, request_algorithm, response_algorithm):
    """Of noise, which hardly becomes smaller."""
    batch = np.random.default_rng(1).uniform(0, 1, (30_000, 1, 8, 8)).astype(np.float32)
    assert 4 * MIB < batch.nbytes < LIMIT
    plain = client.infer("digits", [image_input(batch)])
    answer = client.infer(
        "digits",
        [image_input(batch)],
        request_compression_algorithm=request_algorithm,
        response_compression_algorithm=response_algorithm,
    )
    np.testing.assert_array_equal(answer.as_numpy("probabilities"), plain.as_numpy("probabilities"))


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_headers_of_a_compressed_answer(port, images, probabilities, algorithm, binary):
    parameters = {"parameters": {"binary_data_output": True}} if binary else {}
    body = request_body(images[:100], **parameters)
    status, plain_headers, plain = infer(port, body)
    assert status == 200 and plain_headers["Content-Encoding"] is None
    status, headers, answer = infer(port, body, {"Accept-Encoding": algorithm})
    assert status == 200 and headers["Content-Encoding"] == algorithm
    assert int(headers["Content-Length"]) == len(answer) < len(plain)
    assert decoded(headers, answer) == plain
    # Whatever stands between may keep answers; it must not give this one to another client.
    assert headers["Vary"] == plain_headers["Vary"] == "Accept-Encoding"
    name = "Inference-Header-Content-Length"
    assert headers[name] == plain_headers[name]
    if binary:
        tail = decoded(headers, answer)[int(headers[name]) :]
        np.testing.assert_array_equal(np.frombuffer(tail, np.float32).reshape(-1, 10), probabilities[:100])


@pytest.mark.parametrize(
    "accepted, coding",
    [
        ("gzip, deflate, br", "gzip"),
        ("gzip;q=0.1, deflate;q=0.2", "deflate"),
        ("gzip;q=0, deflate;q=0", None),
        ("identity, gzip;q=0.5", None),
        ("br", None),
        ("gzip;q=9, rubbish;;;=,", None),
        ("*", "gzip"),
        ("deflate, identity;q=0", "deflate"),
    ],
)
def test_what_the_client_accepts(port, accepted, coding):
    for path in ("/metrics", "/status.json", "/", "/page.js"):
        status, headers, body = ask(port, path, {"Accept-Encoding": accepted})
        assert status == 200 and headers["Vary"] == "Accept-Encoding"
        # An answer of a few bytes is not worth it.
        if len(decoded(headers, body)) >= 1024:
            assert headers["Content-Encoding"] == coding, path
        if path == "/metrics":
            families = list(text_string_to_metric_families(decoded(headers, body).decode()))
            assert any(family.name == "vtad_ready" for family in families)


def test_two_lines_of_one_header(port):
    request = (
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        b"Accept-Encoding: br\r\nAccept-Encoding: deflate\r\n\r\n"
    )
    assert status_of(port, request, patience=30) == 200
    _, headers, body = ask(port, "/metrics", {"Accept-Encoding": "br", "accept-encoding": "deflate"})
    assert headers["Content-Encoding"] == "deflate" and zlib.decompress(body)


def test_small_answers(port, images):
    """As they are, unless the client does not take them so; refusals, which Triton's clients don't decompress, in any case."""
    body = request_body(images[:1])
    for accepted, coding in (("gzip", None), ("gzip, identity;q=0", "gzip"), ("deflate, *;q=0", "deflate")):
        status, headers, answer = infer(port, body, {"Accept-Encoding": accepted})
        assert status == 200 and headers["Content-Encoding"] == coding
        assert outputs(decoded(headers, answer)).shape == (1, 10)
        status, headers, answer = ask(port, "/v2/models/nobody", {"Accept-Encoding": accepted})
        assert status == 404 and headers["Content-Encoding"] is None and json.loads(answer)["error"]
        status, headers, answer = ask(port, "/v2/health/live", {"Accept-Encoding": accepted})
        assert status == 200 and headers["Content-Encoding"] is None and answer == b""


def test_nothing_acceptable(port, images):
    for accepted in ("identity;q=0", "br, *;q=0"):
        status, _, answer = infer(port, request_body(images[:1]), {"Accept-Encoding": accepted})
        assert status == 406 and "gzip, deflate or identity" in json.loads(answer)["error"]


@pytest.mark.parametrize(
    "coding, compress",
    [
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("x-gzip", gzip.compress),
        ("gzip", lambda data: gzip.compress(data[:100]) + gzip.compress(data[100:])),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
        ("identity", bytes),
        ("identity, gzip", gzip.compress),
    ],
)
def test_forms_of_requests(port, images, probabilities, coding, compress):
    status, _, answer = infer(port, compress(request_body(images[:4])), {"Content-Encoding": coding})
    assert status == 200
    np.testing.assert_array_equal(outputs(answer), probabilities[:4])


@pytest.mark.parametrize("path", ["/v2/repository/index", "/v2/models/digits/infer"])
@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, deflate", "gzip, gzip", "*", "rubbish;;"])
def test_unknown_codings(port, path, coding):
    status, headers, answer = ask(port, path, {"Content-Encoding": coding}, b"{}")
    assert status == 415 and "gzip, deflate or identity" in json.loads(answer)["error"]
    assert headers["Accept-Encoding"] == "gzip, deflate, identity"


def test_other_calls_take_compressed_bodies(port):
    status, _, answer = ask(
        port, "/v2/repository/index", {"Content-Encoding": "gzip"}, gzip.compress(b'{"ready": true}')
    )
    assert status == 200 and [entry["name"] for entry in json.loads(answer)] == ["digits"]


def broken_bodies(images):
    right = request_body(images[:1])
    zipped, deflated = gzip.compress(right), zlib.compress(right)
    wrong_sum = zipped[:-8] + bytes([zipped[-8] ^ 1]) + zipped[-7:]
    dictionary = zlib.compressobj(zdict=b"inputs")
    yield "gzip", b"", "too early"
    yield "deflate", b"", "too early"
    for at in (1, 5, 10, 11, 40, len(zipped) // 2, len(zipped) - 1):
        yield "gzip", zipped[:at], "too early"
    for at in (1, 2, 30, len(deflated) - 1):
        yield "deflate", deflated[:at], "too early"
    yield "gzip", zipped + b"more", "4 bytes follow"
    yield "gzip", zipped + zipped[:9], "too early"
    yield "deflate", deflated + b"\0", "1 bytes follow"
    yield "gzip", wrong_sum, "incorrect data check"
    yield "gzip", zipped[:20] + b"\xff" * 8 + zipped[28:], "damaged"
    yield "gzip", right, "incorrect header check"
    yield "gzip", deflated, "incorrect header check"
    yield "deflate", zipped, "damaged"
    yield "deflate", right, "damaged"
    yield "deflate", dictionary.compress(right) + dictionary.flush(), "dictionary"
    yield "gzip", gzip.compress(zipped), "not valid"  # compressed twice: no JSON
    yield "gzip", gzip.compress(b""), "JSON"


def test_broken_bodies(port, client, images):
    for coding, body, words in broken_bodies(images):
        status, _, answer = infer(port, body, {"Content-Encoding": coding})
        assert status == 400, (coding, body, answer)
        assert words in json.loads(answer)["error"], (coding, body, answer)
        assert client.is_server_live()


def test_lengths_are_those_of_the_decompressed_body(port, images, probabilities):
    tensor = images[:1].tobytes()
    head = {
        "inputs": [
            {
                "name": "image",
                "datatype": "FP32",
                "shape": [1, 1, 8, 8],
                "parameters": {"binary_data_size": len(tensor)},
            }
        ]
    }
    text = json.dumps(head).encode()
    body = gzip.compress(text + tensor)
    name = "Inference-Header-Content-Length"
    headers = {"Content-Encoding": "gzip", name: str(len(text))}
    status, _, answer = infer(port, body, headers)
    assert status == 200
    np.testing.assert_array_equal(outputs(answer), probabilities[:1])
    for length in (len(text) - 1, len(text) + 1, len(text) + len(tensor) + 1, -1):
        assert infer(port, body, headers | {name: str(length)})[0] == 400, length


def test_noise_and_mutants(port, client, images):
    generator = random.Random(5)
    right = request_body(images[:1])
    bodies = {"gzip": gzip.compress(right), "deflate": zlib.compress(right)}
    for _ in range(150):
        coding = generator.choice(["gzip", "deflate"])
        body = bytearray(bodies[coding])
        for _ in range(generator.choice([1, 1, 2, 8])):
            at = generator.randrange(len(body))
            match generator.randrange(3):
                case 0:
                    body[at] ^= 1 << generator.randrange(8)
                case 1:
                    body[at:at] = generator.randbytes(generator.randrange(1, 16))
                case 2:
                    del body[at : at + generator.randrange(1, 16)]
        status, _, answer = infer(port, bytes(body), {"Content-Encoding": coding})
        # A wrong bit of gzip's header, as that of the time, hurts nobody.
        assert status in (200, 400), answer
    assert client.is_server_live()


def bomb(coding, byte_count):
    """Zeros, a thousandth of what they become."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, {"gzip": 31, "deflate": 15, "raw": -15}[coding])
    parts = [compressor.compress(bytes(MIB)) for _ in range(byte_count // MIB)]
    return b"".join(parts) + compressor.flush()


def high_water(daemon):
    status = pathlib.Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) << 10


def test_bombs(daemon_and_port, client, images):
    daemon, port = daemon_and_port
    bombs = {coding: bomb(coding, 512 * MIB) for coding in ("gzip", "deflate", "raw")}
    bombs["members"] = b"".join([gzip.compress(bytes(MIB))] * 512)
    assert all(len(data) < MIB for data in bombs.values())
    client.infer("digits", [image_input(np.tile(images[:1], (30_000, 1, 1, 1)))])
    before = high_water(daemon)
    for name, data in bombs.items():
        coding = "gzip" if name in ("gzip", "members") else "deflate"
        status, _, answer = infer(port, data, {"Content-Encoding": coding})
        assert status == 429 and str(LIMIT) in json.loads(answer)["error"], (name, answer)
    assert high_water(daemon) - before < 4 * LIMIT

    answers = []

    def send():
        answers.append(infer(port, bombs["gzip"], {"Content-Encoding": "gzip"})[0])

    threads = [threading.Thread(target=send) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [429] * 16
    assert high_water(daemon) - before < 16 * 4 * LIMIT
    assert client.is_server_live()


def test_the_limit_is_exact(port):
    """As many bytes as are accepted are read, and are no request; one more is too many."""
    for coding, compress in (("gzip", gzip.compress), ("deflate", zlib.compress)):
        for count, expected in ((LIMIT, 400), (LIMIT + 1, 429)):
            assert infer(port, compress(b" " * count), {"Content-Encoding": coding})[0] == expected, count
