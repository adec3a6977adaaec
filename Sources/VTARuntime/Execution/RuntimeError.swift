package import VTAModule

/// Why a request for a loaded model is refused. The device is not involved in any of them, except that a deadline may
/// pass between two programs of a run.
package enum RuntimeError: Error, Equatable, CustomStringConvertible {
  case unknownInput(name: String, known: [String])
  case missingInput(name: String)
  case wrongDataType(input: String, expected: DataType, found: DataType)
  /// `expected` has the batch axis first, whose extent is free.
  case wrongShape(input: String, expected: [Int], found: [Int])
  /// Inputs of one request have different numbers of samples.
  case differentBatches(input: String, samples: Int, otherInput: String, otherSamples: Int)
  case tooManySamples(samples: Int, maximum: Int)
  case invalidModule(ModuleError)
  /// The check of the patched program found something.
  case programRefused(program: Int, findings: [String])
  case deadlineExceeded
  case queueFull(limit: Int)
  case modelUnloaded(name: String)

  package var description: String {
    switch self {
    case .unknownInput(let name, let known):
      "the model has no input \(name); its inputs are \(known.joined(separator: ", "))"
    case .missingInput(let name): "the input \(name) is missing; the model needs it"
    case .wrongDataType(let input, let expected, let found):
      "the input \(input) has datatype \(found.rawValue), but the model takes \(expected.rawValue)"
    case .wrongShape(let input, let expected, let found):
      "the input \(input) has shape \(found), but the model takes \(Self.text(expected)) with any N ≥ 1"
    case .differentBatches(let input, let samples, let otherInput, let otherSamples):
      "the input \(input) holds \(samples) samples, but \(otherInput) holds \(otherSamples); pass the same number"
    case .tooManySamples(let samples, let maximum):
      "\(samples) samples in one request are more than the \(maximum) that are allowed; split the request"
    case .invalidModule(let error): "the module can't be loaded: \(error)"
    case .programRefused(let program, let findings):
      "program \(program) of the module is refused: \(Self.summary(findings)); compile the model again"
    case .deadlineExceeded: "the deadline passed before the run was done; allow more time"
    case .queueFull(let limit):
      "\(limit) requests wait for the device already; try again later"
    case .modelUnloaded(let name): "the model \(name) was unloaded from the device"
    }
  }

  /// A program can have thousands of findings; `vtactl verify` lists all of them.
  private static func summary(_ findings: [String]) -> String {
    let shown = findings.prefix(3).joined(separator: "; ")
    return findings.count > 3 ? "\(shown); and \(findings.count - 3) more" : shown
  }

  private static func text(_ shape: [Int]) -> String {
    "[" + (["N"] + shape.dropFirst().map(String.init)).joined(separator: ", ") + "]"
  }
}
