"""What Triton's own client examples do with a server, as far as it applies to this one: every kind of client and every way of
asking that they show, written anew. What is about sequences, ensembles, strings and decoupled models does not apply."""

import asyncio
import base64
import contextlib
import pathlib
import queue
import shutil
import time
import uuid

import aiohttp
import numpy as np
import pytest
import tritonclient.grpc as grpc_client
import tritonclient.grpc.aio as grpc_aio
import tritonclient.grpc.model_config_pb2 as model_config
import tritonclient.http as http_client
import tritonclient.http.aio as http_aio
import tritonclient.utils.shared_memory as shm
from tritonclient.grpc.auth import BasicAuth
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

from programs import DIGITS
from test_http import serving

DEADLINE = 60
PATIENCE = {"client_timeout": DEADLINE}


@pytest.fixture(scope="module")
def daemon_and_port(digits_module, tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    (folder / "models").mkdir()
    shutil.copy(digits_module, folder / "models/digits.vtab")
    with serving(folder, folder / "models", loopback_infer=True) as pair:
        yield pair


@pytest.fixture(scope="module")
def daemon(daemon_and_port):
    return daemon_and_port[0]


@pytest.fixture(scope="module")
def address(daemon_and_port):
    return f"127.0.0.1:{daemon_and_port[1]}"


@pytest.fixture(params=["grpc", "http"])
def library(request, daemon_and_port):
    """A module of tritonclient's, and a maker of its clients."""
    daemon, port = daemon_and_port
    if request.param == "grpc":
        return grpc_client, lambda **options: grpc_client.InferenceServerClient(daemon.url, **options)
    return http_client, lambda **options: http_client.InferenceServerClient(f"127.0.0.1:{port}", **options)


def image_input(library, images):
    tensor = library.InferInput("image", list(images.shape), "FP32")
    tensor.set_data_from_numpy(images)
    return tensor


def status_of(error):
    return error.status().removeprefix("StatusCode.")


# Health and metadata.


def test_health_and_metadata(library):
    """With headers of the caller's own, which mean nothing here."""
    library, connect = library
    own = {"headers": {"test": "1", "dummy": "2"}}
    if library is http_client:
        own["query_params"] = {"test_1": 1, "test_2": [2, 3]}
    with connect() as client:
        assert client.is_server_live(**own) and client.is_server_ready(**own)
        assert client.is_model_ready("digits", **own)
        metadata = client.get_server_metadata(**own)
        model = client.get_model_metadata("digits", **own)
        config = client.get_model_config("digits", **own)
        if library is grpc_client:
            assert metadata.name == "vtad" and model.name == config.config.name == "digits"
        else:
            assert metadata["name"] == "vtad" and model["name"] == config["name"] == "digits"
        with pytest.raises(InferenceServerException) as raised:
            client.get_model_metadata("wrong_model_name", **own)
        assert status_of(raised.value) in ("NOT_FOUND", "404")


def test_verbose_clients(library, images, probabilities, capsys):
    """They print what they send and get."""
    library, connect = library
    with connect(verbose=True) as client:
        result = client.infer("digits", [image_input(library, images[:1])])
        np.testing.assert_array_equal(result.as_numpy("probabilities"), probabilities[:1])
    assert "digits" in capsys.readouterr().out


# Inference.


def test_infer_with_and_without_outputs(library, images, probabilities):
    library, connect = library
    with connect() as client:
        for outputs in (None, [library.InferRequestedOutput("probabilities")]):
            result = client.infer("digits", [image_input(library, images[:4])], outputs=outputs, headers={"test": "1"})
            np.testing.assert_array_equal(result.as_numpy("probabilities"), probabilities[:4])
            assert result.as_numpy("nothing") is None and result.get_output("nothing") is None
        statistics = client.get_inference_statistics("digits")
        models = statistics.model_stats if library is grpc_client else statistics["model_stats"]
        assert len(models) == 1


def test_callbacks(daemon, images, probabilities):
    with grpc_client.InferenceServerClient(daemon.url) as client:
        answers = queue.Queue()
        for index in range(20):
            client.async_infer(
                "digits",
                [image_input(grpc_client, images[index : index + 1])],
                callback=lambda result, error, index=index: answers.put((index, result, error)),
                request_id=str(index),
                **PATIENCE,
            )
        for _ in range(20):
            index, result, error = answers.get(timeout=DEADLINE)
            assert error is None and result.get_response().id == str(index)
            np.testing.assert_array_equal(result.as_numpy("probabilities")[0], probabilities[index])
        call = client.async_infer(
            "wrong_model_name",
            [image_input(grpc_client, images[:1])],
            callback=lambda result, error: answers.put((result, error)),
        )
        assert call is not None
        result, error = answers.get(timeout=DEADLINE)
        assert result is None and status_of(error) == "NOT_FOUND"


def test_cancelled_call(daemon, images):
    """However far it came: the callback is called once, with an answer or with the cancellation."""
    with grpc_client.InferenceServerClient(daemon.url) as client:
        answers = queue.Queue()
        batch = np.tile(images[:1], (20_000, 1, 1, 1))
        call = client.async_infer(
            "digits", [image_input(grpc_client, batch)], callback=lambda result, error: answers.put((result, error))
        )
        call.cancel()
        result, error = answers.get(timeout=DEADLINE)
        assert (result is None) != (error is None)
        assert error is None or status_of(error) == "CANCELLED"
        assert client.is_server_live()


def test_one_set_of_objects_for_many_requests(daemon, images, probabilities):
    """The same input and output, in and out of shared memory in turn."""
    name = f"vta-{uuid.uuid4().hex[:12]}"
    count, batch = 3, np.ascontiguousarray(images[:3])
    with grpc_client.InferenceServerClient(daemon.url) as client:
        # So does each of Triton's examples begin.
        client.unregister_system_shared_memory()
        client.unregister_cuda_shared_memory()
        region = shm.create_shared_memory_region(name, f"/{name}", batch.nbytes + 40 * count)
        try:
            client.register_system_shared_memory(name, f"/{name}", batch.nbytes + 40 * count)
            shm.set_shared_memory_region(region, [batch])
            tensor = grpc_client.InferInput("image", list(batch.shape), "FP32")
            output = grpc_client.InferRequestedOutput("probabilities")
            for shared in (True, False, True, True, False):
                if shared:
                    tensor.set_shared_memory(name, batch.nbytes)
                    output.set_shared_memory(name, 40 * count, offset=batch.nbytes)
                else:
                    tensor.set_data_from_numpy(images[10:13])
                    output.unset_shared_memory()
                result = client.infer("digits", [tensor], outputs=[output])
                if shared:
                    answer = shm.get_contents_as_numpy(region, np.float32, [count, 10], offset=batch.nbytes).copy()
                else:
                    answer = result.as_numpy("probabilities")
                np.testing.assert_array_equal(answer, probabilities[:3] if shared else probabilities[10:13])
            client.unregister_system_shared_memory()
        finally:
            shm.destroy_shared_memory_region(region)


def test_cuda_shared_memory(library):
    """There never is any, so all of it can be given back; nothing can be registered."""
    library, connect = library
    with connect() as client:
        client.unregister_cuda_shared_memory()
        for refused in (
            lambda: client.unregister_cuda_shared_memory("region"),
            client.get_cuda_shared_memory_status,
            lambda: client.register_cuda_shared_memory("region", base64.b64encode(b"handle"), 0, 64),
        ):
            with pytest.raises(InferenceServerException) as raised:
                refused()
            assert status_of(raised.value) in ("UNIMPLEMENTED", "501")
            assert "system shared memory" in str(raised.value)


def test_image_classification(library, images, probabilities):
    """A client that knows nothing of the model beforehand: layout, size and type come from metadata and configuration."""
    library, connect = library
    with connect() as client:
        metadata, config = client.get_model_metadata("digits"), client.get_model_config("digits")
        if library is grpc_client:
            given, wanted, config = metadata.inputs[0], metadata.outputs[0], config.config
            name, shape, datatype, output = given.name, list(given.shape), given.datatype, wanted.name
            batches, layout = config.max_batch_size, model_config.ModelInput.Format.Name(config.input[0].format)
        else:
            given = metadata["inputs"][0]
            name, shape, datatype = given["name"], given["shape"], given["datatype"]
            output = metadata["outputs"][0]["name"]
            batches, layout = config["max_batch_size"], config["input"][0]["format"]
        assert batches > 0 and layout == "FORMAT_NCHW" and shape[1:] == [1, 8, 8]
        batch = images[:5].astype(triton_to_np_dtype(datatype))
        tensor = library.InferInput(name, list(batch.shape), datatype)
        tensor.set_data_from_numpy(batch)
        result = client.infer("digits", [tensor], outputs=[library.InferRequestedOutput(output, class_count=3)])
        answer = result.as_numpy(output)
        assert answer.shape == (5, 3)
        labels = (DIGITS / "labels.txt").read_text().splitlines()
        for row, expected in zip(answer, probabilities):
            texts = [text.decode() if isinstance(text, bytes) else text for text in row]
            score, index, label = texts[0].split(":")
            assert int(index) == np.argmax(expected) and label == labels[int(index)]
            assert float(score) == pytest.approx(expected.max(), abs=1e-4)


# Channels.


def test_keepalive(daemon, images):
    """A client that pings more often than gRPC's servers like to see it: without a call, and during one."""
    options = grpc_client.KeepAliveOptions(
        keepalive_time_ms=10,
        keepalive_timeout_ms=20_000,
        keepalive_permit_without_calls=True,
        http2_max_pings_without_data=0,
    )
    with grpc_client.InferenceServerClient(daemon.url, keepalive_options=options) as client:
        answers = queue.Queue()
        client.start_stream(callback=lambda result, error: answers.put((result, error)))
        end = time.monotonic() + 2
        while time.monotonic() < end:
            client.async_stream_infer("digits", [image_input(grpc_client, images[:1])])
            result, error = answers.get(timeout=DEADLINE)
            assert error is None
        client.stop_stream()
        client.infer("digits", [image_input(grpc_client, images[:1])], **PATIENCE)


def test_custom_channel_arguments(daemon, images, probabilities):
    arguments = [
        ("grpc.max_send_message_length", 64 << 20),
        ("grpc.max_receive_message_length", 64 << 20),
        ("grpc.primary_user_agent", "somebody's own/1.0"),
        ("grpc.lb_policy_name", "round_robin"),
        ("grpc.default_authority", "localhost"),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.http2.lookahead_bytes", 16 << 10),
    ]
    with grpc_client.InferenceServerClient(daemon.url, channel_args=arguments) as client:
        batch = np.tile(images[:1], (30_000, 1, 1, 1))
        answer = client.infer("digits", [image_input(grpc_client, batch)]).as_numpy("probabilities")
        np.testing.assert_array_equal(answer, np.tile(probabilities[:1], (30_000, 1)))


def test_plugin_that_adds_headers(library, images, probabilities):
    """Passwords, as a proxy in front may want them; they don't matter here."""
    library, connect = library
    with connect() as client:
        client.register_plugin(BasicAuth("user", "password"))
        result = client.infer("digits", [image_input(library, images[:1])])
        np.testing.assert_array_equal(result.as_numpy("probabilities"), probabilities[:1])
        client.unregister_plugin()
        assert client.is_server_live()


def resident(daemon):
    status = pathlib.Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) << 10


