#!/bin/sh
# Regenerates the committed Swift code of the .proto files. Needs protoc (Debian: protobuf-compiler); the two plugins
# are built from the package's own dependencies, in the build that everything shares.
set -eu
cd "$(dirname "$0")/.."

build="swift build -c release -Xswiftc -enable-testing"
bin=$($build --show-bin-path)

plugins() {
  $build --product protoc-gen-swift
  $build --product protoc-gen-grpc-swift-2
}

# generate PROTO OPTIONS…: beside the .proto, in ../Generated
generate() {
  proto=$1
  shift
  folder=$(dirname "$proto")
  out=$(dirname "$folder")/Generated
  mkdir -p "$out"
  protoc --proto_path="$folder" \
    --plugin=protoc-gen-swift="$bin/protoc-gen-swift" \
    --plugin=protoc-gen-grpc-swift="$bin/protoc-gen-grpc-swift-2" \
    --swift_out="$out" --swift_opt=UseAccessLevelOnImports=true "$@" "$proto"
}

# The messages alone.
messages() {
  generate "$1" --swift_opt=Visibility="$2"
}

# Messages, client and service.
service() {
  out=$(dirname "$(dirname "$1")")/Generated
  generate "$1" --swift_opt=Visibility=Internal \
    --grpc-swift_out="$out" --grpc-swift_opt=Visibility=Internal,UseAccessLevelOnImports=true
}

plugins
service Sources/VTAService/Protos/inference.proto
service Sources/VTAService/Protos/vta.proto
service Sources/VTAService/Protos/health.proto
messages Sources/VTAModule/Protos/manifest.proto Internal
messages Sources/VTACompiler/Import/Protos/onnx.proto Internal
