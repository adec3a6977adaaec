import Foundation
import GRPCCore
import SwiftProtobuf
import Testing
import VTAModule

@testable import VTAService

/// Through a real daemon on a real socket.
@Suite struct InferenceTests {
  private static let values: [Float] = [0.24, 0.25, 0.26, 0.75, -0.25, 1e9, -1e9, 63.4]

  private static func request(_ change: (inout Inference_ModelInferRequest) -> Void = { _ in })
    -> Inference_ModelInferRequest
  {
    var request = Inference_ModelInferRequest()
    request.modelName = "tiny"
    request.id = "an id"
    request.inputs = [
      .with {
        $0.name = "x"
        $0.datatype = "FP32"
        $0.shape = [2, 4, 1, 1]
      }
    ]
    request.rawInputContents = [Data(TinyModule.input(values).bytes)]
    change(&request)
    return request
  }

  @Test func submittedModelAnswers() async throws {
    let folder = try TemporaryFolder()
    try await withDaemon(on: folder.path("s")) { daemon in
      let file = try TinyModule.file()
      let outputs = try await VTAServiceClient.connect(to: daemon.socketPath) { client in
        try await client.submit(file, as: "mine")
        return try await client.infer("mine", inputs: ["x": TinyModule.input(Self.values)]).outputs
      }
      #expect(outputs.map(\.name) == ["y"])
      #expect(outputs[0].tensor == TinyModule.input(TinyModule.expected(Self.values)))
    }
  }

  @Test func rawTypedAndLargeRequests() async throws {
    let folder = try TemporaryFolder()
    try folder.write(TinyModule.file(), to: "models/tiny.vtab")
    try await withDaemon(on: folder.path("s"), models: folder.path("models")) { daemon in
      // An authority as gRPC's C core sends it.
      let authority = daemon.socketPath.replacingOccurrences(of: "/", with: "%2F")
      try await withStubs(of: daemon.socketPath, authority: authority) { stub in
        let expected = Data(TinyModule.input(TinyModule.expected(Self.values)).bytes)
        let raw = try await stub.modelInfer(Self.request())
        #expect(raw.id == "an id" && raw.modelName == "tiny" && raw.modelVersion == "1")
        #expect(raw.rawOutputContents == [expected] && raw.outputs.map(\.shape) == [[2, 4, 1, 1]])
        let typed = try await stub.modelInfer(
          Self.request {
            $0.rawInputContents = []
            $0.inputs[0].contents.fp32Contents = Self.values
            $0.outputs = [.with { $0.name = "y" }]
          })
        #expect(typed.rawOutputContents == [expected])
      }
    }
  }

  /// More than gRPC's usual 4 MiB, there and back.
  @Test func messagesLargerThanTheUsualLimit() async throws {
    let folder = try TemporaryFolder()
    try await withDaemon(on: folder.path("s")) { daemon in
      try await VTAServiceClient.connect(to: daemon.socketPath) { client in
        // The module carries 5 MiB, and 60000 samples of 16 bytes are under the limit of samples.
        try await client.submit(TinyModule.file(padding: 5 << 20), as: "large")
        let values = (0..<240_000).map { Float($0 % 100) / 4 }
        let outputs = try await client.infer("large", inputs: ["x": TinyModule.input(values)]).outputs
        #expect(outputs[0].tensor == TinyModule.input(TinyModule.expected(values)))
      }
    }
  }

  struct Refusal: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let code: RPCError.Code
    let words: [String]
    let change: @Sendable (inout Inference_ModelInferRequest) -> Void

