package import VTA
package import VTARuntime

/// Images that a simulated FPGA accepts: real containers and real headers, around a sentence instead of a design.
package enum SimulatedBitstream {
  private static let sync: [UInt8] = [0xAA, 0x99, 0x55, 0x66]
  /// A type 1 packet that writes one word to the IDCODE register (UG470, UG570).
  private static let writeIDCode: [UInt8] = [0x30, 0x01, 0x80, 0x01]
  private static let marker = Array("simulated VTA: ".utf8)
  /// Where FPGA families look for the start.
  private static let headerBytesMax = 4096

  /// A `.bit` file, or an `.rbf` for Intel's FPGA.
  /// - Parameter byteCount: of the whole file, at least; real ones have millions.
  package static func file(
    for board: Board, target: Target, idcode: UInt32? = nil, part: String? = nil, byteCount: Int = 4096
  ) -> [UInt8] {
    let sentence = marker + Array("\(target.description)\n".utf8)
    guard board.configuration.family != .cycloneV else {
      var image = [UInt8](repeating: 0xFF, count: 128) + [UInt8](repeating: 0x6A, count: 4) + sentence
      image += [UInt8](repeating: 0, count: max(0, byteCount - image.count))
      return image + [UInt8](repeating: 0, count: (4 - image.count % 4) % 4)
    }
    var payload = [UInt8](repeating: 0xFF, count: 32) + [0, 0, 0, 0xBB, 0x11, 0x22, 0, 0x44]
    payload += [UInt8](repeating: 0xFF, count: 8) + sync + writeIDCode + bigEndian(idcode ?? board.idcode)
    payload += sentence + [UInt8](repeating: 0, count: max(0, byteCount - payload.count - sentence.count))
    payload += [UInt8](repeating: 0, count: (4 - payload.count % 4) % 4)
    let strip = board.part.hasPrefix("xc") ? String(board.part.dropFirst(2)) : board.part
    let fields: [(Character, String)] = [
      ("a", "vta_wrapper;UserID=0XFFFFFFFF;Version=2018.3"),
      ("b", part ?? strip.split(separator: "-").prefix(2).joined(separator: "-")), ("c", "2026/01/01"),
      ("d", "12:00:00"),
    ]
    var file: [UInt8] = [0, 9, 0x0F, 0xF0, 0x0F, 0xF0, 0x0F, 0xF0, 0x0F, 0xF0, 0, 0, 1]
    for (key, text) in fields {
      let bytes = Array(text.utf8) + [0]
      file += Array(String(key).utf8) + [UInt8(bytes.count >> 8), UInt8(bytes.count & 0xFF)] + bytes
    }
    return file + Array("e".utf8) + bigEndian(UInt32(payload.count)) + payload
  }

  private static func bigEndian(_ value: UInt32) -> [UInt8] {
    withUnsafeBytes(of: value.bigEndian, Array.init)
  }

  /// What an image says it is; `nil`: it says nothing.
  static func target(in image: [UInt8]) -> Target? {
    for image in [image, swapped(image)] {
      guard let start = image.firstRange(of: marker)?.upperBound else { continue }
      let words = String(decoding: image[start...].prefix(200).prefix { $0 != 10 }, as: UTF8.self)
        .split(separator: " ").map(String.init)
      guard words.count == 3, let configuration = try? HardwareConfiguration(name: words[1]),
        let profile = HardwareProfile.named(words[2])
      else { continue }
      return try? Target(name: words[0], configuration: configuration, profile: profile)
    }
    return nil
  }

  /// Why the board's FPGA does not come up with this image; `nil` if it does.
  static func refusal(of image: [UInt8], for board: Board) -> String? {
    switch board.configuration.family {
    case .cycloneV:
      return image.prefix(32).allSatisfy { $0 == 0xFF } ? nil : "no configuration data"
    case .zynq7000, .zynqUltraScale:
      // The firmware of ZynqMP takes both byte orders; the driver for Zynq-7000 has looked before.
      let upright = image.starts(with: sync, within: headerBytesMax) ? image : swapped(image)
      guard let start = upright.prefix(headerBytesMax).firstRange(of: sync)?.upperBound else {
        return "no sync word"
      }
      guard let packet = upright[start...].firstRange(of: writeIDCode)?.upperBound,
        upright.count >= packet + 4
      else { return "no IDCODE" }
      let found = upright[packet..<packet + 4].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
      return (found ^ board.idcode) & 0x0FFF_FFFF == 0 ? nil : "it is for another part"
    }
  }

  /// Whether each 32-bit word is byte-swapped, as the Zynq-7000 driver demands.
  static func isSwapped(_ image: [UInt8]) -> Bool {
    image.starts(with: sync.reversed(), within: headerBytesMax)
  }

  private static func swapped(_ image: [UInt8]) -> [UInt8] {
    var result = image
    for index in 0..<image.count / 4 { result[4 * index..<4 * index + 4].reverse() }
    return result
  }
}

extension [UInt8] {
  /// Whether the word is there, on a multiple of four.
  fileprivate func starts(with word: [UInt8], within limit: Int) -> Bool {
    stride(from: 0, to: Swift.min(count - 3, limit), by: 4).contains { self[$0..<$0 + 4].elementsEqual(word) }
  }
}

extension Collection<UInt8> where SubSequence: Collection<UInt8> {
  fileprivate func firstRange(of bytes: [UInt8]) -> Range<Index>? {
    var start = startIndex
    while let found = self[start...].firstIndex(of: bytes[0]) {
      let rest = self[found...]
      if rest.starts(with: bytes) { return found..<index(found, offsetBy: bytes.count) }
      start = index(after: found)
    }
    return nil
  }
}
