"""ModelInfer frame by frame, as no gRPC library would send it: what PROTOCOL-HTTP2.md of gRPC allows is answered, the rest
gets the status of statuscodes.md, and the connection goes on."""

import contextlib
import shutil
import socket
import struct
import urllib.parse

import grpc
import h2.config
import h2.connection
import h2.events
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as messages

from programs import running
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

    def send(self):
        self.socket.sendall(self.h2.data_to_send())

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
            received = self.socket.recv(1 << 16)
            assert received, "the connection was closed"
            for event in self.h2.receive_data(received):
                if getattr(event, "stream_id", None) != stream:
                    continue
                if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                    headers |= {key.decode(): value.decode() for key, value in event.headers}
                elif isinstance(event, h2.events.DataReceived):
                    data += event.data
                    self.h2.acknowledge_received_data(event.flow_controlled_length, stream)
                elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                    end = event
            self.send()
        return headers, data

    def ask(self, body, extra=(), chunks=None, **options):
        stream = self.open(extra, **options)
        for chunk in chunks or [body]:
            self.h2.send_data(stream, chunk)
            self.send()
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


def test_message_in_any_pieces(connection):
    whole = framed(request())
    expect_right(connection.ask(whole, content_type="application/grpc+proto"))
    expect_right(connection.ask(None, chunks=[bytes([byte]) for byte in whole]))
    expect_right(connection.ask(None, chunks=[whole[:3], whole[3:5], whole[5:]]))


def test_request_that_ends_with_trailers(connection):
    stream = connection.open()
    connection.h2.send_data(stream, framed(request()))
    connection.h2.send_headers(stream, [("x-checksum", "1")], end_stream=True)
    connection.send()
    expect_right(connection.answer(stream))


def test_padded_frames(connection):
    stream = connection.open()
    connection.h2.send_data(stream, framed(request()), pad_length=200, end_stream=True)
    connection.send()
    expect_right(connection.answer(stream))


def test_number_of_messages(connection):
    expect_refusal(connection.answer(connection.open(ends=True)), UNIMPLEMENTED, "none was sent")
    expect_refusal(connection.ask(b""), UNIMPLEMENTED, "none was sent")
    expect_refusal(connection.ask(framed(request()) * 2), UNIMPLEMENTED, "more were sent")
    expect_refusal(connection.ask(None, chunks=[framed(request())] * 2), UNIMPLEMENTED, "more were sent")


def test_broken_frames(connection):
    whole = framed(request())
    for length in (1, 4, 5, len(whole) - 1):
        expect_refusal(connection.ask(whole[:length]), INTERNAL, "ends before")
    expect_refusal(connection.ask(framed(request(), flag=1)), INTERNAL, "compressed")
    expect_refusal(connection.ask(framed(b"\xff" * 9)), INVALID, "ModelInferRequest")


def test_message_that_is_too_long(connection):
    """Refused by its prefix; what comes after is thrown away."""
    stream = connection.open()
    connection.h2.send_data(stream, struct.pack(">BI", 0, LIMIT + 1))
    connection.send()
    expect_refusal(connection.answer(stream), EXHAUSTED, f"{LIMIT + 1} bytes")
    stream = connection.open()
    for _ in range(4):
        connection.h2.send_data(stream, struct.pack(">BI", 0, 0xFFFFFFFF) + bytes(10_000))
    connection.send()
    expect_refusal(connection.answer(stream), EXHAUSTED, "4294967295 bytes")


@pytest.mark.parametrize("timeout", ["99999999H", "99999999M", "99999999S", "9999999H", "60000m", "60000000u"])
def test_deadline_that_is_far(connection, timeout):
    expect_right(connection.ask(framed(request()), [("grpc-timeout", timeout)]))
    headers, _ = connection.ask(framed(b""), [("grpc-timeout", timeout)], call="ServerReady")
    assert headers["grpc-status"] == "0", headers


@pytest.mark.parametrize("call", ["ModelInfer", "ServerReady"])
@pytest.mark.parametrize("timeout", ["", "S", "1", "1x", "-1S", "1 S", "123456789S", "١S", "1S1S"])
def test_deadline_that_is_none(connection, call, timeout):
    expect_refusal(connection.ask(framed(request()), [("grpc-timeout", timeout)], call=call), INVALID, "grpc-timeout")


def test_deadline_that_passes(connection):
    """While the message is on its way, and while it is worked on."""
    stream = connection.open([("grpc-timeout", "1m")])
    expect_refusal(connection.answer(stream), DEADLINE, "deadline")
    expect_refusal(connection.ask(framed(request(4000)), [("grpc-timeout", "1n")]), DEADLINE, "deadline")


def test_stream_that_is_reset(connection):
    expect_right(connection.ask(framed(request())))  # from now on it is known what may be sent
    for part in (0, 3, 100, None):
        stream = connection.open()
        connection.h2.send_data(stream, framed(request(2000))[:part], end_stream=part is None)
        connection.h2.reset_stream(stream)
        connection.send()


def test_unusual_requests(connection):
    """gRPC Swift's to answer."""
    headers, _ = connection.ask(framed(request()), content_type="application/json")
    assert headers[":status"] == "415"
    headers, _ = connection.ask(framed(request()), [("grpc-encoding", "snappy")])
    assert headers["grpc-status"] == str(UNIMPLEMENTED)
    expect_right(connection.ask(framed(request()), [("grpc-encoding", "identity")]))


def test_caller_can_not_be_forged(connection):
    expect_right(connection.ask(framed(request()), [("vta-peer", "uid:0,none,1,1")]))


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


@pytest.mark.parametrize("call", ["ModelInfer", "ServerReady", "ModelStreamInfer"])
def test_header_abuse(daemon, connection, call):
    for extra in ABUSE:
        abused(daemon.socket, call, extra, {})
        assert daemon.is_running(), extra
    for changes in REQUEST_LINES:
        abused(daemon.socket, call, [], changes)
        assert daemon.is_running(), changes
