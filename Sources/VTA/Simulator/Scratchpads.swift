/// The accelerator's on-chip memories, one lane per array element.
///
/// Lanes of a tile are row-major (section 3.1): INP (b, k), WGT (o, k), ACC and OUT (b, o).
struct Scratchpads {
  let inpLanes: Int
  let wgtLanes: Int
  let accLanes: Int
  var inp: [Int8]
  var wgt: [Int8]
  var acc: [Int32]
  /// Empty where STORE reads a truncated view of ACC.
  var out: [Int8]
  var uop: [MicroOp]

  init(_ target: Target) {
    let c = target.configuration
    inpLanes = c.batch * c.block
    wgtLanes = c.block * c.block
    accLanes = c.batch * c.block
    inp = Array(repeating: 0, count: c.depth(.inp) * inpLanes)
    wgt = Array(repeating: 0, count: c.depth(.wgt) * wgtLanes)
    acc = Array(repeating: 0, count: c.depth(.acc) * accLanes)
    out = target.profile.hasSeparateOutBuffer ? Array(repeating: 0, count: c.depth(.acc) * accLanes) : []
    uop = Array(repeating: MicroOp(dst: 0, src: 0), count: target.profile.microOpDepth(c))
  }

  /// Sign-extends little-endian lanes of `bits` (1…8) bits, lane 0 in the low bits.
  static func unpack(
    _ bytes: UnsafeRawBufferPointer, bits: Int, into lanes: inout [Int8], at start: Int
  ) {
    if bits == 8 {
      for index in 0..<bytes.count { lanes[start + index] = Int8(bitPattern: bytes[index]) }
      return
    }
    let perByte = 8 / bits
    for index in 0..<bytes.count * perByte {
      let raw = bytes[index / perByte] >> UInt8(index % perByte * bits)
      lanes[start + index] = signExtend(raw, bits: bits)
    }
  }

  /// The low `bits` bits of a value as a signed number.
  static func signExtend(_ value: UInt8, bits: Int) -> Int8 {
    Int8(bitPattern: value << UInt8(8 - bits)) >> Int8(8 - bits)
  }

  /// What OUT holds of a 32-bit result: plain truncation, never saturation (section 3.5).
  static func truncate(_ value: Int32, bits: Int) -> Int8 {
    signExtend(UInt8(truncatingIfNeeded: value), bits: bits)
  }
}
