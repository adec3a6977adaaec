/// One device of a chain, addressed while the others are bypassed.
struct TargetDevice {
  let tap: TAPController
  let chain: Chain
  let position: Int
  let model: DeviceModel
  private let lengths: [Int]

  init(_ tap: TAPController, _ chain: Chain, _ position: Int, _ model: DeviceModel) throws(JTAGError) {
    self.tap = tap
    self.chain = chain
    self.position = position
    self.model = model
    lengths = chain.devices.compactMap(\.instructionLength)
    guard lengths.count == chain.devices.count else {
      throw .unknownInstructionLength(devices: chain.summary)
    }
  }

  /// Loads an instruction, BYPASS into the other devices.
  ///
  /// - Returns: what the device's instruction register captured.
  /// - Throws: ``JTAGError/badCapture(position:bits:)`` if any device's capture lacks the pattern that the standard demands.
  @discardableResult
  func instruct(_ instruction: UInt64) throws(JTAGError) -> UInt64 {
    var bits = BitString()
    for (index, length) in lengths.enumerated() {
      if index == position {
        bits.append(instruction, count: length)
      } else {
        bits.append(BitString(repeating: true, count: length))
      }
    }
    let answer = try tap.exchangeIR(bits)
    var start = 0
    var captured: UInt64 = 0
    for (index, length) in lengths.enumerated() {
      let bits = answer.value(start..<start + min(length, 64))
      guard bits & 0b11 == 0b01 else { throw .badCapture(position: index, bits: bits) }
      if index == position { captured = bits }
      start += length
    }
    return captured
  }

  /// Devices between TDI and this one, each a bit of bypass on the way.
  private var bitsBefore: Int { chain.devices.count - position - 1 }

  /// Shifts bits into the data register that the last instruction selected.
  ///
  /// - Returns: what was in it.
  @discardableResult
  func exchange(_ bits: BitString) throws(JTAGError) -> BitString {
    var all = BitString(repeating: true, count: position)
    all.append(bits)
    all.append(BitString(repeating: true, count: bitsBefore))
    return try tap.exchangeDR(all)[position..<position + bits.count]
  }

  /// Shifts bytes into the device for as long as the data lasts; the device takes them as they come, so what the bypasses
  /// before it hold back is pushed out at the end.
  ///
  /// - Parameters:
  ///   - transform: of a part of the bytes before it is sent.
  ///   - advance: called after each part with the bytes sent so far; what it throws ends the transfer.
  func stream(
    _ bytes: ArraySlice<UInt8>, transform: (inout [UInt8]) -> Void, advance: (Int) throws(JTAGError) -> Void
  ) throws(JTAGError) {
    var rest = bytes
    while !rest.isEmpty {
      var part = Array(rest.prefix(Self.partBytes))
      rest = rest.dropFirst(part.count)
      transform(&part)
      let tail: BitString? = rest.isEmpty ? BitString(repeating: true, count: bitsBefore) : nil
      try part.withUnsafeBytesTyped { (bytes) throws(JTAGError) in try tap.streamDR(bytes, tail: tail) }
      try advance(bytes.count - rest.count)
    }
  }

  /// About a hundredth of a second at 30 MHz: an interruption is noticed soon.
  private static let partBytes = 1 << 15
}
