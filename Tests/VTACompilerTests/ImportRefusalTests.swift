import Foundation
import SystemPackage
import Testing

@testable import VTACompiler

/// Each wrong model is one clear line that names what is wrong.
@Suite struct ImportRefusalTests {
  private func refusal(
    _ bytes: [UInt8], folder: String? = nil, shapes: [String: [Int]] = [:]
  ) -> String? {
    let error = #expect(throws: CompileError.self) {
      try ONNXImporter.graph(bytes, name: "wrong", folder: folder.map { FilePath($0) }, shapes: shapes)
    }
    guard let text = error?.description else { return nil }
    #expect(!text.contains(where: \.isNewline) && text.contains(": ") && text.count < 400, "\(text)")
    return text
  }

  /// - Parameter words: all of them must be in the line.
  private func expectRefusal(
    _ sketch: ONNXSketch, _ words: String..., folder: String? = nil,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let text = refusal(try sketch.bytes(), folder: folder) ?? ""
    for word in words { #expect(text.contains(word), "\(text)", sourceLocation: sourceLocation) }
  }

  @Test func operators() throws {
    var sketch = ONNXSketch()
    sketch.add("Sin", ["x"], "y")
    try expectRefusal(sketch, #"Sin "the_node""#, "not supported", "SupportedOperators.md")
    sketch = ONNXSketch()
    sketch.add("Relu", ["x"], "y", domain: "com.example")
    try expectRefusal(sketch, "the_node", "com.example")
    sketch = ONNXSketch()
    sketch.add("Add", ["x"], "y")
    try expectRefusal(sketch, #"Add "the_node""#, "input B")
    // Line ends and escapes of a name do not reach a terminal.
    sketch = ONNXSketch()
    sketch.add("Sin", ["x"], "y", name: "a\nb\u{1B}[2J")
    try expectRefusal(sketch, "a?b?[2J")
    for opset: Int64 in [-1, 0, 10, 25, .max] {
      sketch = ONNXSketch(opset: opset)
      sketch.add("Relu", ["x"], "y")
      try expectRefusal(sketch, "operator set \(opset)", "11…24")
    }
  }

  @Test func graphs() throws {
    var sketch = ONNXSketch()
    sketch.add("Add", ["x", "b"], "a", name: "first")
    sketch.add("Relu", ["a"], "b", name: "second")
    sketch.add("Relu", ["b"], "y", name: "third")
    try expectRefusal(sketch, "cycle")
    sketch = ONNXSketch()
    sketch.add("Add", ["x", "y"], "y", name: "loop")
    try expectRefusal(sketch, #"Add "loop""#, "cycle")
    sketch = ONNXSketch()
    sketch.add("Relu", ["ghost"], "y")
    try expectRefusal(sketch, "ghost", "nothing in the graph defines")
    sketch = ONNXSketch()
    sketch.add("Relu", ["x"], "y", name: "one")
    sketch.add("Relu", ["x"], "y", name: "two")
    try expectRefusal(sketch, "two", "defined twice")
    try expectRefusal(ONNXSketch(), #"output "y""#, "nothing in the graph computes it")
  }

  @Test func shapes() throws {
    var sketch = ONNXSketch()
    sketch.add("Relu", ["x"], "y")
    sketch.model.graph.input = [ONNXSketch.value("x", [nil, 3, nil, 8])]
    try expectRefusal(sketch, #""axis2""#, "--shape x=1,3,224,8")
    sketch.model.graph.input = [ONNXSketch.value("x", [nil, 3, 1 << 20, 1 << 20])]
    try expectRefusal(sketch, #"input "x""#, "1048576")
    sketch.model.graph.input = [ONNXSketch.value("x", [nil, .max, .max, .max])]
    try expectRefusal(sketch, #"input "x""#)
    sketch.model.graph.input = [ONNXSketch.value("x", [2, 3])]
    try expectRefusal(sketch, "batch axis is fixed at 2")
    sketch.model.graph.input = [ONNXSketch.value("x", [nil, 3, nil, 8])]
    let open = try sketch.bytes()
    for (shape, words) in [
      ([1, 5, 8, 8], "contradicts"), ([1, 3, 8], "contradicts"), ([2, 3, 8, 8], "fixed"),
    ] {
      #expect(refusal(open, shapes: ["x": shape])?.contains(words) == true)
    }
    #expect(refusal(open, shapes: ["x": [1, 3, 8, 8], "z": [1]])?.contains("--shape z") == true)
    let graph = try ONNXImporter.graph(open, name: "open", folder: nil, shapes: ["x": [1, 3, 8, 8]])
    #expect(graph.values[graph.inputs[0]].shape == [1, 3, 8, 8])
  }

  /// What a tensor declares is compared with what is there before memory is taken.
  @Test func declaredTensors() throws {
    for (dims, words) in [
      ([50_000, 50_000], "10000000000 bytes"), ([1 << 62, 16], "more than can exist"),
      ([-16, 3, 3, 3], "none negative"), ([16, 3, 3, 4], "but the file holds 1728"),
      ([Int64](repeating: 1, count: 9), "at most 8"),
    ] {
      var sketch = ONNXSketch()
      sketch.add("Conv", ["x", "w"], "y")
      sketch.addWeights(dims, count: 16 * 27)
      try expectRefusal(sketch, #"initializer "w""#, words)
    }
  }

  @Test func truncatedFiles() throws {
    let bytes = try Fixtures.model("all_opset17")
    for count in stride(from: 0, to: bytes.count, by: 37) {
      let error = #expect(throws: CompileError.self) {
        try ONNXImporter.graph(Array(bytes[..<count]), name: "cut", folder: nil, shapes: [:])
      }
      #expect(error?.description.contains(where: \.isNewline) == false)
    }
  }

  // MARK: External data

  /// A folder with `secret`, and in it the model's folder `model` with `data`; each has zeros for 16×3×3×3 floats.
  private func withFolder(_ body: (_ root: String) throws -> Void) throws {
    let root = FileManager.default.temporaryDirectory.appending(path: "vta-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: root) }
    try FileManager.default.createDirectory(
      at: root.appending(path: "model"), withIntermediateDirectories: true)
    for name in ["secret", "model/data"] { try Data(count: 1728).write(to: root.appending(path: name)) }
    try body(root.path)
  }

  private func external(_ location: String, offset: String = "0") -> ONNXSketch {
    var sketch = ONNXSketch()
    sketch.add("Conv", ["x", "w"], "y")
    sketch.addExternalWeights([16, 3, 3, 3], location: location, offset: offset)
    return sketch
  }

  @Test func externalDataOutsideTheFolder() throws {
    try withFolder { root in
      let files = FileManager.default
      try files.createSymbolicLink(atPath: root + "/model/link", withDestinationPath: "../secret")
      try files.createSymbolicLink(atPath: root + "/model/up", withDestinationPath: "..")
      try files.createSymbolicLink(atPath: root + "/model/inside", withDestinationPath: "data")
      for location in [
        root + "/secret", "../secret", "./data/../../secret", "data/../../secret", "link", "up/secret", "..",
        ".", "", "data\0/../../secret",
      ] {
        try expectRefusal(external(location), #"initializer "w""#, "external data", folder: root + "/model")
      }
      // What must not be refused: beside the model, and by a link that stays there.
      for location in ["data", "./data", "inside"] {
        let bytes = try external(location).bytes()
        _ = try ONNXImporter.graph(bytes, name: "x", folder: FilePath(root + "/model"), shapes: [:])
      }
    }
  }

  @Test func externalDataThatIsNotThere() throws {
    try withFolder { root in
      let folder = root + "/model"
      try expectRefusal(external("absent"), "absent", "does not exist", folder: folder)
      try expectRefusal(external("data", offset: "4"), "offset 4", "1728 bytes", folder: folder)
      try expectRefusal(external("data", offset: "-4"), "offset", folder: folder)
      try expectRefusal(external("data", offset: String(Int.max)), "lie outside", folder: folder)
      try expectRefusal(external("data"), "needs the folder of the model")
    }
  }
}
