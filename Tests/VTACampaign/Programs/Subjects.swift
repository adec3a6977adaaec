private import Foundation
private import VTA
private import VTACompiler
private import VTAModule

/// Programs to break.
package struct Subject: Sendable {
  package let program: MachineProgram
  /// By this compiler, so that a finding would be a false alarm.
  package let isCompiled: Bool
}

package enum Subjects {
  /// - Parameter files: `.vtatrace` and `.onnx`; a model is compiled for every target that has a name.
  package static func read(_ files: [String], seed: UInt64) throws -> [Subject] {
    try files.flatMap { file -> [Subject] in
      let bytes = Array(try Data(contentsOf: URL(filePath: file)))
      let name = file.split(separator: "/").suffix(2).joined(separator: "/")
      if file.hasSuffix(".vtatrace") {
        return [Subject(program: try MachineProgram(name: name, RecordedRun(bytes)), isCompiled: false)]
      }
      return try Target.named.flatMap { target in
        try MachineProgram.programs(
          of: compile(bytes, name: name, target: target, seed: seed), name: "\(name) for \(target.name)",
          seed: seed
        ).map { Subject(program: $0, isCompiled: true) }
      }
    }
  }

  /// Calibrated with random samples: what the numbers mean is of no interest here.
  private static func compile(_ model: [UInt8], name: String, target: Target, seed: UInt64) throws -> Module {
    var options = CompilerOptions(name: name, producer: "campaign", target: target)
    options.calibration = { inputs in
      var random = SeededGenerator(seed: seed)
      return Dictionary(
        uniqueKeysWithValues: inputs.map { input in
          let shape = [4] + input.shape.dropFirst()
          let values = (0..<shape.reduce(1, *)).map { _ in Float.random(in: -1...1, using: &random) }
          return (input.name, Tensor(values, shape: shape))
        })
    }
    return try Compiler.compile(model, modelDirectory: nil, options: options).module
  }
}