def test_memory_does_not_grow_with_clients(library, daemon, images, probabilities):
    """A new client for each request."""
    library, connect = library

    def ask(count):
        for index in range(count):
            with connect() as client:
                index %= len(images)
                result = client.infer("digits", [image_input(library, images[index : index + 1])])
                np.testing.assert_array_equal(result.as_numpy("probabilities"), probabilities[index : index + 1])
        return resident(daemon)

    before = ask(100)
    assert ask(200) < before + (8 << 20)


# Clients for asyncio.


@contextlib.asynccontextmanager
async def connected(library, address):
    client = library.InferenceServerClient(address)
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture(params=["grpc", "http"])
def asynchronous(request, daemon, address):
    """Runs a function of a module of tritonclient's and a client."""
    library, where = (grpc_aio, daemon.url) if request.param == "grpc" else (http_aio, address)

    def run(body):
        async def main():
            async with connected(library, where) as client:
                await asyncio.wait_for(body(library, client), DEADLINE)

        asyncio.run(main())

    return run


def test_asyncio_health_and_metadata(asynchronous):
    async def body(library, client):
        assert await client.is_server_live(headers={"test": "1"}) and await client.is_server_ready()
        assert await client.is_model_ready("digits") and not await client.is_model_ready("wrong_model_name")
        as_json = {"as_json": True} if library is grpc_aio else {}
        assert (await client.get_server_metadata(**as_json))["name"] == "vtad"
        assert (await client.get_model_metadata("digits", **as_json))["name"] == "digits"
        config = await client.get_model_config("digits", **as_json)
        assert (config["config"] if library is grpc_aio else config)["input"][0]["format"] == "FORMAT_NCHW"
        index = await client.get_model_repository_index(**as_json)
        assert [entry["name"] for entry in (index["models"] if library is grpc_aio else index)] == ["digits"]
        assert await client.get_inference_statistics("digits", **as_json)
        assert await client.get_log_settings() and await client.get_trace_settings()
        with pytest.raises(InferenceServerException) as raised:
            await client.get_model_metadata("wrong_model_name")
        assert status_of(raised.value) in ("NOT_FOUND", "404")

    asynchronous(body)


