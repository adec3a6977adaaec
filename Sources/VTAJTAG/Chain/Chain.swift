/// The devices behind a cable, as a scan found them.
package struct Chain: Equatable, Sendable {
  package struct Device: Equatable, Sendable {
    /// `nil` if it has none, and answers as a bypass.
    package let idcode: UInt32?
    /// `nil`: unknown.
    package let model: DeviceModel?
    /// `nil`: unknown.
    package let instructionLength: Int?

    /// What is known of it, in a few words.
    package var name: String {
      if let model { return model.name }
      return idcode.map { "unknown \(JTAGError.hex($0))" } ?? "a device without IDCODE"
    }
  }

  /// The first is the one next to TDO.
  package let devices: [Device]
  /// Of all instruction registers together, as measured.
  package let instructionBits: Int

  /// `Arm DAP, xczu3cg/eg`
  package var summary: String { devices.map(\.name).joined(separator: ", ") }

  /// Whether the FPGA part of the Zynq UltraScale+ at this position is hidden: then its debug port, next to it, is a bypass
  /// without IDCODE.
  package func isHidden(_ position: Int) -> Bool {
    devices[position].model?.family == .zynqMP && position > 0 && devices[position - 1].idcode == nil
  }

  /// The positions of devices with such a model.
  package func positions(where matches: (DeviceModel) -> Bool) -> [Int] {
    devices.indices.filter { devices[$0].model.map(matches) ?? false }
  }
}

/// Finds out what the chain consists of; leaves all devices in Test-Logic-Reset.
package struct ChainScan {
  private let tap: TAPController

  package static let devicesMax = 32
  private static let instructionBitsMax = 24 * devicesMax
  /// Of the debug port's place while it is hidden.
  private static let hiddenPortLength = 4

  package init(_ tap: TAPController) { self.tap = tap }

  /// After a reset each device presents its IDCODE, or one zero if it has none; ones were shifted in behind them.
  package func run() throws(JTAGError) -> Chain {
    try tap.reset()
    let idcodes = try self.idcodes()
    let bits = try instructionBits()
    try tap.reset()
    try tap.cable.flush()
    return Chain(devices: try devices(idcodes, bits), instructionBits: bits)
  }

  private func idcodes() throws(JTAGError) -> [UInt32?] {
    var window = BitString()
    var start = 0
    let ones = BitString(repeating: true, count: 32)
    var found: [UInt32?] = []
    var sawOne = false
    while true {
      while window.count < start + 32 { window.append(try tap.peekDR(ones)) }
      let word = UInt32(window.value(start..<start + 32))
      if word == .max { break }
      sawOne = sawOne || word != 0
      if found.count == Self.devicesMax {
        throw sawOne ? .tooManyDevices(limit: Self.devicesMax) : .stuckTDO(high: false)
      }
      let hasCode = word & 1 == 1
      found.append(hasCode ? word : nil)
      start += hasCode ? 32 : 1
    }
    guard !found.isEmpty else { throw .stuckTDO(high: true) }
    return found
  }

  /// Fills all instruction registers with ones (BYPASS), then counts the clocks that a single zero takes through them; ones
  /// follow it, so that nothing but BYPASS is ever loaded.
  private func instructionBits() throws(JTAGError) -> Int {
    var bits = BitString(repeating: true, count: Self.instructionBitsMax)
    bits.append(false)
    bits.append(BitString(repeating: true, count: Self.instructionBitsMax))
    let answer = try tap.exchangeIR(bits)
    let start = Self.instructionBitsMax
    guard let zero = (start..<answer.count).first(where: { !answer[$0] }) else { throw .stuckTDO(high: true) }
    guard zero > start else { throw .stuckTDO(high: false) }
    return zero - start
  }

  private func devices(_ idcodes: [UInt32?], _ bits: Int) throws(JTAGError) -> [Chain.Device] {
    let models = idcodes.map { $0.flatMap(DeviceModel.with(idcode:)) }
    var lengths = models.map { $0?.instructionLength }
    for index in idcodes.indices.dropLast()
    where idcodes[index] == nil && models[index + 1]?.family == .zynqMP {
      lengths[index] = Self.hiddenPortLength
    }
    let known = lengths.reduce(0) { $0 + ($1 ?? 0) }
    let unknown = lengths.indices.filter { lengths[$0] == nil }
    // A single unknown length is what remains.
    if unknown.count == 1, bits - known >= 2 { lengths[unknown[0]] = bits - known }
    if unknown.isEmpty, known != bits { throw .instructionLengths(expected: known, found: bits) }
    return zip(idcodes, zip(models, lengths)).map {
      Chain.Device(idcode: $0, model: $1.0, instructionLength: $1.1)
    }
  }
}
