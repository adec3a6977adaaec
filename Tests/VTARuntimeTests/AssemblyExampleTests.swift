import Foundation
import Testing
import VTA
import VTAModule

@testable import VTARuntime

/// Examples/assembly: what is shown there assembles, verifies and computes what it says, on every target.
@Suite struct AssemblyExampleTests {
  private static let folder = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Examples/assembly")

  @Test func everyExampleVerifies() throws {
    let files = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path)
    let texts = files.filter { $0.hasSuffix(".vtas") }
    #expect(!texts.isEmpty)
    for file in texts {
      let module = try Assembler.module(from: Array(Data(contentsOf: Self.folder.appending(path: file))))
      #expect(ModuleVerification.findings(in: module).isEmpty)
    }
  }

  @Test(arguments: Target.named.map(\.name)) func convolution(target: String) async throws {
    let text = try String(contentsOf: Self.folder.appending(path: "convolution.vtas"), encoding: .utf8)
      .replacing(".target sim", with: ".target \(target)")
    let module = try Assembler.module(from: text)
    #expect(module.target.name == target)
    #expect(ModuleVerification.findings(in: module).isEmpty)
    let samples = 2
    let x = (0..<samples * 16 * 64).map { ($0 &* 2_654_435_761 >> 7) % 256 - 128 }
    let worker = try DeviceWorker.open("sim")
    let model = try await worker.load(module)
    let result = try await worker.run(
      model, inputs: ["x": Tensor(x.map(Float.init), shape: [samples, 16, 8, 8])])
    await worker.shutdown()
    let found = result.outputs[0].tensor.elements(as: Float.self).map { Int($0) }
    let expected = try (0..<samples).flatMap { try naive(Array(x[($0 * 1024)..<(($0 + 1) * 1024)]), module) }
    #expect(found == expected)
    #expect(Set(expected).count > 50, "the values are not all clipped")
  }

  /// `min(max((conv3x3(x) + bias) >> 7, 0), 127)`, straight from the definition and from where weights lie in tiles.
  private func naive(_ x: [Int], _ module: Module) throws -> [Int] {
    guard case .constant(let weights) = try #require(module.regions.first { $0.name == "weights" }).role,
      case .constant(let biases) = try #require(module.regions.first { $0.name == "biases" }).role
    else { return [] }
    var y: [Int] = []
    for o in 0..<32 {
      let bias = biases.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 4 * o, as: Int32.self) }
      for h in 0..<8 {
        for w in 0..<8 {
          var sum = Int(Int32(littleEndian: bias))
          for i in 0..<16 {
            for (kh, kw) in (0..<9).map({ ($0 / 3, $0 % 3) }) {
              let (row, column) = (h + kh - 1, w + kw - 1)
              guard (0..<8).contains(row), (0..<8).contains(column) else { continue }
              let tile = o / 16 * 9 + kh * 3 + kw
              let weight = Int(Int8(bitPattern: weights[tile * 256 + o % 16 * 16 + i]))
              sum += weight * x[i * 64 + row * 8 + column]
            }
          }
          y.append(min(max(sum >> 7, 0), 127))
        }
      }
    }
    return y
  }
}
