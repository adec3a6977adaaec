"""Calls frame by frame, as no gRPC library would send them: what PROTOCOL-HTTP2.md of gRPC allows is answered, the rest
gets the status of statuscodes.md, and the connection goes on. ModelInfer is answered by code of its own; ServerReady stands
for the other calls with one message each way, ModelStreamInfer for those with more."""

import contextlib
import gzip
import http.client
import json
import select
import shutil
import socket
import struct
import urllib.parse
import zlib

import grpc
import h2.config
import h2.connection
import h2.events
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as messages

from programs import running
from test_http import serving
from test_triton_client import raw_request

OK, CANCELLED, INVALID, DEADLINE, EXHAUSTED, UNIMPLEMENTED, INTERNAL = 0, 1, 3, 4, 8, 12, 13
LIMIT = 1 << 20


@pytest.fixture(scope="module")
def daemon(digits_module, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unary")
    (folder / "models").mkdir()
    shutil.copy(digits_module, folder / "models" / "digits.vtab")
    (folder / "vtad.json").write_text(f'{{"max_message_bytes": {LIMIT}}}')
    with running("--config", folder / "vtad.json", models=folder / "models") as daemon:
        yield daemon
        assert daemon.is_running()


class Connection:
    """HTTP/2 by hand."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        # Headers as they are: some here are wrong on purpose.
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
        )
        self.h2.initiate_connection()
        self.send()
        self.events = []

    def send(self):
        self.socket.sendall(self.h2.data_to_send())

    def receive(self):
        received = self.socket.recv(1 << 16)
        assert received, "the connection was closed"
        self.events += self.h2.receive_data(received)
        self.send()

    def send_data(self, stream, data):
        """As much at a time as the daemon takes."""
        while data:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if room == 0:
                self.receive()
            else:
                self.h2.send_data(stream, data[:room])
                self.send()
                data = data[room:]

    def open(self, extra=(), call="ModelInfer", content_type="application/grpc", ends=False, changes={}):
        stream = self.h2.get_next_available_stream_id()
        headers = {
            ":method": "POST",
            ":scheme": "http",
            ":path": f"/inference.GRPCInferenceService/{call}",
            ":authority": "localhost",
            "te": "trailers",
            "content-type": content_type,
        }
        headers = [(name, value) for name, value in (headers | changes).items() if value is not None] + list(extra)
        headers = [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in headers]
        self.h2.send_headers(stream, headers, end_stream=ends)
        self.send()
        return stream

    def answer(self, stream):
        """The headers, trailers among them, and the bytes."""
        headers, data, end = {}, b"", None
        while end is None:
            if not self.events:
                self.receive()
            event = self.events.pop(0) if self.events else None
            if getattr(event, "stream_id", None) != stream:
                continue
            if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                headers |= {key.decode(): value.decode() for key, value in event.headers}
            elif isinstance(event, h2.events.DataReceived):
                data += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, stream)
                self.send()
            elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                end = event
        return headers, data

    def ask(self, body, extra=(), chunks=None, **options):
        stream = self.open(extra, **options)
        for chunk in chunks or [body]:
            if chunk:
                self.send_data(stream, chunk)
            else:
                self.h2.send_data(stream, chunk)
        self.h2.end_stream(stream)
        self.send()
        return self.answer(stream)


@pytest.fixture
def connection(daemon):
    connection = Connection(daemon.socket)
    with contextlib.closing(connection.socket):
        yield connection
        # Whatever was done to it.
        expect_right(connection.ask(framed(request())))


def request(samples=1):
    return raw_request(np.zeros((samples, 1, 8, 8), np.float32)).SerializeToString()


def framed(message, flag=0):
    return struct.pack(">BI", flag, len(message)) + message


def expect_right(answer):
    headers, data = answer
    assert (headers[":status"], headers["grpc-status"]) == ("200", "0"), headers
    assert headers["content-type"] == "application/grpc"
    flag, length = struct.unpack(">BI", data[:5])
    assert flag == 0 and length == len(data) - 5
    assert messages.ModelInferResponse.FromString(data[5:]).model_name == "digits"


def expect_refusal(answer, status, word):
    headers, data = answer
    assert data == b"" and headers["grpc-status"] == str(status), headers
    assert word in urllib.parse.unquote(headers["grpc-message"]), headers


UNARY = pytest.mark.parametrize("call", ["ModelInfer", "ServerReady"])
EVERY = pytest.mark.parametrize("call", ["ModelInfer", "ServerReady", "ModelStreamInfer"])


def message_of(call):
    return messages.ServerReadyRequest().SerializeToString() if call == "ServerReady" else request()


def parts(data):
    """The messages of an answer."""
    while data:
        flag, length = struct.unpack(">BI", data[:5])
        assert flag == 0 and length <= len(data) - 5
        yield data[5 : 5 + length]
        data = data[5 + length :]


def expect_right_of(call, answer, count=1):
    headers, data = answer
    assert (headers[":status"], headers["grpc-status"]) == ("200", "0"), headers
    assert headers["content-type"] == "application/grpc"
    answers = list(parts(data))
    assert len(answers) == count
    for message in answers:
        if call == "ServerReady":
            assert messages.ServerReadyResponse.FromString(message).ready
        elif call == "ModelInfer":
            assert messages.ModelInferResponse.FromString(message).model_name == "digits"
        else:
            answer = messages.ModelStreamInferResponse.FromString(message)
            assert answer.infer_response.model_name == "digits" and not answer.error_message


@EVERY
def test_message_in_any_pieces(connection, call):
    whole = framed(message_of(call))
    expect_right_of(call, connection.ask(whole, call=call, content_type="application/grpc+proto"))
    expect_right_of(call, connection.ask(None, call=call, chunks=[bytes([byte]) for byte in whole]))
    expect_right_of(call, connection.ask(None, call=call, chunks=[whole[:3], whole[3:5], whole[5:]]))


@EVERY
def test_request_that_ends_with_trailers(connection, call):
    stream = connection.open(call=call)
    connection.h2.send_data(stream, framed(message_of(call)))
    connection.h2.send_headers(stream, [("x-checksum", "1")], end_stream=True)
    connection.send()
    expect_right_of(call, connection.answer(stream))


@EVERY
def test_padded_frames(connection, call):
    stream = connection.open(call=call)
    connection.h2.send_data(stream, framed(message_of(call)), pad_length=200, end_stream=True)
    connection.send()
    expect_right_of(call, connection.answer(stream))


def test_number_of_messages(connection):
    expect_refusal(connection.answer(connection.open(ends=True)), UNIMPLEMENTED, "none was sent")
    expect_refusal(connection.ask(b""), UNIMPLEMENTED, "none was sent")
    expect_refusal(connection.ask(framed(request()) * 2), UNIMPLEMENTED, "more were sent")
    expect_refusal(connection.ask(None, chunks=[framed(request())] * 2), UNIMPLEMENTED, "more were sent")


def test_number_of_messages_of_other_calls(connection):
    for body in (b"", framed(b"") * 2):
        headers, data = connection.ask(body, call="ServerReady")
        assert data == b"" and headers["grpc-status"] not in ("0", "2"), headers
    headers, data = connection.ask(b"", call="ModelStreamInfer")
    assert data == b"" and headers["grpc-status"] == "0", headers
    expect_right_of("ModelStreamInfer", connection.ask(framed(request()) * 40, call="ModelStreamInfer"), 40)
    whole = framed(request()) * 3
    chunks = [whole[start : start + 100] for start in range(0, len(whole), 100)]
    expect_right_of("ModelStreamInfer", connection.ask(None, chunks=chunks, call="ModelStreamInfer"), 3)


@EVERY
def test_broken_frames(connection, call):
    whole = framed(request())
    for length in (1, 4, 5, len(whole) - 1):
        expect_refusal(connection.ask(whole[:length], call=call), INTERNAL, "ends before")
    expect_refusal(connection.ask(framed(request(), flag=1), call=call), INTERNAL, "compressed")
    headers, _ = connection.ask(framed(b"\xff" * 9), call=call)
    assert headers["grpc-status"] in {"ModelInfer": "3"}.get(call, ("3", "13")), headers


def test_stream_that_breaks_later(connection):
    """What was right before is answered, or not: the status says that it can't be relied upon."""
    for rest, status in ((b"\0\0", INTERNAL), (struct.pack(">BI", 0, LIMIT + 1), EXHAUSTED)):
        headers, data = connection.ask(framed(request()) + rest, call="ModelStreamInfer")
        assert headers["grpc-status"] == str(status), headers
        assert len(list(parts(data))) <= 1


@EVERY
def test_message_that_is_too_long(connection, call):
    """Refused by its prefix; what comes after is thrown away."""
    stream = connection.open(call=call)
    connection.h2.send_data(stream, struct.pack(">BI", 0, LIMIT + 1))
    connection.send()
    expect_refusal(connection.answer(stream), EXHAUSTED, f"{LIMIT + 1} bytes")
    stream = connection.open(call=call)
    for _ in range(4):
        connection.h2.send_data(stream, struct.pack(">BI", 0, 0xFFFFFFFF) + bytes(10_000))
    connection.send()
    expect_refusal(connection.answer(stream), EXHAUSTED, "4294967295 bytes")


def test_stream_whose_answers_nobody_reads(connection):
    """The daemon stops taking requests, and goes on when its answers are read."""
    message = framed(request(2000))
    stream = connection.open(call="ModelStreamInfer")
    sent, unread, acknowledges = 0, [], False

    def receive():
        """One piece of what comes; the event that ends the stream."""
        for event in connection.h2.receive_data(connection.socket.recv(1 << 16)):
            if isinstance(event, h2.events.DataReceived) and event.stream_id == stream:
                unread.append(event.data)
                if acknowledges:
                    connection.h2.acknowledge_received_data(event.flow_controlled_length, stream)
            elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                return event
        connection.send()

    def send(rest):
        """All of it, or what there is room for when nothing comes for a while. The rest."""
        while rest:
            room = min(connection.h2.local_flow_control_window(stream), connection.h2.max_outbound_frame_size)
            if room == 0:
                try:
                    assert receive() is None
                except TimeoutError:
                    return rest
            else:
                connection.h2.send_data(stream, rest[:room])
                connection.send()
                rest = rest[room:]
        return rest

    connection.socket.settimeout(2)
    while not (rest := send(message)):
        sent += 1
        # Two windows, what is worked on and what waits.
        assert sent < 100
    connection.socket.settimeout(60)
    acknowledges = True
    connection.h2.acknowledge_received_data(sum(map(len, unread)), stream)
    connection.send()
    assert not send(rest)
    connection.h2.end_stream(stream)
    connection.send()
    while receive() is None:
        pass
    assert len(list(parts(b"".join(unread)))) == sent + 1


@pytest.mark.parametrize("timeout", ["99999999H", "99999999M", "99999999S", "9999999H", "60000m", "60000000u"])
def test_deadline_that_is_far(connection, timeout):
    expect_right(connection.ask(framed(request()), [("grpc-timeout", timeout)]))
    headers, _ = connection.ask(framed(b""), [("grpc-timeout", timeout)], call="ServerReady")
    assert headers["grpc-status"] == "0", headers


@UNARY
@pytest.mark.parametrize("timeout", ["", "S", "1", "1x", "-1S", "1 S", "123456789S", "١S", "1S1S"])
def test_deadline_that_is_none(connection, call, timeout):
    expect_refusal(connection.ask(framed(request()), [("grpc-timeout", timeout)], call=call), INVALID, "grpc-timeout")


def test_deadline_that_passes(connection):
    """While the message is on its way, and while it is worked on."""
    stream = connection.open([("grpc-timeout", "1m")])
    expect_refusal(connection.answer(stream), DEADLINE, "deadline")
    expect_refusal(connection.ask(framed(request(4000)), [("grpc-timeout", "1n")]), DEADLINE, "deadline")


def test_deadline_of_a_stream(connection):
    for sent in (b"", framed(request())[:100]):
        stream = connection.open([("grpc-timeout", "50m")], call="ModelStreamInfer")
        connection.h2.send_data(stream, sent)
        connection.send()
        expect_refusal(connection.answer(stream), DEADLINE, "deadline")


@EVERY
def test_stream_that_is_reset(connection, call):
    expect_right(connection.ask(framed(request())))  # from now on it is known what may be sent
    for part in (0, 3, 100, None):
        stream = connection.open(call=call)
        connection.h2.send_data(stream, framed(request(2000))[:part], end_stream=part is None)
        connection.h2.reset_stream(stream)
        connection.send()


def packed(message, encoding):
    if encoding == "gzip":
        return gzip.compress(message)
    return zlib.compress(message) if encoding == "deflate" else message


@EVERY
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compressed_messages(connection, call, encoding):
    """Each message says for itself whether it is compressed."""
    headers = [("grpc-encoding", encoding)]
    message = message_of(call)
    compressed = framed(packed(message, encoding), flag=1)
    expect_right_of(call, connection.ask(compressed, headers, call=call))
    expect_right_of(call, connection.ask(framed(message), headers, call=call))
    chunks = [compressed[:9], compressed[9:]]
    expect_right_of(call, connection.ask(None, headers, call=call, chunks=chunks))
    if call == "ModelStreamInfer":
        body = (compressed + framed(message)) * 3
        expect_right_of(call, connection.ask(body, headers, call=call), 6)


@EVERY
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compressed_messages_that_are_broken(connection, call, encoding):
    headers = [("grpc-encoding", encoding)]
    whole = packed(request(), encoding)
    for broken in (b"", whole[:-1], whole[: len(whole) // 2], b"\xff" * 40, whole + b"\xff"):
        answer = connection.ask(framed(broken, flag=1), headers, call=call)
        expect_refusal(answer, INTERNAL, "compressed data")
    bomb = packed(bytes(40 * LIMIT), encoding)
    assert len(bomb) < LIMIT / 10
    expect_refusal(connection.ask(framed(bomb, flag=1), headers, call=call), EXHAUSTED, "more bytes")


@EVERY
def test_unusual_requests(connection, call):
    message = framed(message_of(call))
    headers, _ = connection.ask(message, content_type="application/json", call=call)
    assert headers[":status"] == "415"
    answer = connection.ask(message, [("grpc-encoding", "snappy")], call=call)
    expect_refusal(answer, UNIMPLEMENTED, "snappy")
    assert answer[0]["grpc-accept-encoding"] == "identity,deflate,gzip"
    expect_right_of(call, connection.ask(message, [("grpc-encoding", "identity")], call=call))
    expect_refusal(connection.ask(message, call=call + "s"), UNIMPLEMENTED, call + "s")
    expect_refusal(connection.ask(message, changes={":method": "GET"}, call=call), INVALID, "POST")


def test_caller_can_not_be_forged(connection):
    for call in ("ModelInfer", "ServerReady", "ModelStreamInfer"):
        answer = connection.ask(framed(message_of(call)), [("vta-peer", "uid:0,none,1,1")], call=call)
        expect_right_of(call, answer)


def test_sentence_survives_its_header(daemon):
    name = "é 100 % \x01 模型"
    with grpc.insecure_channel(daemon.url) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        with pytest.raises(grpc.RpcError) as error:
            call(messages.ModelInferRequest(model_name=name).SerializeToString())
    assert error.value.code() == grpc.StatusCode.NOT_FOUND and name in error.value.details()


ABUSE = [
    [("", "x")],
    [("x-bin", "not base64!")],
    [("grpc-tags-bin", "=" * 1000)],
    [("grpc-timeout", "1S"), ("grpc-timeout", "-1S")],
    [("grpc-encoding", "-")],
    [("grpc-accept-encoding", "," * 5000)],
    [("grpc-previous-rpc-attempts", "-9223372036854775809")],
    [("grpc-message-type", "\r\n")],
    [("content-length", "-5")],
    [("content-length", "3")],
    [("transfer-encoding", "chunked")],
    [("connection", "close")],
    [("UPPER", "case")],
    [(":late", "pseudo")],
    [(":path", "/second/path")],
    [("x", "\0")],
    [("x", "é\udcff")],
    [("user-agent", "u" * 15_000)],
    [(f"x-{number}", "y" * 20) for number in range(2000)],
    [("te", "gzip")],
    [("host", "elsewhere")],
]
REQUEST_LINES = [
    {":path": ""},
    {":path": "/"},
    {":path": "//"},
    {":path": "/inference.GRPCInferenceService"},
    {":path": "/inference.GRPCInferenceService/"},
    {":path": "/" + "a" * 10_000},
    {":path": "/%00/\x01"},
    {":method": "GET"},
    {":method": ""},
    {":method": "CONNECT"},
    {":scheme": None},
    {":scheme": "gopher"},
    {":path": None},
    {":method": None},
    {"te": None},
    {"content-type": None},
    {"content-type": "application/grpc;charset=\xff"},
    {"content-type": "application/grpcx"},
    {":authority": None},
    {":authority": "\xff" * 300},
]


def abused(path, call, extra, changes):
    """Whatever a client says about its request, the worst for it is the loss of its connection."""
    connection = Connection(path)
    with contextlib.closing(connection.socket):
        try:
            headers, _ = connection.ask(framed(request()), extra, call=call, changes=changes)
            assert headers.get(":status") != "500", headers  # a stream that was reset has none
            # 13 (INTERNAL) would be our mistake.
            assert headers.get("grpc-status") != "13", headers
        except (OSError, AssertionError) as error:
            if isinstance(error, AssertionError) and "the connection was closed" not in str(error):
                raise


@EVERY
def test_header_abuse(daemon, connection, call):
    for extra in ABUSE:
        abused(daemon.socket, call, extra, {})
        assert daemon.is_running(), extra
    for changes in REQUEST_LINES:
        abused(daemon.socket, call, [], changes)
        assert daemon.is_running(), changes


def test_memory_of_requests(digits_module, tmp_path):
    """A user whose requests take too much memory is told so, whatever way they come, and gets it back with the answers."""
    limit = 8 << 20
    (tmp_path / "models").mkdir()
    shutil.copy(digits_module, tmp_path / "models" / "digits.vtab")
    options = {"quota": {"request_bytes": limit}}
    with serving(tmp_path, tmp_path / "models", options, loopback_infer=True) as (daemon, port):
        connection = Connection(daemon.socket)
        small, large = framed(request()), framed(request(20_000))
        assert limit / 2 < len(large) < limit
        expect_right(connection.ask(small))
        # The first takes its memory when its length is known.
        first = connection.open()
        connection.h2.send_data(first, large[:10])
        connection.send()
        for call in ("ModelInfer", "ModelStreamInfer", "RepositoryModelLoad"):
            stream = connection.open(call=call)
            connection.h2.send_data(stream, large[:10])
            connection.send()
            expect_refusal(connection.answer(stream), EXHAUSTED, "quota.request_bytes")
        for encoding in ("gzip", "deflate"):
            body = framed(packed(request(20_000), encoding), flag=1)
            for call in ("ModelInfer", "ModelStreamInfer"):
                answer = connection.ask(body, [("grpc-encoding", encoding)], call=call)
                expect_refusal(answer, EXHAUSTED, "quota.request_bytes")
        # Small requests and other users are as well off as before.
        expect_right(connection.ask(small))
        others = [http.client.HTTPConnection("127.0.0.1", port) for _ in range(2)]
        for other in others:
            other.putrequest("POST", "/v2/models/digits/infer")
            other.putheader("Content-Length", str(6 << 20))
            other.endheaders(b"{")
        refused, _, _ = select.select([other.sock for other in others], [], [], 60)
        (refused,) = [other for other in others if other.sock in refused]
        answer = refused.getresponse()
        assert answer.status == 429 and "quota.request_bytes" in answer.read().decode()
        for other in others:
            other.close()
        # The only request of a user may be larger.
        connection.h2.reset_stream(first)
        connection.send()
        for samples in (40_000, 20_000):
            expect_right(connection.ask(framed(request(samples))))


def test_clients_that_do_not_go(digits_module, tmp_path):
    """They do not hold up the daemon's end."""
    (tmp_path / "vtad.json").write_text(json.dumps({"drain_seconds": 3600}))
    (tmp_path / "models").mkdir()
    shutil.copy(digits_module, tmp_path / "models" / "digits.vtab")
    with running("--config", tmp_path / "vtad.json", models=tmp_path / "models") as daemon:
        connections = [Connection(daemon.socket) for _ in range(3)]
        for connection in connections[1:]:
            expect_right(connection.ask(framed(request())))
    for connection in connections:
        connection.socket.close()
