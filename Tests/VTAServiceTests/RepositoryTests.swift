import Foundation
import GRPCCore
import SwiftProtobuf
import Testing
import VTAModule

@testable import VTAService

@Suite struct RepositoryTests {
  @Test func directoryWithBrokenFiles() async throws {
    let folder = try TemporaryFolder()
    let file = try TinyModule.file()
    var flipped = file
    flipped[flipped.count / 2] ^= 1
    try folder.write(file, to: "models/good.vtab")
    try folder.write(flipped, to: "models/flipped.vtab")
    try folder.write([], to: "models/empty.vtab")
    try folder.write(file, to: "models/notes.txt")
    try folder.write(file, to: "models/.hidden.vtab")
    try folder.write(file, to: "models/versions/9/model.vtab")
    try folder.write(file, to: "models/versions/10/model.vtab")
    try folder.write(flipped, to: "models/versions/11/model.vtab")
    try folder.write(file, to: "models/versions/010/model.vtab")
    try folder.write(file, to: "models/clash.vtab")
    try folder.write(file, to: "models/clash/1/model.vtab")
    try FileManager.default.createDirectory(
      atPath: folder.path("models/folder.vtab"), withIntermediateDirectories: false)
    try FileManager.default.createSymbolicLink(
      atPath: folder.path("models/dangling.vtab"), withDestinationPath: "absent")

    try await withDaemon(on: folder.path("s"), models: folder.path("models")) { daemon in
      try await VTAServiceClient.connect(to: daemon.socketPath) { client in
        let models = try await client.models()
        let ready = models.filter { $0.state == "READY" }.map { "\($0.name) \($0.version)" }
        #expect(ready == ["good 1", "versions 9", "versions 10"])
        let others = models.filter { $0.state != "READY" }
        #expect(
          others.map { "\($0.name) \($0.version)" } == [
            "clash 1", "dangling 1", "empty 1", "flipped 1", "folder 1", "versions 11",
          ])
        #expect(others.allSatisfy { $0.state == "UNAVAILABLE" && !$0.reason.isEmpty })
        let status = try await client.status()
        #expect(status.isReady && status.modelsReady == 3 && status.modelsUnavailable == 6)
        #expect(status.devices.map(\.kind) == ["simulator"])
      }
      try await withStubs(of: daemon.socketPath) { stub in
        // The highest version that can be used.
        let metadata = try await stub.modelMetadata(.with { $0.name = "versions" })
        #expect(metadata.versions == ["9", "10"] && metadata.platform == "vta_vtab:simulator")
        #expect(metadata.inputs.map(\.shape) == [[-1, 4, 1, 1]])
        #expect(try await stub.modelReady(.with { $0.name = "good" }).ready)
        #expect(try await !stub.modelReady(.with { $0.name = "flipped" }).ready)
        #expect(try await !stub.modelReady(.with { $0.name = "nobody" }).ready)
        #expect(try await stub.serverReady(.init()).ready)
        #expect(try await stub.serverMetadata(.init()).name == "vtad")
      }
    }
  }

  @Test func unloadAndLoad() async throws {
    let folder = try TemporaryFolder()
    try folder.write(TinyModule.file(), to: "models/a.vtab")
    let models = folder.path("models")
    try await withDaemon(on: folder.path("s"), models: models) { daemon in
      try await withStubs(of: daemon.socketPath) { stub in
        _ = try await stub.repositoryModelUnload(.with { $0.modelName = "a" })
        #expect(try await !stub.modelReady(.with { $0.name = "a" }).ready)
        #expect(try await stub.repositoryIndex(.init()).models.map(\.state) == ["UNAVAILABLE"])
        #expect(try await stub.repositoryIndex(.with { $0.ready = true }).models.isEmpty)
        _ = try await stub.repositoryModelLoad(.with { $0.modelName = "a" })
        #expect(try await stub.modelReady(.with { $0.name = "a" }).ready)

        // A file that came later.
        try Data(TinyModule.file()).write(to: URL(fileURLWithPath: models + "/b.vtab"))
        _ = try await stub.repositoryModelLoad(.with { $0.modelName = "b" })
        #expect(try await stub.modelReady(.with { $0.name = "b" }).ready)

        for name in ["", "nobody", "../models/a", "/etc/passwd"] {
          await #expect(throws: RPCError.self) {
            try await stub.repositoryModelLoad(.with { $0.modelName = name })
          }
          await #expect(throws: RPCError.self) {
            try await stub.repositoryModelUnload(.with { $0.modelName = name })
          }
        }
      }
    }
  }

  /// A submitted model is its connection's alone, shares memory with its equals, and goes with the last of them.
  @Test func privateModels() async throws {
    let folder = try TemporaryFolder()
    try await withDaemon(on: folder.path("s")) { daemon in
      let file = try TinyModule.file()
      try await VTAServiceClient.connect(to: daemon.socketPath) { observer in
        try await VTAServiceClient.connect(to: daemon.socketPath) { client in
          try await client.submit(file, as: "mine")
          #expect(try await client.models().map(\.name) == ["mine"])
          #expect(try await observer.models().isEmpty)
          let error = await #expect(throws: ServiceError.self) {
            try await observer.infer("mine", inputs: ["x": TinyModule.input([1, 2, 3, 4])])
          }
          #expect(error?.kind == .notFound)
          try await observer.submit(file, as: "other")
          #expect(try await observer.status().modelsPrivate == 2)
        }
        try await eventually { try await observer.status().modelsPrivate == 1 }
        // Still there, although the one who loaded it first has left.
        let outputs = try await observer.infer("other", inputs: ["x": TinyModule.input([1, 2, 3, 4])]).outputs
        #expect(outputs[0].tensor == TinyModule.input([1, 2, 3, 4]))
      }
      try await eventually {
        try await VTAServiceClient.connect(to: daemon.socketPath) { try await $0.status().modelsPrivate == 0 }
      }
    }
  }

  @Test func rubbishIsRefused() async throws {
    let folder = try TemporaryFolder()
    try await withDaemon(on: folder.path("s")) { daemon in
      try await withStubs(of: daemon.socketPath) { stub in
        let file = try TinyModule.file()
        var flipped = file
        flipped[flipped.count / 2] ^= 1
        for bytes in [[], [UInt8](0...255), flipped, Array(file.dropLast())] {
          await Self.expectRefusal(stub, ["file:m": Data(bytes)])
        }
        await Self.expectRefusal(stub, ["file:a": Data(file), "file:b": Data(file)])
        await Self.expectRefusal(stub, ["model": Data(file)])
        await Self.expectRefusal(stub, ["file:m": Data(file)], name: "")
        #expect(try await stub.repositoryIndex(.init()).models.isEmpty)
        // As Triton's clients send it.
        _ = try await stub.repositoryModelLoad(
          .with {
            $0.modelName = "m"
            $0.parameters["config"] = .with { $0.stringParam = "{}" }
            $0.parameters["file:1/model.vtab"] = .with { $0.bytesParam = Data(file) }
          })
      }
    }
  }

  private static func expectRefusal<Transport>(
    _ stub: Inference_GRPCInferenceService.Client<Transport>, _ files: [String: Data], name: String = "m"
  ) async {
    let error = await #expect(throws: RPCError.self) {
      try await stub.repositoryModelLoad(
        .with {
          $0.modelName = name
          $0.parameters = files.mapValues { bytes in .with { $0.bytesParam = bytes } }
        })
    }
    #expect(error?.code == .invalidArgument)
  }
}

/// Waits for something that another process or task does. A hang is ended by the test runner.
func eventually(_ condition: () async throws -> Bool) async throws {
  while try await !condition() { try await Task.sleep(for: .milliseconds(5)) }
}