def test_asyncio_infer(asynchronous, images, probabilities):
    async def body(library, client):
        async def one(index):
            result = await client.infer(
                "digits",
                [image_input(library, images[index : index + 2])],
                outputs=[library.InferRequestedOutput("probabilities")],
                request_id=str(index),
            )
            np.testing.assert_array_equal(result.as_numpy("probabilities"), probabilities[index : index + 2])

        await asyncio.gather(*(one(index) for index in range(30)))
        with pytest.raises(InferenceServerException):
            await client.infer("wrong_model_name", [image_input(library, images[:1])])
        # A task that is cancelled leaves the client and the daemon as they were.
        batch = np.tile(images[:1], (20_000, 1, 1, 1))
        task = asyncio.create_task(client.infer("digits", [image_input(library, batch)]))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await one(3)

    asynchronous(body)


@pytest.mark.parametrize("request_algorithm", [None, "gzip", "deflate"])
@pytest.mark.parametrize("response_algorithm", [None, "gzip", "deflate"])
def test_asyncio_compression_over_http(address, images, probabilities, request_algorithm, response_algorithm):
    async def main():
        async with connected(http_aio, address) as client:
            result = await client.infer(
                "digits",
                [image_input(http_aio, images[:300])],
                request_compression_algorithm=request_algorithm,
                response_compression_algorithm=response_algorithm,
            )
            np.testing.assert_array_equal(result.as_numpy("probabilities"), probabilities[:300])

    asyncio.run(main())


