/// Numbers of ioctl(2) requests, as asm-generic/ioctl.h makes them (the same on x86 and Arm).
enum IOCode {
  enum Direction: UInt {
    /// The kernel reads the argument (`_IOW`).
    case write = 1
    /// The kernel fills the argument in (`_IOR`).
    case read = 2
    /// Both (`_IOWR`).
    case exchange = 3
  }

  static func request(_ direction: Direction, _ type: UInt8, _ number: UInt8, byteCount: Int) -> UInt {
    direction.rawValue << 30 | UInt(byteCount & 0x3FFF) << 16 | UInt(type) << 8 | UInt(number)
  }
}
