private import Foundation
internal import VTAModule

/// The result of `vtactl run`, as JSON or as text.
struct RunReport: Encodable {
  struct Output: Encodable {
    let name: String
    /// `nil` if nothing was written.
    let file: String?
    let shape: [Int]
    let datatype: String
  }

  /// Samples whose classes the text shows.
  private static let samplesShown = 10
  private static let classesShown = 5

  let model: String
  let device: String
  let place: String
  let seconds: [Double]
  let outputs: [Output]
  /// Why the simulator gave them instead of the device; `nil`: it did not.
  let fallback: String?
  /// `nil` unless it was asked for.
  let profile: ProfileReport?
  private let tensors: [Tensor]

  private enum CodingKeys: String, CodingKey {
    case model
    case device
    case place = "where"
    case seconds
    case outputs
    case fallback
    case profile
  }

  init(
    model: String, device: String, place: String, seconds: [Double],
    outcome: RunOutcome, files: [String]?, profile: ProfileReport?
  ) {
    self.profile = profile
    let outputs = outcome.outputs
    fallback = outcome.fallback
    self.model = model
    self.device = device
    self.place = place
    self.seconds = seconds
    self.outputs = outputs.enumerated().map { index, output in
      Output(
        name: output.name, file: files?[index], shape: output.tensor.shape,
        datatype: output.tensor.dataType.rawValue)
    }
    tensors = outputs.map(\.tensor)
  }

  /// - Parameter labels: class names of the single output's last axis; empty if there are none.
  func printText(labels: [String], notes: [String]) {
    let median = seconds.sorted()[seconds.count / 2]
    let time = String(format: "%.3f ms", median * 1000)
    let times = seconds.count > 1 ? "median of \(seconds.count): \(time)" : time
    print("\(model): ran on \(device), \(place), \(times)")
    for note in notes { print(note) }
    for output in outputs {
      print("  \(output.name) \(output.datatype) \(output.shape)\(output.file.map { " -> \($0)" } ?? "")")
    }
    if let tensor = tensors.first, tensors.count == 1, tensor.dataType == .fp32 {
      printClasses(tensor, labels)
    }
  }

  private func printClasses(_ tensor: Tensor, _ labels: [String]) {
    guard !labels.isEmpty, tensor.shape.last == labels.count else { return }
    let values = tensor.elements(as: Float.self)
    let samples = values.count / labels.count
    for sample in 0..<min(samples, Self.samplesShown) {
      let scores = values[sample * labels.count..<(sample + 1) * labels.count]
      let best = zip(labels, scores).sorted { $0.1 > $1.1 }.prefix(Self.classesShown)
      let isProbability = abs(scores.reduce(0, +) - 1) < 0.01 && scores.allSatisfy { $0 >= 0 }
      let text = best.map {
        isProbability
          ? String(format: "%@ %.1f %%", $0.0 as NSString, $0.1 * 100)
          : String(format: "%@ %.3f", $0.0 as NSString, $0.1)
      }
      print("  " + (samples > 1 ? "sample \(sample): " : "") + text.joined(separator: ", "))
    }
    if samples > Self.samplesShown { print("  … and \(samples - Self.samplesShown) more") }
  }
}
