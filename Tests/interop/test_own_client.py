"""vtactl's gRPC client with peers that are no vtad: a grpcio server, servers that break HTTP/2's or gRPC's rules, and
servers that leave. Each ends with an answer or one sentence."""

import contextlib
import json
import socket
import threading
import urllib.parse
from concurrent import futures

import grpc
import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import pytest

from programs import run, succeed
from refusal import refused

UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED
HEAD = [(":status", "200"), ("content-type", "application/grpc")]
FINE = [("grpc-status", "0")]


@contextlib.contextmanager
def grpcio_server(path, call, answer):
    handler = grpc.unary_unary_rpc_method_handler(answer)
    service, method = call.split("/")
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(futures.ThreadPoolExecutor(4), options=options)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {method: handler})])
    server.add_insecure_port(f"unix://{path}")
    server.start()
    try:
        yield
    finally:
        server.stop(None).wait()


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code.value[0] != 0])
def test_statuses_of_grpcio(tmp_path, code):
    sentence = "100 % größer — nicht möglich"
    with grpcio_server(tmp_path / "s", "vta.v1.Daemon/Status", lambda _, context: context.abort(code, sentence)):
        expected = "is of another version" if code == UNIMPLEMENTED else sentence
        refused("vtactl", "status", "--socket", tmp_path / "s", words=[expected])


def test_call_that_grpcio_does_not_know(tmp_path):
    with grpcio_server(tmp_path / "s", "vta.v1.Daemon/Status", lambda *_: b""):
        succeed("vtactl", "status", "--socket", tmp_path / "s")
        refused("vtactl", "models", "--socket", tmp_path / "s", words=["is of another version"])


def test_answer_larger_than_the_window(tmp_path):
    # A RepositoryIndexResponse of one model whose reason is long.
    reason = "long " * 5_000_000

    def field(number, content):
        size, length = len(content), b""
        while size >= 128:
            length, size = length + bytes([size & 127 | 128]), size >> 7
        return bytes([number << 3 | 2]) + length + bytes([size]) + content

    answer = field(1, field(1, b"m") + field(4, reason.encode()))
    with grpcio_server(tmp_path / "s", "inference.GRPCInferenceService/RepositoryIndex", lambda *_: answer):
        models = json.loads(succeed("vtactl", "models", "--json", "--socket", tmp_path / "s").stdout)
    assert models[0]["name"] == "m" and models[0]["reason"] == reason


