internal import Foundation
internal import VTAModule

/// Reads JSON of clients.
enum JSONBody {
  /// - Throws: ``ServiceError`` with the place of the mistake.
  static func decode<Value: Decodable>(_ type: Value.Type, from data: Data) throws(ServiceError) -> Value {
    do {
      return try JSONDecoder().decode(type, from: data)
    } catch let error as DecodingError {
      throw ServiceError(.invalidArgument, "the JSON of the request can't be used: \(sentence(error))")
    } catch {
      throw ServiceError(.invalidArgument, "the body of the request is not JSON")
    }
  }

  private static func sentence(_ error: DecodingError) -> String {
    let (context, what): (DecodingError.Context, String) =
      switch error {
      case .keyNotFound(let key, let context): (context, "'\(key.stringValue)' is missing")
      case .typeMismatch(_, let context), .valueNotFound(_, let context):
        (context, "a value of another type is needed")
      case .dataCorrupted(let context): (context, "it is not valid")
      @unknown default: (.init(codingPath: [], debugDescription: ""), "it is not valid")
      }
    let place = context.codingPath.map { $0.intValue.map { "[\($0)]" } ?? ".\($0.stringValue)" }.joined()
    return place.isEmpty ? what : "\(what) at \(place.prefix(200))"
  }
}

/// A parameter's value.
enum JSONScalar: Decodable, Sendable {
  case bool(Bool)
  case integer(Int64)
  case unsigned(UInt64)
  case number(Double)
  case text(String)

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if let value = try? container.decode(Bool.self) {
      self = .bool(value)
    } else if let value = try? container.decode(Int64.self) {
      self = .integer(value)
    } else if let value = try? container.decode(UInt64.self) {
      self = .unsigned(value)
    } else if let value = try? container.decode(Double.self) {
      self = .number(value)
    } else {
      self = .text(try container.decode(String.self))
    }
  }

  var text: String {
    switch self {
    case .bool(let value): "\(value)"
    case .integer(let value): "\(value)"
    case .unsigned(let value): "\(value)"
    case .number(let value): "\(value)"
    case .text(let value): value
    }
  }
}

/// The elements of a tensor, nested in any way or not at all.
struct JSONElements: Decodable, Sendable {
  private enum Element: Sendable {
    case integer(Int64)
    case number(Double)
    case bool(Bool)
  }

  private var elements: [Element] = []

  init(from decoder: any Decoder) throws {
    var container = try decoder.unkeyedContainer()
    try read(&container)
  }

  private mutating func read(_ container: inout any UnkeyedDecodingContainer) throws {
    while !container.isAtEnd {
      if let value = try? container.decode(Int64.self) {
        elements.append(.integer(value))
      } else if let value = try? container.decode(Double.self) {
        elements.append(.number(value))
      } else if let value = try? container.decode(Bool.self) {
        elements.append(.bool(value))
      } else {
        var nested = try container.nestedUnkeyedContainer()
        try read(&nested)
      }
    }
  }

  /// `nil` if an element is outside the type's range.
  func bytes(as type: DataType) -> Data? {
    switch type {
    case .bool: encode { if case .bool(let value) = $0 { value ? 1 : 0 as UInt8 } else { nil } }
    case .int8: integers(as: Int8.self)
    case .int16: integers(as: Int16.self)
    case .int32: integers(as: Int32.self)
    case .int64: integers(as: Int64.self)
    case .uint8: integers(as: UInt8.self)
    case .uint16: integers(as: UInt16.self)
    case .uint32: integers(as: UInt32.self)
    case .uint64: integers(as: UInt64.self)
    case .fp32: encode { Self.double($0).map { Float($0).bitPattern } }
    case .fp64: encode { Self.double($0)?.bitPattern }
    }
  }

  private static func double(_ element: Element) -> Double? {
    switch element {
    case .integer(let value): Double(value)
    case .number(let value): value
    case .bool: nil
    }
  }

  private func integers<Value: FixedWidthInteger>(as type: Value.Type) -> Data? {
    encode { element -> Value? in
      switch element {
      case .integer(let value): Value(exactly: value)
      case .number(let value): Value(exactly: value)
      case .bool: nil
      }
    }
  }

  private func encode<Value: FixedWidthInteger>(_ value: (Element) -> Value?) -> Data? {
    var data = Data(capacity: elements.count * MemoryLayout<Value>.size)
    for element in elements {
      guard let value = value(element) else { return nil }
      withUnsafeBytes(of: value.littleEndian) { data.append(contentsOf: $0) }
    }
    return data
  }
}