def test_clients_that_decompress_by_themselves(address):
    """aiohttp asks for compressed answers unless told otherwise."""

    async def main():
        async with aiohttp.ClientSession() as session, session.get(f"http://{address}/metrics") as answer:
            assert answer.headers["Content-Encoding"] in ("gzip", "deflate")
            assert "vtad_ready" in await answer.text()

    asyncio.run(main())


def test_asyncio_stream(daemon, images, probabilities):
    async def requests():
        for index in range(20):
            yield {
                "model_name": "digits",
                "inputs": [image_input(grpc_aio, images[index : index + 1])],
                "request_id": str(index),
            }
        yield {"model_name": "wrong_model_name", "inputs": [image_input(grpc_aio, images[:1])], "request_id": "20"}

    async def main():
        seen, errors = set(), 0
        async with connected(grpc_aio, daemon.url) as client:
            async for result, error in client.stream_infer(requests(), stream_timeout=DEADLINE):
                if error is not None:
                    errors += 1
                    continue
                index = int(result.get_response().id)
                seen.add(index)
                np.testing.assert_array_equal(result.as_numpy("probabilities")[0], probabilities[index])
        assert seen == set(range(20)) and errors == 1

    asyncio.run(main())


def test_asyncio_model_control(daemon, digits_module, images, probabilities):
    async def main():
        async with connected(grpc_aio, daemon.url) as client:
            await client.load_model("own", config="{}", files={"file:1/model.vtab": digits_module.read_bytes()})
            assert await client.is_model_ready("own")
            result = await client.infer("own", [image_input(grpc_aio, images[:1])])
            np.testing.assert_array_equal(result.as_numpy("probabilities"), probabilities[:1])
            await client.unload_model("own")
            assert not await client.is_model_ready("own")
            await client.unload_model("digits")
            assert not await client.is_model_ready("digits")
            await client.load_model("digits")
            assert await client.is_model_ready("digits")
            for wrong in (
                client.load_model("wrong_model_name"),
                client.load_model("digits", config='{"max_batch_size": {'),
            ):
                with pytest.raises(InferenceServerException):
                    await wrong

    asyncio.run(main())


def test_asyncio_shared_memory(daemon, images, probabilities):
    name = f"vta-{uuid.uuid4().hex[:12]}"
    batch = np.ascontiguousarray(images[:3])
    region = shm.create_shared_memory_region(name, f"/{name}", batch.nbytes)
    shm.set_shared_memory_region(region, [batch])

    async def main():
        async with connected(grpc_aio, daemon.url) as client:
            await client.unregister_system_shared_memory()
            await client.unregister_cuda_shared_memory()
            await client.register_system_shared_memory(name, f"/{name}", batch.nbytes)
            assert list((await client.get_system_shared_memory_status()).regions) == [name]
            tensor = grpc_aio.InferInput("image", list(batch.shape), "FP32")
            tensor.set_shared_memory(name, batch.nbytes)
            result = await client.infer("digits", [tensor])
            np.testing.assert_array_equal(result.as_numpy("probabilities"), probabilities[:3])
            await client.unregister_system_shared_memory(name)
            assert not (await client.get_system_shared_memory_status()).regions

    try:
        asyncio.run(main())
    finally:
        shm.destroy_shared_memory_region(region)