@contextlib.contextmanager
def peer(path, serve):
    """Calls `serve` with each connection, in a thread of its own, and closes it afterwards."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def one(connection):
            with connection, contextlib.suppress(OSError):
                connection.settimeout(60)
                serve(connection)

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=one, args=[listener.accept()[0]], daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield
        listener.shutdown(socket.SHUT_RDWR)


def http1(connection):
    if connection.recv(1 << 16):
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        connection.recv(1 << 16)


def garbage(connection):
    if connection.recv(1 << 16):
        connection.sendall(bytes(range(1, 256)) * 100)
        connection.recv(1 << 16)


def wrong_first_frame(connection):
    if connection.recv(1 << 16):
        connection.sendall(bytes([0, 0, 8, 6, 0, 0, 0, 0, 0]) + bytes(8))
        connection.recv(1 << 16)


@pytest.mark.parametrize("serve", [http1, garbage, wrong_first_frame])
def test_peer_without_http2(tmp_path, serve):
    with peer(tmp_path / "s", serve):
        refused("vtactl", "status", "--socket", tmp_path / "s", words=["does not speak gRPC"])


def test_peer_that_closes_at_once(tmp_path):
    with peer(tmp_path / "s", lambda connection: None):
        refused("vtactl", "status", "--socket", tmp_path / "s", words=["closed the connection"])


class Server:
    """HTTP/2 by hand: hands each request to `answer`, with the number of its connection and its number there."""

    def __init__(self, answer, **settings):
        self.answer = answer
        self.settings = {getattr(h2.settings.SettingCodes, name): value for name, value in settings.items()}
        self.connections = 0

    def __call__(self, connection):
        number, requests = self.connections, 0
        self.connections += 1
        peer = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=False, validate_outbound_headers=False, normalize_outbound_headers=False
            )
        )
        peer.local_settings = h2.settings.Settings(client=False, initial_values=self.settings)
        peer.initiate_connection()
        connection.sendall(peer.data_to_send())
        while data := connection.recv(1 << 16):
            for event in peer.receive_data(data):
                if isinstance(event, h2.events.DataReceived):
                    peer.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if isinstance(event, h2.events.StreamEnded):
                    closes = self.answer(peer, event.stream_id, number, requests) == "close"
                    requests += 1
                    if closes:
                        return connection.sendall(peer.data_to_send())
            connection.sendall(peer.data_to_send())


def message(content=b""):
    return b"\0" + len(content).to_bytes(4, "big") + content


def good(peer, stream):
    peer.send_headers(stream, HEAD)
    peer.send_data(stream, message())
    peer.send_headers(stream, FINE, end_stream=True)


def answers(frames):
    """A server whose every answer consists of these frames."""

    def answer(peer, stream, *_):
        for position, frame in enumerate(frames):
            ends = position == len(frames) - 1
            if isinstance(frame, bytes):
                peer.send_data(stream, frame, end_stream=ends)
            elif isinstance(frame, list):
                peer.send_headers(stream, frame, end_stream=ends)
            else:
                peer.reset_stream(stream, frame)

    return Server(answer)


@pytest.mark.parametrize(
    "frames",
    [
        [HEAD, message(), FINE],
        [[(":status", "103")], HEAD, message(), FINE],
        [[(":status", "200"), ("content-type", "application/grpc+proto")], message(), FINE],
        [HEAD, b"\0", b"\0\0\0", b"", b"\0", FINE],
        [HEAD, message(), [("grpc-status", "0"), ("grpc-message", "so what")]],
    ],
)
def test_answers_that_are_right(tmp_path, frames):
    with peer(tmp_path / "s", answers(frames)):
        assert "0 inferences" in succeed("vtactl", "status", "--socket", tmp_path / "s").stdout


@pytest.mark.parametrize(
    "frames, words",
    [
        ([[*HEAD, ("grpc-status", "7"), ("grpc-message", "n%C3%B6 %zz 5%")]], "nö %zz 5%"),
        ([[*HEAD, ("grpc-status", "14")]], "status 14"),
        ([HEAD, message(), [("grpc-status", "13"), ("grpc-message", "that is too late")]], "too late"),
        ([HEAD, message(), [("grpc-status", "99"), ("grpc-message", "what is this")]], "what is this"),
        ([HEAD, FINE], "no message"),
        ([HEAD, message(), message(), FINE], "more than one message"),
        ([HEAD, message(bytes(10))[:-1], FINE], "cut"),
        ([HEAD, b"\1" + message()[1:], FINE], "compressed"),
        ([HEAD, message(b"\xff\xff"), FINE], "StatusResponse"),
        ([HEAD, b"\0\xff\xff\xff\xff", FINE], "limit"),
        ([HEAD, message()], "without a status"),
        ([HEAD, message(), [("x", "y")]], "without a status"),
        ([[(":status", "200"), ("content-type", "text/html")], b"<html>"], "application/grpc"),
        ([[(":status", "404"), ("content-type", "text/html")]], "HTTP status 404"),
        ([[(":status", "503")], b"busy"], "HTTP status 503"),
        ([h2.errors.ErrorCodes.INTERNAL_ERROR], "gave the call up"),
        ([HEAD, message(bytes(10))[:7], h2.errors.ErrorCodes.CANCEL], "gave the call up"),
    ],
)
def test_answers_that_are_none(tmp_path, frames, words):
    with peer(tmp_path / "s", answers(frames)):
        refused("vtactl", "status", "--socket", tmp_path / "s", words=[words])


def test_call_that_is_refused_is_repeated_once(tmp_path):
    calls = []

    def answer(peer, stream, connection, request):
        calls.append((connection, request))
        if request == 0:
            return peer.reset_stream(stream, h2.errors.ErrorCodes.REFUSED_STREAM)
        good(peer, stream)

    with peer(tmp_path / "s", Server(answer)):
        succeed("vtactl", "status", "--socket", tmp_path / "s")
    # The first connection only looks whether somebody listens.
    assert calls == [(1, 0), (1, 1)]
    refusing = answers([h2.errors.ErrorCodes.REFUSED_STREAM])
    with peer(tmp_path / "t", refusing):
        refused("vtactl", "status", "--socket", tmp_path / "t", words=["takes no calls"])


@pytest.mark.parametrize("sees_call", [False, True])
def test_server_that_goes_away(tmp_path, sees_call):
    """A call that it has seen is answered; others go to a new connection."""
    calls = []

    def answer(peer, stream, connection, request):
        calls.append((connection, request))
        if connection == 1 and request == 1:
            peer.close_connection(last_stream_id=stream if sees_call else stream - 2)
            # Its own state machine ends with that frame; ours does not.
            peer.state_machine.state = h2.connection.ConnectionState.SERVER_OPEN
            if not sees_call:
                return
        good(peer, stream)

    with peer(tmp_path / "s", Server(answer)):
        succeed("vtactl", "top", "--count", "1", "--interval", "0.1", "--socket", tmp_path / "s")
    # Activity twice, and the status.
    ends = [(1, 0), (1, 1), (2, 0)] if sees_call else [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert calls == ends


@pytest.mark.parametrize("frames", [[], [HEAD], [HEAD, message(bytes(100))[:50]]])
def test_connection_that_is_cut(tmp_path, frames):
    def answer(peer, stream, *_):
        for frame in frames:
            (peer.send_data if isinstance(frame, bytes) else peer.send_headers)(stream, frame)
        return "close"

    with peer(tmp_path / "s", Server(answer)):
        refused("vtactl", "status", "--socket", tmp_path / "s", words=["closed the connection"])


def test_what_our_client_sends(tmp_path):
    seen = []

    class Recorder(Server):
        def __call__(self, connection):
            class Tap:
                def recv(self, count):
                    data = connection.recv(count)
                    seen.append(data)
                    return data

                sendall = connection.sendall

            super().__call__(Tap())

    with peer(tmp_path / "s", Recorder(lambda peer, stream, *_: good(peer, stream))):
        succeed("vtactl", "status", "--socket", tmp_path / "s")
    observer = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    observer.initiate_connection()
    events = observer.receive_data(b"".join(seen))
    [request] = [event for event in events if isinstance(event, h2.events.RequestReceived)]
    headers = {key.decode(): value.decode() for key, value in request.headers}
    assert headers == {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/vta.v1.Daemon/Status",
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
    }


def test_percent_signs_survive(tmp_path):
    sentence = "%41%zz"
    status = [*HEAD, ("grpc-status", "5"), ("grpc-message", urllib.parse.quote(sentence))]
    with peer(tmp_path / "s", answers([status])):
        assert sentence in run("vtactl", "status", "--socket", tmp_path / "s").stderr
