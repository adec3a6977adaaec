/// How the sentence of a status travels in the header `grpc-message`.
extension String {
  /// As a status message travels: all but printable ASCII, and the percent sign, by their bytes in UTF-8.
  var percentEncodedForGRPC: String {
    var encoded: [UInt8] = []
    for byte in utf8 {
      if (0x20...0x7e).contains(byte) && byte != UInt8(ascii: "%") {
        encoded.append(byte)
      } else {
        encoded.append(UInt8(ascii: "%"))
        encoded += byte.hex.uppercased().utf8
      }
    }
    return String(decoding: encoded, as: UTF8.self)
  }

  /// A status message as it was before it travelled; what is no valid encoding stays as it is.
  var percentDecodedFromGRPC: String {
    guard utf8.contains(UInt8(ascii: "%")) else { return self }
    var decoded: [UInt8] = []
    var rest = utf8[...]
    while let byte = rest.popFirst() {
      let digits = rest.prefix(2)
      if byte == UInt8(ascii: "%"), digits.count == 2, digits.first != UInt8(ascii: "+"),
        let value = UInt8(String(Substring(digits)), radix: 16)
      {
        decoded.append(value)
        rest = rest.dropFirst(2)
      } else {
        decoded.append(byte)
      }
    }
    return String(decoding: decoded, as: UTF8.self)
  }
}
