private import Foundation
internal import VTARuntime

/// Where the time of a run went, as JSON or as a table.
struct ProfileReport: Encodable {
  struct Layer: Encodable {
    let name: String
    let op: String
    let instructions: Int
    let gemmSteps: Int
    let aluSteps: Int
    let dramBytes: Int
    /// Of one pass; `nil`: unknown.
    let seconds: Double?
  }

  struct Step: Encodable {
    let name: String
    let place: String
    let passes: Int
    /// Of all passes.
    let seconds: Double
    let layers: [Layer]

    private enum CodingKeys: String, CodingKey {
      case name
      case place = "where"
      case passes
      case seconds
      case layers
    }
  }

  let steps: [Step]

  init(_ steps: [Step]) { self.steps = steps }

  /// Programs with their layers below them.
  var text: String {
    let whole = steps.reduce(0) { $0 + $1.seconds }
    var rows = [["STEP", "WHERE", "PASSES", "US", "SHARE", "INSTRUCTIONS", "GEMM", "ALU", "DRAM KIB"]]
    for step in steps {
      rows.append([
        step.name, step.place, "\(step.passes)", Self.microseconds(step.seconds),
        whole > 0 ? String(format: "%.1f %%", step.seconds / whole * 100) : "-",
        step.layers.isEmpty ? "" : "\(step.layers.reduce(0) { $0 + $1.instructions })", "", "", "",
      ])
      for layer in step.layers {
        rows.append([
          "  \(layer.name) (\(layer.op))", "", "", layer.seconds.map(Self.microseconds) ?? "-", "",
          "\(layer.instructions)", "\(layer.gemmSteps)", "\(layer.aluSteps)",
          String(format: "%.1f", Double(layer.dramBytes) / 1024),
        ])
      }
    }
    let notes =
      steps.contains { !$0.layers.isEmpty }
      ? ["Times of layers are of one pass\(isMeasured ? "" : "; hardware does not tell them")."] : []
    return (TextTable.lines(rows, leftColumns: 2) + notes).joined(separator: "\n")
  }

  private var isMeasured: Bool { steps.contains { $0.layers.contains { $0.seconds != nil } } }

  private static func microseconds(_ seconds: Double) -> String { String(format: "%.1f", seconds * 1e6) }
}

extension ProfileReport.Step {
  init(_ step: RunProfile.Step) {
    name = step.name
    place = step.isOnDevice ? "device" : "host"
    passes = step.count
    seconds = step.duration / .seconds(1)
    layers = step.layers.map {
      ProfileReport.Layer(
        name: $0.name, op: $0.op, instructions: $0.instructions,
        gemmSteps: $0.gemmSteps, aluSteps: $0.aluSteps,
        dramBytes: $0.dramBytes, seconds: $0.duration.map { $0 / .seconds(1) })
    }
  }
}
