# `make demo` and `make test` do their own set-up on a fresh Debian 12 machine with Swift 6.3.
# Demo, test and bench share one build, always with the same flags: other flags build gRPC again (minutes).

SWIFT_FLAGS := -c release -Xswiftc -enable-testing
BIN := .build/release
PYTHON := .venv/bin/python
RELEASE := .build-release/release
SOURCES = $(shell git ls-files '*.swift' ':!*.pb.swift' ':!*.grpc.swift')

.PHONY: soak package test-package demo test test-qemu test-system build release install uninstall check bench bench-ort bench-service fuzz mutate clean reference protos setup simulate tsan

demo: build .venv
	VTA_BIN=$(BIN) $(PYTHON) Examples/digits/demo.py

# `swift test` would add a flag of its own and build everything again, so the build comes first.
test: check .venv
	scripts/setup.sh chromium
	swift build $(SWIFT_FLAGS) --build-tests
	scripts/test-kernels.sh
	swift test $(SWIFT_FLAGS) --skip-build
	VTA_BIN=$(BIN) $(PYTHON) -m pytest -q -p no:cacheprovider Tests/interop

# Linux guests under software emulation. Not part of `make test`: they fetch a kernel and a Debian system.
test-qemu: build
	scripts/setup.sh $(QEMU_PACKAGES)
	VTA_BIN=$(BIN) python3 Tests/qemu/test_kernel.py
	VTA_BIN=$(BIN) python3 Tests/qemu/test_jtag.py

test-system: build
	scripts/setup.sh $(QEMU_PACKAGES) debootstrap
	VTA_BIN=$(BIN) python3 Tests/qemu/test_system.py

QEMU_PACKAGES := qemu-system-x86 busybox-static cpio

build: setup
	swift build $(SWIFT_FLAGS) --build-tests

# What a package would ship: no testing hooks, symbols stripped, the Swift runtime linked in.
release: setup
	swift build -c release --scratch-path .build-release --static-swift-stdlib -Xlinker -s --product vtad
	swift build -c release --scratch-path .build-release --static-swift-stdlib -Xlinker -s --product vtactl

# DESTDIR, PREFIX (/usr) and SYSCONFDIR (/etc) say where to. Without DESTDIR, systemd and udev take notice at once.
install uninstall:
	BIN=$(RELEASE) scripts/install.sh $@

check: setup
	@swift format lint --strict --configuration .swift-format $(SOURCES)

.PHONY: networks
# Whole networks on the simulator, bit for bit; a board's profiles too.
networks: build .venv
	VTA_BIN=$(BIN) $(PYTHON) Tests/interop/networks.py

.PHONY: traffic accuracy
# ResNet-18's convolutions beside TVM's schedules.
traffic: build .venv
	VTA_BIN=$(BIN) $(PYTHON) Tests/interop/test_traffic.py

# The error of quantization beside ONNX Runtime's, in decibels.
accuracy: build .venv
	VTA_BIN=$(BIN) $(PYTHON) Tests/interop/accuracy.py

bench: build .venv
	VTA_BIN=$(BIN) $(PYTHON) Tests/interop/bench.py

# A daemon under everything that clients do to it, for SOAK_SECONDS (120).
soak: build .venv
	VTA_BIN=$(BIN) $(PYTHON) Tests/interop/soak.py

# A Debian package and a tarball of what make release built, in dist/.
package: release
	@scripts/setup.sh dpkg-dev
	BIN=$(RELEASE) scripts/package.sh

# Both of them in a clean Debian that debootstrap makes, as root.
test-package: package
	@scripts/setup.sh debootstrap lintian
	scripts/test-package.sh

# What the daemon adds to a request, in alternation with a bare C++ gRPC echo.
bench-service: build .venv
	scripts/setup.sh g++ libgrpc++-dev protobuf-compiler-grpc
	VTA_BIN=$(BIN) $(PYTHON) Tests/interop/bench_service.py

# Whole networks beside ONNX Runtime's int8, in alternation.
bench-ort: build .venv
	VTA_BIN=$(BIN) $(PYTHON) Tests/interop/bench_ort.py

# The generated pages: Documentation/Reference, and Documentation/SupportedOperators.md.
reference: build
	$(BIN)/vtactl reference --output-dir Documentation

# Every decoder for FUZZ_SECONDS (8) under libFuzzer and the address sanitizer, with a build of its own.
# The sanitizers stand in one flag: swift build puts several --sanitize in any order, and Swift takes the last alone.
FUZZ_FLAGS := -c release --scratch-path .build-fuzz --sanitize fuzzer -Xswiftc -sanitize=fuzzer,address \
	-Xcc -fsanitize=address
fuzz: setup
	VTA_FUZZ=1 swift build $(FUZZ_FLAGS) --product vta-fuzz
	scripts/fuzz.sh .build-fuzz/release

# Broken programs against the verifier; a sample is replayed by tools/vtatrace.py where that is at hand.
MUTATED := $(wildcard Tests/Fixtures/vectors/unit/*-000.vtatrace) \
	Tests/Fixtures/vectors/random/1x16_i8w8a32_15_15_18_17/1.vtatrace \
	Tests/Fixtures/vectors/random/2x16_i4w4a32_15_14_17_18/1.vtatrace \
	Tests/Fixtures/fuzz/onnx/conv_channels_1_1 Tests/Fixtures/fuzz/onnx/max_pool_relu Examples/digits/digits.onnx
VTATRACE ?= ../shared/tools/vtatrace.py

mutate: build .venv
	rm -rf .build/mutants
	$(BIN)/vta-campaign mutate --sample .build/mutants $(MUTATED)
	if [ -f $(VTATRACE) ]; then $(PYTHON) Tests/interop/judge_mutants.py $(VTATRACE) .build/mutants; fi

# Random programs on the fast simulator, every kernel set, against the plain one.
SIMULATED_INSTRUCTIONS ?= 1000000
simulate: build
	$(BIN)/vta-campaign simulate --instructions $(SIMULATED_INSTRUCTIONS)

# The same on several threads under the thread sanitizer, with a small build of its own.
tsan: setup
	scripts/test-threads.sh

protos:
	scripts/protos.sh

setup:
	@scripts/setup.sh

.venv: Tests/interop/requirements.txt
	python3 -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check -r Tests/interop/requirements.txt
	@touch .venv

clean:
	rm -rf .build .build-release .build-fuzz .venv
