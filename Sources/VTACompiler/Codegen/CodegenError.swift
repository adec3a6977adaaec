package import VTA

/// Why an integer network can't be expressed for a target.
package enum CodegenError: Error, CustomStringConvertible {
  /// A layer asks for more than a field or a scratchpad holds.
  case layer(name: String, op: String, why: String)
  case configuration(ConfigurationError)
  case coding(CodingError)

  package var description: String {
    switch self {
    case .layer(let name, let op, let why): "node \(name) (\(op)): \(why)"
    case .configuration(let error): error.description
    case .coding(let error): "internal error: an emitted instruction does not encode: \(error)"
    }
  }
}
