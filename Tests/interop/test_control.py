"""vta.v1 through grpcio, with stubs made from the repository's .proto: devices, drain, modules and programs of a host
compiler, profiles, bitstreams."""

import importlib
import json
import shutil
import struct
import sys
import threading
import time

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_tools import protoc

from programs import ROOT, running, succeed

DEADLINE = 60


@pytest.fixture(scope="session")
def stubs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stubs")
    protos = ROOT / "Sources/VTAService/Protos"
    assert 0 == protoc.main(
        ["protoc", f"-I{protos}", f"--python_out={folder}", f"--grpc_python_out={folder}", "vta.proto"]
    )
    sys.path.insert(0, str(folder))
    yield importlib.import_module("vta_pb2"), importlib.import_module("vta_pb2_grpc")
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def daemon(digits_module, tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    shutil.copy(digits_module, models / "digits.vtab")
    config = tmp_path_factory.mktemp("config") / "vtad.json"
    config.write_text(json.dumps({"quota": {"models": 2}}))
    with running("--config", config, models=models, device="sim,sim:ultra96") as daemon:
        yield daemon
        assert daemon.is_running()


@pytest.fixture
def channel(daemon):
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(daemon.url, options) as channel:
        yield channel


@pytest.fixture
def vta(stubs, channel):
    return stubs[1].DaemonStub(channel)


def image(stubs, values):
    return stubs[0].Tensor(name="image", datatype="FP32", shape=values.shape, contents=values.tobytes())


def array(tensor):
    return np.frombuffer(tensor.contents, np.float32).reshape(tensor.shape)


def refusal(call, request):
    with pytest.raises(grpc.RpcError) as raised:
        call(request, timeout=DEADLINE)
    assert raised.value.details() and "\n" not in raised.value.details()
    return raised.value.code().name, raised.value.details()


def test_devices(stubs, vta, daemon):
    any_target, ultra96 = vta.ListDevices(stubs[0].ListDevicesRequest(), timeout=DEADLINE).devices
    assert (any_target.name, any_target.kind, any_target.state) == ("sim", "simulator", "ready")
    assert (any_target.profile, any_target.configuration, any_target.faults) == ("", "", 0)
    assert (ultra96.profile, ultra96.configuration) == ("hls-001", "1x16_i8w8a32_15_15_18_17")
    assert not ultra96.drained and ultra96.requests == 0
    shown = json.loads(succeed("vtactl", "devices", "--json", "--socket", daemon.socket).stdout)
    assert [row.get("profile") for row in shown] == [None, "hls-001"]


def test_profile_of_a_served_model(stubs, vta, images, probabilities):
    request = stubs[0].RunModuleRequest(model="digits", inputs=[image(stubs, images[:3])], profile=True)
    response = vta.RunModule(request, timeout=DEADLINE)
    np.testing.assert_array_equal(array(response.outputs[0]), probabilities[:3])
    assert response.device == "sim" and not response.fallback
    steps = response.steps
    assert {step.place for step in steps} == {"device", "host"} and all(step.count == 3 for step in steps)
    whole = response.device_ns + response.host_ns
    assert 0 < sum(step.ns for step in steps) <= whole
    device = sum(step.ns for step in steps if step.place == "device")
    assert response.device_ns <= device
    layers = [layer for step in steps for layer in step.layers]
    assert len(layers) > 5 and all(layer.instructions > 0 and layer.dram_bytes > 0 for layer in layers)
    assert sum(layer.ns for layer in layers if layer.HasField("ns")) > 0
    unprofiled = vta.RunModule(
        stubs[0].RunModuleRequest(model="digits", inputs=[image(stubs, images[:1])]), timeout=DEADLINE
    )
    assert not unprofiled.steps


def test_module_that_comes_along(stubs, vta, digits_module, images, probabilities):
    """More often than the quota has places: it is forgotten each time."""
    for _ in range(4):
        request = stubs[0].RunModuleRequest(module=digits_module.read_bytes(), inputs=[image(stubs, images[:2])])
        np.testing.assert_array_equal(array(vta.RunModule(request, timeout=DEADLINE).outputs[0]), probabilities[:2])
    assert vta.Status(stubs[0].StatusRequest(), timeout=DEADLINE).models_private == 0


def test_refused_modules(stubs, vta, digits_module, images):
    messages = stubs[0]
    inputs = [image(stubs, images[:1])]
    run = vta.RunModule
    assert refusal(run, messages.RunModuleRequest(inputs=inputs))[0] == "INVALID_ARGUMENT"
    assert refusal(run, messages.RunModuleRequest(model="nothing", inputs=inputs))[0] == "NOT_FOUND"
    assert refusal(run, messages.RunModuleRequest(model="digits"))[0] == "INVALID_ARGUMENT"
    assert refusal(run, messages.RunModuleRequest(module=b"rubbish", inputs=inputs))[0] == "INVALID_ARGUMENT"
    damaged = bytearray(digits_module.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    assert refusal(run, messages.RunModuleRequest(module=bytes(damaged), inputs=inputs))[0] == "INVALID_ARGUMENT"
    code, text = refusal(run, messages.RunModuleRequest(model="digits", inputs=inputs, device="uio:vta"))
    assert code == "NOT_FOUND" and "sim, sim:ultra96" in text
    # Compiled for sim, whose profile the other device does not have.
    code, text = refusal(run, messages.RunModuleRequest(model="digits", inputs=inputs, device="sim:ultra96"))
    assert code == "FAILED_PRECONDITION" and "sim:ultra96" in text
    assert refusal(run, messages.RunModuleRequest(model="digits", inputs=inputs, timeout_us=1))[0] == "DEADLINE_EXCEEDED"


# A program as a compiler that knows nothing of this project writes it (Documentation/Reference/Instructions.md, revision
# B, configuration 1x16_i8w8a32_15_15_18_17): out = low byte of (acc + 5).

LOAD, STORE, FINISH, ALU = 0, 1, 3, 4
POP_PREV, POP_NEXT, PUSH_PREV, PUSH_NEXT = 1 << 3, 1 << 4, 1 << 5, 1 << 6
UOP, ACC, OUT = 0, 3, 4
TILES = 4


def fields(*values):
    word = at = 0
    for value, width in values:
        assert value >> width == 0
        word |= value << at
        at += width
    assert at <= 64
    return word


def move(opcode, memory, count, flags=0):
    first = fields((opcode, 3), (flags >> 3, 4), (memory, 3), (0, 16), (0, 32))
    return struct.pack("<QQ", first, fields((1, 16), (count, 16), (count, 16)))


def add_five(tiles, flags):
    first = fields((ALU, 3), (flags >> 3, 4), (0, 1), (0, 13), (1, 14), (1, 14), (tiles, 14))
    second = fields((0, 11), (1, 11), (0, 11), (1, 11), (2, 3), (1, 1), (5, 16))
    return struct.pack("<QQ", first, second)


def program(stubs, values, **changes):
    messages = stubs[0]
    instructions = [
        move(LOAD, UOP, 1),
        move(LOAD, ACC, TILES),
        add_five(TILES, PUSH_NEXT),
        move(STORE, OUT, TILES, POP_PREV | PUSH_PREV),
        struct.pack("<QQ", fields((FINISH, 3), (POP_NEXT >> 3, 4)), 0),
    ]
    buffers = [
        messages.Buffer(name="micro-ops", role=messages.Buffer.MICRO_OPS, contents=bytes(4)),
        messages.Buffer(name="acc", role=messages.Buffer.CONSTANT, contents=values.astype("<i4").tobytes()),
        messages.Buffer(name="out", byte_size=TILES * 16, returned=True),
    ]
    relocations = [messages.Relocation(instruction=i, buffer=b) for i, b in ((0, 0), (1, 1), (3, 2))]
    request = dict(target="pynq", buffers=buffers, instructions=b"".join(instructions), relocations=relocations)
    return messages.RunProgramRequest(**{**request, **changes})


def test_program_of_a_host_compiler(stubs, vta):
    values = np.random.default_rng(1).integers(-1000, 1000, TILES * 16)
    response = vta.RunProgram(program(stubs, values), timeout=DEADLINE)
    assert [buffer.name for buffer in response.buffers] == ["out"]
    np.testing.assert_array_equal(np.frombuffer(response.buffers[0].contents, np.int8), (values + 5).astype(np.int8))
    assert response.instructions == 5 and response.device_ns > 0 and response.device == "sim"


def test_programs_that_are_refused(stubs, vta):
    """Nothing unverified runs: each of these would reach outside its memory, wait for ever or mean nothing."""
    messages = stubs[0]
    values = np.zeros(TILES * 16)
    good = program(stubs, values)

    def refused(**changes):
        code, text = refusal(vta.RunProgram, program(stubs, values, **changes))
        assert code == "INVALID_ARGUMENT", (code, text)
        return text

    short = [good.buffers[0], good.buffers[1], messages.Buffer(name="out", byte_size=TILES * 16 - 16, returned=True)]
    assert "instruction 3" in refused(buffers=short)
    read_only = [*good.buffers[:2], messages.Buffer(name="out", role=1, contents=bytes(TILES * 16))]
    refused(buffers=read_only)
    refused(instructions=good.instructions[:-16])
    refused(instructions=good.instructions[: 3 * 16] + good.instructions[4 * 16 :], relocations=good.relocations[:2])
    refused(instructions=good.instructions[:-1])
    refused(instructions=b"")
    refused(relocations=good.relocations[:2])
    refused(relocations=[messages.Relocation(instruction=0, buffer=7)])
    refused(relocations=[messages.Relocation(instruction=2, buffer=0)])
    refused(relocations=[messages.Relocation(instruction=0, buffer=0, byte_offset=2**63)])
    refused(buffers=[])
    refused(buffers=[*good.buffers, messages.Buffer(name="huge", byte_size=2**64 - 1)])
    refused(buffers=[messages.Buffer(name="small", contents=bytes(8), byte_size=4), *good.buffers[1:]])
    assert "pynq" in refused(target="moon")
    refused(target="")
    refused(target="", profile="hls-002", configuration="1x1")
    assert "leave" in refused(profile="hls-002")
    code, _ = refusal(vta.RunProgram, program(stubs, values, device="sim:ultra96"))
    assert code == "FAILED_PRECONDITION"


def test_drain(stubs, vta, channel, images, daemon):
    messages = stubs[0]
    request = messages.RunModuleRequest(model="digits", inputs=[image(stubs, images[:1])])
    health = health_pb2_grpc.HealthStub(channel)
    serving = lambda: health.Check(health_pb2.HealthCheckRequest(), timeout=DEADLINE).status == 1  # noqa: E731
    assert serving()
    code, text = refusal(vta.Drain, messages.DrainRequest(device="nothing"))
    assert code == "NOT_FOUND" and "sim" in text
    assert vta.Drain(messages.DrainRequest(device="sim", timeout_ms=10_000), timeout=DEADLINE).requests == 0
    devices = vta.ListDevices(messages.ListDevicesRequest(), timeout=DEADLINE).devices
    assert [device.drained for device in devices] == [True, False] and serving()
    code, text = refusal(vta.RunModule, request)
    assert code == "UNAVAILABLE" and "drained" in text
    assert "drained" in succeed("vtactl", "devices", "--socket", daemon.socket).stdout
    succeed("vtactl", "drain", "--socket", daemon.socket)
    assert not serving()
    succeed("vtactl", "undrain", "--socket", daemon.socket)
    assert serving() and vta.RunModule(request, timeout=DEADLINE).outputs


def test_drain_waits_for_what_runs(stubs, vta, images):
    messages = stubs[0]
    many = image(stubs, np.repeat(images[:1], 20_000, axis=0))
    answers = []
    run = threading.Thread(
        target=lambda: answers.append(
            vta.RunModule(messages.RunModuleRequest(model="digits", inputs=[many]), timeout=DEADLINE)
        )
    )
    run.start()
    end = time.monotonic() + DEADLINE
    while not any(device.requests for device in vta.ListDevices(messages.ListDevicesRequest()).devices):
        assert time.monotonic() < end and run.is_alive()
    try:
        vta.Drain(messages.DrainRequest(timeout_ms=DEADLINE * 1000), timeout=DEADLINE)
        run.join(1)
        assert len(answers) == 1 and answers[0].outputs[0].shape[0] == 20_000
    finally:
        vta.Undrain(messages.UndrainRequest(), timeout=DEADLINE)
        run.join()


def test_simulators_have_no_bitstreams(stubs, vta):
    messages = stubs[0]
    assert not vta.ListBitstreams(messages.ListBitstreamsRequest(), timeout=DEADLINE).bitstreams
    assert refusal(vta.ProgramBitstream, messages.ProgramBitstreamRequest(file="a.bit"))[0] == "FAILED_PRECONDITION"


def test_run_with_a_profile(daemon, digits_module, images, tmp_path):
    """The same table from the daemon and from a run without it."""
    np.save(tmp_path / "x.npy", images[:2])
    command = ("run", digits_module, "--input", tmp_path / "x.npy", "--profile")
    remote = json.loads(succeed("vtactl", *command, "--socket", daemon.socket, "--json").stdout)
    local = json.loads(succeed("vtactl", *command, "--in-process", "--json").stdout)
    assert "daemon" in remote["where"] and local["where"] == "in-process"
    without_times = lambda steps: [  # noqa: E731
        (s["name"], s["where"], s["passes"], [(m["name"], m["instructions"]) for m in s["layers"]]) for s in steps
    ]
    assert without_times(remote["profile"]["steps"]) == without_times(local["profile"]["steps"])
    text = succeed("vtactl", *command, "--socket", daemon.socket).stdout
    assert "STEP" in text and "quantize image" in text
