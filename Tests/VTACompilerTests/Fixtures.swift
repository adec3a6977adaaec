import Foundation
import Testing

@testable import VTACompiler

/// ONNX models with one sample of their inputs and ONNX Runtime's answers, recorded by
/// `Tests/interop/record_fixtures.py`.
enum Fixtures {
  struct Tensor: Decodable {
    let shape: [Int]
    let values: [Float]
  }
  struct Entry: Decodable {
    let inputs: [String: Tensor]
    let outputs: [String: Tensor]
  }

  private static let folder = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().appending(path: "Fixtures/onnx")

  static let entries: [String: Entry] = {
    let file = folder.appending(path: "answers.json")
    do {
      return try JSONDecoder().decode([String: Entry].self, from: try Data(contentsOf: file))
    } catch {
      Issue.record("\(file.path): \(error)")
      return [:]
    }
  }()

  static let names = entries.keys.sorted()

  static func model(_ name: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: folder.appending(path: "\(name).onnx")))
  }

  /// As imported, before anything is simplified.
  static func graph(_ name: String) throws -> Graph {
    try ONNXImporter.graph(try model(name), name: name, folder: nil, shapes: [:])
  }

  /// As quantization sees it.
  static func simplified(_ name: String) throws -> Graph {
    var graph = try graph(name)
    graph.removeReshapes()
    try graph.foldScalesAndClips()
    return graph
  }
}