    init(
      _ name: String, _ code: RPCError.Code, _ words: [String],
      _ change: @escaping @Sendable (inout Inference_ModelInferRequest) -> Void
    ) {
      testDescription = name
      self.code = code
      self.words = words
      self.change = change
    }
  }

  static let refusals = [
    Refusal("model", .notFound, ["nobody"]) { $0.modelName = "nobody" },
    Refusal("no model", .notFound, []) { $0.modelName = "" },
    Refusal("version", .notFound, ["7"]) { $0.modelVersion = "7" },
    Refusal("version that is no number", .notFound, ["latest"]) { $0.modelVersion = "latest" },
    Refusal("name", .invalidArgument, ["picture", "x"]) { $0.inputs[0].name = "picture" },
    Refusal("no inputs", .invalidArgument, ["x"]) { $0.inputs = [] },
    Refusal("input twice", .invalidArgument, ["x", "twice"]) { $0.inputs.append($0.inputs[0]) },
    Refusal("datatype", .invalidArgument, ["INT8", "FP32"]) { $0.inputs[0].datatype = "INT8" },
    Refusal("datatype that does not exist", .invalidArgument, ["FLOAT"]) { $0.inputs[0].datatype = "FLOAT" },
    Refusal("shape", .invalidArgument, ["[2, 2, 2, 1]"]) { $0.inputs[0].shape = [2, 2, 2, 1] },
    Refusal("negative extent", .invalidArgument, ["-1"]) { $0.inputs[0].shape = [-1, 4, 1, 1] },
    Refusal("huge extents", .invalidArgument, []) { $0.inputs[0].shape = [.max, .max, 4, 1] },
    Refusal("too many samples", .invalidArgument, []) { $0.inputs[0].shape = [1 << 62, 4, 1, 1] },
    Refusal("byte short", .invalidArgument, ["31", "32"]) { $0.rawInputContents[0].removeLast() },
    Refusal("raw count", .invalidArgument, ["2", "1"]) { $0.rawInputContents.append(Data()) },
    Refusal("no contents", .invalidArgument, ["0", "8"]) { $0.rawInputContents = [] },
    Refusal("raw and typed", .invalidArgument, ["raw", "typed"]) { $0.inputs[0].contents.fp32Contents = [1] },
    Refusal("typed, short", .invalidArgument, ["7", "8"]) {
      $0.rawInputContents = []
      $0.inputs[0].contents.fp32Contents = [Float](repeating: 0, count: 7)
    },
    Refusal("typed, other field", .invalidArgument, ["int_contents", "fp32_contents"]) {
      $0.rawInputContents = []
      $0.inputs[0].contents.intContents = [Int32](repeating: 0, count: 8)
    },
    Refusal("output", .invalidArgument, ["scores", "y"]) { $0.outputs = [.with { $0.name = "scores" }] },
    Refusal("output twice", .invalidArgument, ["twice"]) {
      $0.outputs = [.with { $0.name = "y" }, .with { $0.name = "y" }]
    },
    Refusal("shared memory without a size", .invalidArgument, ["shared_memory_byte_size"]) {
      $0.inputs[0].parameters["shared_memory_region"] = .with { $0.stringParam = "r" }
    },
    Refusal("unknown shared memory", .notFound, ["'r'"]) {
      $0.inputs[0].parameters["shared_memory_region"] = .with { $0.stringParam = "r" }
      $0.inputs[0].parameters["shared_memory_byte_size"] = .with { $0.int64Param = 32 }
    },
    Refusal("negative size", .invalidArgument, ["shared_memory_byte_size"]) {
      $0.inputs[0].parameters["shared_memory_region"] = .with { $0.stringParam = "r" }
      $0.inputs[0].parameters["shared_memory_byte_size"] = .with { $0.int64Param = -32 }
    },
    Refusal("no classes", .invalidArgument, ["classification"]) {
      $0.outputs = [
        .with {
          $0.name = "y"
          $0.parameters["classification"] = .with { $0.int64Param = 0 }
        }
      ]
    },
    Refusal("sequence", .invalidArgument, ["sequence_id"]) {
      $0.parameters["sequence_id"] = .with { $0.int64Param = 7 }
    },
    Refusal("timeout that is no number", .invalidArgument, ["timeout"]) {
      $0.parameters["timeout"] = .with { $0.stringParam = "soon" }
    },
  ]

  @Test func refusalsAreClear() async throws {
    let folder = try TemporaryFolder()
    try folder.write(TinyModule.file(), to: "models/tiny.vtab")
    try await withDaemon(on: folder.path("s"), models: folder.path("models")) { daemon in
      try await withStubs(of: daemon.socketPath) { stub in
        for refusal in Self.refusals {
          let error = await #expect(throws: RPCError.self, "\(refusal.testDescription)") {
            try await stub.modelInfer(Self.request(refusal.change))
          }
          #expect(error?.code == refusal.code, "\(refusal.testDescription): \(error?.message ?? "")")
          for word in refusal.words {
            #expect(
              error?.message.contains(word) == true, "\(refusal.testDescription): \(error?.message ?? "")")
          }
        }
        _ = try await stub.modelInfer(Self.request())
      }
    }
  }

  @Test func typedContentsKeepTheirRange() throws {
    let ints = Inference_InferTensorContents.with { $0.intContents = [-128, 127] }
    #expect(try TypedContents(ints, of: "x", type: .int8).bytes == [0x80, 0x7f])
    #expect(try TypedContents(ints, of: "x", type: .int16).bytes == [0x80, 0xff, 0x7f, 0])
    let large = Inference_InferTensorContents.with { $0.intContents = [128] }
    #expect(throws: ServiceError.self) { try TypedContents(large, of: "x", type: .int8) }
    let flags = Inference_InferTensorContents.with { $0.boolContents = [true, false] }
    #expect(try TypedContents(flags, of: "x", type: .bool).bytes == [1, 0])
  }
}
