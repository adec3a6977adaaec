package import VTA

/// What the registers said when a run did not end.
package struct StallReport: Hashable, Sendable, CustomStringConvertible {
  package struct Entry: Hashable, Sendable {
    package let register: String
    package let value: UInt32
  }

  package let waited: Duration
  package let registers: [Entry]
  /// Blocks that say they are at work: what is not idle waits for something that never comes. Empty if the layout has no
  /// such bit.
  package let standing: [RegisterMap.Block]

  init(waited: Duration, registers device: DeviceRegisters) {
    self.waited = waited
    var entries: [Entry] = []
    var standing: [RegisterMap.Block] = []
    for register in device.map.registers {
      let value = device.read(register)
      entries.append(Entry(register: register.description, value: value))
      if let idle = register.bit("idle"), value & idle == 0 { standing.append(register.block) }
    }
    registers = entries
    self.standing = standing
  }

  package var description: String {
    let blocks = standing.map(\.rawValue).joined(separator: ", ")
    let values = registers.map { "\($0.register)=0x\(String($0.value, radix: 16))" }.joined(separator: " ")
    return "\(standing.isEmpty ? "" : "standing: \(blocks); ")after \(waited.milliseconds) ms \(values)"
  }
}

extension RegisterMap.Register {
  /// The mask of a bit by its name.
  func bit(_ name: String) -> UInt32? {
    bits.first { $0.value == name }.map { 1 << UInt32($0.key) }
  }
}

extension Duration {
  /// Whole ones.
  var milliseconds: Int64 { components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000 }
}
