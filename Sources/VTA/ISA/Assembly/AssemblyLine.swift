/// Why assembly text is refused, and where.
package struct AssemblyError: Error, Equatable, CustomStringConvertible {
  /// From 1.
  package let line: Int
  /// In characters (Unicode scalars), from 1.
  package let column: Int
  /// What is wrong; what to do.
  package let message: String

  package init(line: Int, column: Int, message: String) {
    self.line = line
    self.column = column
    self.message = message
  }

  package var description: String { "\(line):\(column): \(message)" }
}

/// A run of characters without white space, apart from that inside double quotes.
package struct AssemblyToken: Sendable {
  package let bytes: ArraySlice<UInt8>

  package init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }

  package var text: String { String(decoding: bytes, as: UTF8.self) }

  /// The parts between separators; without any, the token itself.
  package func split(_ separator: String) -> [AssemblyToken] {
    let separator = Array(separator.utf8)
    var parts: [AssemblyToken] = []
    var start = bytes.startIndex
    var index = start
    while index < bytes.endIndex {
      if bytes[index...].starts(with: separator) {
        parts.append(AssemblyToken(bytes[start..<index]))
        index += separator.count
        start = index
      } else {
        index += 1
      }
    }
    return parts + [AssemblyToken(bytes[start...])]
  }

  /// `KEY=VALUE`; `nil` if there is no `=` outside of quotes.
  package var keyAndValue: (key: String, value: AssemblyToken)? {
    guard bytes.first != UInt8(ascii: "\""), let separator = bytes.firstIndex(of: UInt8(ascii: "=")) else {
      return nil
    }
    return (AssemblyToken(bytes[..<separator]).text, AssemblyToken(bytes[(separator + 1)...]))
  }

  /// Decimal, or hexadecimal after `0x`, with an optional sign.
  package var integer: Int64? {
    let text = text
    let isNegative = text.hasPrefix("-")
    let digits = text.dropFirst(isNegative ? 1 : 0)
    let isHexadecimal = digits.hasPrefix("0x")
    let number = digits.dropFirst(isHexadecimal ? 2 : 0)
    // The standard library would take a second sign.
    guard number.utf8.allSatisfy({ $0 != UInt8(ascii: "-") && $0 != UInt8(ascii: "+") }) else { return nil }
    return Int64((isNegative ? "-" : "") + number, radix: isHexadecimal ? 16 : 10)
  }

  /// Sixty-four bits after `0x`.
  var word: UInt64? {
    let digits = text.dropFirst(2)
    guard text.hasPrefix("0x"), !digits.hasPrefix("+") else { return nil }
    return UInt64(digits, radix: 16)
  }

  /// A bare or quoted name at the start, and what follows it; `nil` if there is none.
  package var leadingName: (name: String, rest: AssemblyToken)? {
    guard bytes.first == UInt8(ascii: "\"") else {
      let end = bytes.firstIndex { !AssemblyName.isBare($0) } ?? bytes.endIndex
      guard let first = bytes.first, AssemblyName.isBareStart(first) else { return nil }
      return (AssemblyToken(bytes[..<end]).text, AssemblyToken(bytes[end...]))
    }
    var name: [UInt8] = []
    var index = bytes.startIndex + 1
    while index < bytes.endIndex, bytes[index] != UInt8(ascii: "\"") {
      if bytes[index] == UInt8(ascii: "\\"), index + 1 < bytes.endIndex { index += 1 }
      name.append(bytes[index])
      index += 1
    }
    guard index < bytes.endIndex else { return nil }
    return (String(decoding: name, as: UTF8.self), AssemblyToken(bytes[(index + 1)...]))
  }

  /// The whole token as a bare or quoted name.
  package var name: String? {
    guard let (name, rest) = leadingName, rest.bytes.isEmpty else { return nil }
    return name
  }
}

/// Names in text: bare where they look like one, quoted otherwise.
package enum AssemblyName {
  static func isBareStart(_ byte: UInt8) -> Bool {
    (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) || byte == UInt8(ascii: "_")
  }

  static func isBare(_ byte: UInt8) -> Bool {
    isBareStart(byte) || (0x30...0x39).contains(byte) || byte == UInt8(ascii: ".")
      || byte == UInt8(ascii: "-")
  }

  package static func text(_ name: String) -> String {
    if let first = name.utf8.first, isBareStart(first), name.utf8.allSatisfy(isBare) { return name }
    // By bytes: a quote that a combining mark follows is one Character with it.
    let escaped = name.utf8.flatMap { byte in
      byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") ? [UInt8(ascii: "\\"), byte] : [byte]
    }
    return "\"\(String(decoding: escaped, as: UTF8.self))\""
  }
}

/// One line in tokens; `;` starts a comment outside of quotes.
package struct AssemblyLine: Sendable {
  package let number: Int
  private let bytes: ArraySlice<UInt8>
  package let tokens: [AssemblyToken]

  /// A token takes sixteen times its text in memory.
  private static let bytesMax = 1 << 20

  /// - Throws: ``AssemblyError`` for a quote without end, control characters, bytes that are no UTF-8, and a line that is
  ///   too long.
  package init(number: Int, _ bytes: ArraySlice<UInt8>) throws(AssemblyError) {
    self.number = number
    self.bytes = bytes
    guard bytes.count <= Self.bytesMax else {
      throw AssemblyError(
        line: number, column: 1, message: "the line has more than \(Self.bytesMax) bytes; split it")
    }
    var tokens: [AssemblyToken] = []
    var start: Int?
    var isQuoted = false
    var index = bytes.startIndex
    scan: while index < bytes.endIndex {
      let byte = bytes[index]
      switch byte {
      case UInt8(ascii: "\\") where isQuoted: index += 1
      case UInt8(ascii: "\""):
        isQuoted.toggle()
        start = start ?? index
      case UInt8(ascii: ";") where !isQuoted: break scan
      case 0x20 where !isQuoted, 0x09 where !isQuoted, 0x0D where !isQuoted:
        if let begin = start { tokens.append(AssemblyToken(bytes[begin..<index])) }
        start = nil
      default: start = start ?? index
      }
      index += 1
    }
    if let begin = start { tokens.append(AssemblyToken(bytes[begin..<min(index, bytes.endIndex)])) }
    self.tokens = tokens
    if isQuoted { throw error(tokens.last, "the quote has no end; close it with \"") }
    for token in tokens {
      if let control = token.bytes.firstIndex(where: { $0 < 0x20 || $0 == 0x7F }) {
        throw error(at: control, "a control character; remove it")
      }
      guard token.bytes.allSatisfy({ $0 < 0x80 }) || String(validating: token.bytes, as: UTF8.self) != nil
      else { throw error(token, "the text is not UTF-8; save the file as UTF-8") }
    }
  }

  /// - Parameter token: where; `nil`: at the end of the line.
  package func error(_ token: AssemblyToken?, _ message: String) -> AssemblyError {
    error(at: token?.bytes.startIndex ?? tokens.last?.bytes.endIndex ?? bytes.startIndex, message)
  }

  private func error(at index: Int, _ message: String) -> AssemblyError {
    // Bytes that continue a character do not count.
    let column = bytes[..<index].count { $0 & 0xC0 != 0x80 } + 1
    return AssemblyError(line: number, column: column, message: message)
  }
}
