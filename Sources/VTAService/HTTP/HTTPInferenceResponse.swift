internal import Foundation
internal import VTAModule

/// An answer as HTTP carries it: JSON, followed by the outputs that were wanted as bytes.
struct HTTPInferenceResponse {
  let json: Data
  let tail: Data
  /// Whether there are outputs behind the JSON, empty ones included.
  let hasBinary: Bool

  /// - Throws: ``ServiceError`` if an output can't be written as JSON.
  init(
    _ response: InferenceResponse, binary: HTTPInferenceRequest.BinaryOutputs
  ) throws(ServiceError) {
    var outputs: [[String: Any]] = []
    var tail = Data()
    var hasBinary = false
    for (output, bytes) in zip(response.message.outputs, response.rawContents) {
      var object: [String: Any] = [
        "name": output.name, "datatype": output.datatype, "shape": output.shape.map { Int($0) },
      ]
      var parameters = output.parameters.mapValues { $0.json }
      if output.parameters["shared_memory_region"] == nil {
        if binary.contains(output.name) {
          parameters["binary_data_size"] = bytes.count
          tail.append(contentsOf: bytes)
          hasBinary = true
        } else {
          object["data"] = try Self.elements(bytes, of: output)
        }
      }
      if !parameters.isEmpty { object["parameters"] = parameters }
      outputs.append(object)
    }
    let message = response.message
    var answer: [String: Any] = [
      "model_name": message.modelName, "model_version": message.modelVersion, "outputs": outputs,
    ]
    if !message.id.isEmpty { answer["id"] = message.id }
    json = JSONText.encode(answer)
    self.tail = tail
    self.hasBinary = hasBinary
  }

  private static func elements(
    _ bytes: [UInt8], of output: Inference_ModelInferResponse.InferOutputTensor
  ) throws(ServiceError) -> [Any] {
    switch DataType(rawValue: output.datatype) {
    case .fp32?:
      try finite(numbers(bytes, UInt32.self).map { Double(shortest: Float(bitPattern: $0)) }, output.name)
    case .fp64?: try finite(numbers(bytes, UInt64.self).map { Double(bitPattern: $0) }, output.name)
    case .bool?: bytes.map { $0 != 0 }
    case .int8?: bytes.map { Int(Int8(bitPattern: $0)) }
    case .uint8?: bytes.map { Int($0) }
    case .int16?: numbers(bytes, Int16.self).map { Int($0) }
    case .uint16?: numbers(bytes, UInt16.self).map { Int($0) }
    case .int32?: numbers(bytes, Int32.self).map { Int($0) }
    case .uint32?: numbers(bytes, UInt32.self).map { UInt64($0) }
    case .int64?: numbers(bytes, Int64.self).map { $0 }
    case .uint64?: numbers(bytes, UInt64.self).map { $0 }
    case nil: texts(bytes)
    }
  }

  /// JSON has no word for infinity and not-a-number.
  private static func finite(_ values: [Double], _ output: String) throws(ServiceError) -> [Double] {
    guard values.allSatisfy(\.isFinite) else {
      throw ServiceError(
        .invalidArgument,
        "the output \(output) has values that JSON can't hold; ask for it with binary_data")
    }
    return values
  }

  private static func numbers<Value: FixedWidthInteger>(_ bytes: [UInt8], _ type: Value.Type) -> [Value] {
    let size = MemoryLayout<Value>.size
    return bytes.withUnsafeBytes { buffer in
      (0..<(buffer.count / size)).map {
        Value(littleEndian: buffer.loadUnaligned(fromByteOffset: $0 * size, as: Value.self))
      }
    }
  }

  /// BYTES: a length and as many bytes, again and again.
  private static func texts(_ bytes: [UInt8]) -> [String] {
    var rest = bytes[...]
    var texts: [String] = []
    while rest.count >= 4 {
      let length = Int(numbers(Array(rest.prefix(4)), UInt32.self)[0])
      rest = rest.dropFirst(4)
      texts.append(String(decoding: rest.prefix(length), as: UTF8.self))
      rest = rest.dropFirst(length)
    }
    return texts
  }
}

extension Double {
  /// The shortest decimal number that is read back as the value, as a double.
  fileprivate init(shortest value: Float) { self = Double(value.description) ?? Double(value) }
}

extension Inference_InferParameter {
  fileprivate var json: Any {
    switch parameterChoice {
    case .boolParam(let value)?: value
    case .int64Param(let value)?: value
    case .uint64Param(let value)?: value
    case .doubleParam(let value)?: value
    case .stringParam(let value)?: value
    case nil: NSNull()
    }
  }
}

/// Writes JSON.
enum JSONText {
  /// - Parameter value: Made of dictionaries, arrays, texts, finite numbers and booleans.
  static func encode(_ value: Any) -> Data {
    // Cannot fail for what it is made of here.
    (try? JSONSerialization.data(withJSONObject: value, options: [.sortedKeys, .withoutEscapingSlashes]))
      ?? Data("{}".utf8)
  }
}
