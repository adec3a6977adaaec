import Foundation
import Logging
import Testing

@testable import VTAService

@Suite struct ConfigurationTests {
  @Test func defaultsComeFromTheTable() async throws {
    let configuration = try await DaemonConfiguration(file: nil)
    #expect(configuration.socket == "/run/vtad/vtad.sock" && configuration.socketMode == 0o660)
    #expect(configuration.device == "auto" && configuration.models == nil)
    #expect(configuration.maximumMessageBytes == 2_147_483_647)
    #expect(configuration.runDeadline == .seconds(60) && configuration.drainLimit == .seconds(30))
    #expect(configuration.logLevel == .info)
  }

  @Test func commandLineWinsOverTheFile() async throws {
    let folder = try TemporaryFolder()
    let text =
      #"{"socket": "/a", "device": "sim", "drain_seconds": 5, "run_deadline_seconds": 0, "log_level": "debug"}"#
    let file = try folder.write(Array(text.utf8), to: "vtad.json")
    let configuration = try await DaemonConfiguration(file: file, overrides: ["socket": "/b"])
    #expect(configuration.socket == "/b" && configuration.device == "sim")
    #expect(configuration.drainLimit == .seconds(5) && configuration.runDeadline == nil)
    #expect(configuration.logLevel == .debug)
  }

  @Test(arguments: [
    ("", "JSON"), ("rubbish", "JSON"), ("[]", "object"), (#"{"sockets": "/a"}"#, "sockets"),
    (#"{"socket": 1}"#, "socket"), (#"{"socket": {"path": "/a"}}"#, "socket"),
    (#"{"socket": null}"#, "socket"),
    (#"{"socket_mode": "rw"}"#, "socket_mode"), (#"{"socket_mode": "01777"}"#, "socket_mode"),
    (#"{"drain_seconds": "5"}"#, "drain_seconds"), (#"{"drain_seconds": 0.5}"#, "drain_seconds"),
    (#"{"drain_seconds": 0}"#, "drain_seconds"), (#"{"max_message_bytes": 1}"#, "max_message_bytes"),
    (#"{"log_level": "loud"}"#, "log_level"), (#"{"http": 8080}"#, "http"),
    (#"{"http": {"port": 8080}}"#, "http.port"), (#"{"http": {"prot": 8080}}"#, "http.prot"),
    (#"{"http": {"loopback_infer": "yes"}}"#, "http.loopback_infer"),
    (#"{"tcp": {"grpc_port": 8001}}"#, "tcp.certificate"),
    (#"{"tcp": {"administer": "*"}}"#, "tcp.administer"),
    (#"{"require_hardware": "yes"}"#, "require_hardware"),
    (#"{"on_failure": "retry"}"#, "on_failure"), (#"{"memory": "cma:"}"#, "memory"),
  ])
  func badFilesAreRefused(_ text: String, _ word: String) async throws {
    let folder = try TemporaryFolder()
    let file = try folder.write(Array(text.utf8), to: "vtad.json")
    let error = await #expect(throws: ServiceError.self) { try await DaemonConfiguration(file: file) }
    #expect(error?.description.contains(file) == true && error?.description.contains(word) == true)
  }

  /// The example that is installed shows every key with its default.
  @Test func exampleMatchesTheTable() async throws {
    let file = Repository.path("Configs/vtad.json")
    let object = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: file)))
    let values = Self.flat(try #require(object as? [String: Any]))
    #expect(Set(values.keys) == Set(DaemonConfiguration.keys.map(\.name)))
    for key in DaemonConfiguration.keys where key.name != "models" {
      switch key.default {
      case .text(let text): #expect(values[key.name] as? String == text)
      case .number(let number): #expect((values[key.name] as? NSNumber)?.intValue == number)
      case .flag(let flag): #expect(values[key.name] as? Bool == flag)
      }
    }
    _ = try await DaemonConfiguration(file: file)
  }

  private static func flat(_ object: [String: Any]) -> [String: Any] {
    object.reduce(into: [:]) { result, entry in
      guard let nested = entry.value as? [String: Any] else { return result[entry.key] = entry.value }
      for (key, value) in nested { result["\(entry.key).\(key)"] = value }
    }
  }

  @Test func nestedKeys() async throws {
    let folder = try TemporaryFolder()
    let text =
      #"{"http": {"port": 8080, "loopback_infer": true}, "tcp": {"infer": "a, b", "administer": "b"}}"#
    let file = try folder.write(Array(text.utf8), to: "vtad.json")
    let configuration = try await DaemonConfiguration(file: file)
    #expect(configuration.http == .init(port: 8080, isInferenceOpen: true))
    #expect(configuration.tcp.roles == ["a": .infer, "b": .administer])
  }
}

enum Repository {
  static func path(_ name: String) -> String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appendingPathComponent(name).path
  }
}
