internal import VTA

/// A small program as bytes, without addresses that a fuzzer would have to guess: the target's number, the count of
/// instructions, the instructions, and the contents of read-only memory at 0x1000. 64 KiB from 0x100000 on can be
/// written.
enum CompactProgram {
  static let constantAddress: UInt64 = 0x1000
  static let workspaceAddress: UInt64 = 0x10_0000
  static let byteCountMax = 1 << 16
  static let instructionsMax = 255
  static let targets: [Target] = Target.named

  static func decode(_ bytes: [UInt8]) -> MachineProgram? {
    guard bytes.count >= 2 else { return nil }
    let target = targets[Int(bytes[0]) % targets.count]
    let end = 2 + Int(bytes[1]) * Limits.instructionBytes
    guard end <= bytes.count, bytes.count - end <= byteCountMax else { return nil }
    return MachineProgram(
      name: "compact", target: target, words: bytes[2..<end].withUnsafeBytes { InstructionWords.stream($0) },
      segments: [
        .init(address: constantAddress, bytes: Array(bytes[end...]), isWritable: false),
        .init(
          address: workspaceAddress, bytes: [UInt8](repeating: 0, count: byteCountMax), isWritable: true),
      ])
  }

  /// The same program with its segments moved to where this layout has them; `nil` if it is too large for it.
  static func encode(_ program: MachineProgram) throws -> [UInt8]? {
    guard program.words.count <= instructionsMax,
      let number = targets.firstIndex(where: {
        $0.configuration == program.target.configuration && $0.profile == program.target.profile
      })
    else { return nil }
    var image: [UInt8] = []
    var workspace = workspaceAddress
    var moved: [(old: Range<UInt64>, new: UInt64)] = []
    for segment in program.segments where !segment.bytes.isEmpty {
      let old = segment.address..<segment.end
      if segment.isWritable {
        moved.append((old, workspace))
        let pages = (UInt64(segment.bytes.count) + Limits.regionAlignment - 1) / Limits.regionAlignment
        workspace += pages * Limits.regionAlignment
      } else {
        image += [UInt8](repeating: 0, count: -image.count & 4095)
        moved.append((old, constantAddress + UInt64(image.count)))
        image += segment.bytes
      }
    }
    guard image.count <= byteCountMax, workspace - workspaceAddress <= UInt64(byteCountMax) else {
      return nil
    }
    let c = program.target.configuration
    let set = try InstructionSet(configuration: c, revision: program.target.profile.revision)
    var bytes = [UInt8(number), UInt8(program.words.count)]
    for word in program.words {
      var instruction = try set.decode(word)
      func move(_ transfer: Transfer) -> Transfer {
        let size = UInt64(c.elementBytes(transfer.memory))
        let address = UInt64(transfer.dramBase) * size
        var transfer = transfer
        if let place = moved.first(where: { $0.old.contains(address) }) {
          transfer.dramBase = UInt32((place.new + address - place.old.lowerBound) / size)
        }
        return transfer
      }
      switch instruction.operation {
      case .load(let transfer): instruction.operation = .load(move(transfer))
      case .store(let transfer): instruction.operation = .store(move(transfer))
      case .gemm, .alu, .finish: break
      }
      try set.encode(instruction).append(to: &bytes)
    }
    return bytes + image
  }
}
