internal import SystemPackage
internal import VTA

/// Registers of the SoC through `/dev/mem`.
struct SystemRegisters {
  static let path = "/dev/mem"

  private let file: OpenFile

  init(on kernel: any Kernel) throws(KernelError) {
    file = try OpenFile(Self.path, .readWrite, on: kernel)
  }

  /// The page at an address.
  func page(_ address: PhysicalAddress) throws(KernelError) -> any RegisterBlock {
    let page = UInt64(Limits.pageBytes)
    return try file.kernel.mapRegisters(
      file.descriptor, offset: address.rawValue / page * page, byteCount: Limits.pageBytes)
  }

  func read(_ address: PhysicalAddress) throws(KernelError) -> UInt32 {
    try page(address).read(Self.offset(address))
  }

  /// Sets the bits and leaves the others, unless they are right already.
  /// - Throws: ``KernelError``, also if the register does not keep them.
  func set(_ bits: Board.RegisterBits) throws(KernelError) {
    let registers = try page(bits.address)
    let offset = Self.offset(bits.address)
    let found = registers.read(offset)
    if found & bits.mask == bits.value { return }
    registers.write(offset, found & ~bits.mask | bits.value)
    guard registers.read(offset) & bits.mask == bits.value else {
      throw KernelError("write 0x\(String(bits.address.rawValue, radix: 16)) in", Self.path, .ioError)
    }
  }

  private static func offset(_ address: PhysicalAddress) -> Int {
    Int(address.rawValue % UInt64(Limits.pageBytes))
  }
}
