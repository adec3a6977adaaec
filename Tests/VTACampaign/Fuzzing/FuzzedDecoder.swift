/// Something that reads untrusted bytes: `make fuzz` and a slice of it in the tests feed it.
package struct FuzzedDecoder: Sendable {
  /// Also the name of its folder of seeds under `Tests/Fixtures/fuzz`.
  package let name: String
  /// Returns what is wrong with how the bytes were taken; `nil` if all is well. Refusing them is well; a crash, a hang
  /// or more memory than the fuzzer allows never is.
  package let feed: @Sendable (_ bytes: [UInt8]) -> String?

  package init(name: String, feed: @escaping @Sendable (_ bytes: [UInt8]) -> String?) {
    self.name = name
    self.feed = feed
  }

  /// Those of the libraries; the programs add their own.
  package static let all: [FuzzedDecoder] = [
    module, manifest, assembly, onnx, program, recordedRun, configuration, array, bitstream, board, catalogue,
    firmware,
  ]
}

extension FuzzedDecoder {
  package static func named(_ name: String) -> FuzzedDecoder? { all.first { $0.name == name } }
}
