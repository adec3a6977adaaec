"""How a command must fail, and the damaged files that several suites hand to it."""

import hashlib
import subprocess

import numpy as np

from programs import BINARIES, environment

FAILED, USAGE = 1, 2
SECONDS = 60
ADDRESS_SPACE = 8 << 30
# An entry of the section table of a module (Documentation/ModuleFormat.md).
SECTION = np.dtype(
    [("kind", "V4"), ("flags", "<u4"), ("offset", "<u8"), ("length", "<u8"), ("reserved", "<u8")]
)


def attempt(program, *arguments):
    """Within limits of time and memory; more memory than that is a crash."""
    # Not with preexec_fn: what gRPC does in a forked copy of this process sometimes ends it.
    limit = ["prlimit", f"--as={ADDRESS_SPACE}"]
    command = [*limit, str(BINARIES / program), *map(str, arguments)]
    return subprocess.run(
        command,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=SECONDS,
        env=environment(),
        stdin=subprocess.DEVNULL,
    )


def refused(program, *arguments, code=FAILED, words=()):
    """Asserts that the command ends with this exit code and one line of error."""
    assert_refusal(program, attempt(program, *arguments), (code,), words)


def assert_refusal(program, finished, codes, words=()):
    assert finished.returncode in codes, f"exit {finished.returncode}: {finished.stderr or finished.stdout}"
    lines = [line for line in finished.stderr.splitlines() if line]
    assert len(lines) == 1 and lines[0].startswith(f"{program}: "), finished.stderr
    assert len(lines[0].split()) >= 5, lines[0]
    for word in words:
        assert str(word).lower() in lines[0].lower(), lines[0]


def survives(program, *arguments):
    """The finished process after success or a refusal, but no crash."""
    finished = attempt(program, *arguments)
    if finished.returncode != 0:
        assert_refusal(program, finished, (FAILED, USAGE))
    return finished


def compile_arguments(model, output, calibration=None, target="sim"):
    extra = ["--calibration", calibration] if calibration else []
    return ["compile", model, "-o", output, "--target", target, *extra]


def damaged_modules(content):
    random = np.random.default_rng(7)
    yield "empty", b""
    yield "random", random.bytes(5000)
    yield "random after the magic", content[:8] + random.bytes(5000)
    yield "something appended", content + b"\0" * 100
    for i in range(16):
        yield f"cut to {i}/16", content[: len(content) * i // 16]
    yield "a byte short", content[:-1]
    for position in [*range(0, 64, 4), *random.integers(64, len(content), 24)]:
        damaged = bytearray(content)
        damaged[position] ^= 1 << random.integers(8)
        yield f"bit flipped at {position}", bytes(damaged)


def hostile_modules(content, count):
    """Bytes of the manifest, the instructions or the micro-ops changed and the digest made right again."""
    random = np.random.default_rng(8)
    entries = np.frombuffer(content, SECTION, int.from_bytes(content[12:16], "little"), offset=64)
    sections = {bytes(entry["kind"]): entry for entry in entries}
    for index in range(count):
        section = sections[(b"MANI", b"INST", b"UOPS")[index % 3]]
        damaged = bytearray(content)
        for _ in range(random.integers(1, 4)):
            position = int(section["offset"] + random.integers(section["length"]))
            damaged[position] = random.choice(
                [0, 1, 0x7F, 0x80, 0xFF, damaged[position] ^ 1 << random.integers(8)]
            )
        damaged[32:64] = hashlib.sha256(damaged[64:]).digest()
        yield bytes(damaged)


def fortran_order(path):
    np.save(path, np.asfortranarray(np.ones((2, 16, 8, 8), np.float32)))


INPUTS = {
    "absent": lambda path: None,
    "empty": lambda path: path.write_bytes(b""),
    "random": lambda path: path.write_bytes(np.random.default_rng(1).bytes(1000)),
    "other shape": lambda path: np.save(path, np.ones((2, 16, 9, 8), np.float32)),
    "other rank": lambda path: np.save(path, np.ones((2, 16 * 64), np.float32)),
    "no batch axis": lambda path: np.save(path, np.ones((16, 8, 8), np.float32)),
    "no samples": lambda path: np.save(path, np.ones((0, 16, 8, 8), np.float32)),
    "scalar": lambda path: np.save(path, np.float32(1)),
    "integers": lambda path: np.save(path, np.ones((2, 16, 8, 8), np.int32)),
    "complex": lambda path: np.save(path, np.ones((2, 16, 8, 8), np.complex64)),
    "big-endian": lambda path: np.save(path, np.ones((2, 16, 8, 8), ">f4")),
    "objects": lambda path: np.save(path, np.array([{}], object)),
    "cut": lambda path: (
        np.save(path, np.ones((2, 16, 8, 8), np.float32)),
        path.write_bytes(path.read_bytes()[:-1]),
    ),
}
# Files that a reader may accept or refuse.
ODD_INPUTS = {
    "not a number": lambda path: np.save(path, np.full((2, 16, 8, 8), np.nan, np.float32)),
    "infinite": lambda path: np.save(path, np.full((2, 16, 8, 8), -np.inf, np.float32)),
    "largest numbers": lambda path: np.save(path, np.full((2, 16, 8, 8), 3e38, np.float32)),
    "fortran order": fortran_order,
    "doubles": lambda path: np.save(path, np.ones((2, 16, 8, 8), np.float64)),
}
