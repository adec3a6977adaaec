import VTA
import VTACableModels

@testable import VTAJTAG

/// A cable on a bus of its own, in front of a chain.
enum CableKind: String, CaseIterable {
  case ft2232d
  case ft2232h
  case ft4232h
  case ft232h
  case blaster1
  case blaster2

  /// Of TCK, at most.
  var hertz: Int {
    switch self {
    case .ft2232d: 6_000_000
    case .ft2232h, .ft4232h, .ft232h: CableOptions.defaultHertz
    case .blaster1, .blaster2: 24_000_000
    }
  }

  func make(_ wires: JTAGWires) -> CableUnderTest { CableUnderTest(self, wires) }
}

final class CableUnderTest {
  let kind: CableKind
  let bus = FakeBus()
  let fake: any FakeDevice
  let wires: JTAGWires

  init(_ kind: CableKind, _ wires: JTAGWires) {
    self.kind = kind
    self.wires = wires
    let texts: [USBText: String] = [
      .manufacturer: "Digilent", .product: "Digilent USB Device", .serial: "210308",
    ]
    switch kind {
    case .ft2232d: fake = FakeFTDI(.ft2232d, wires: wires, texts: texts)
    case .ft2232h: fake = FakeFTDI(.ft2232h, wires: wires, texts: texts)
    case .ft4232h: fake = FakeFTDI(.ft4232h, wires: wires, texts: texts)
    case .ft232h: fake = FakeFTDI(.ft232h, wires: wires, texts: texts)
    case .blaster1: fake = FakeBlaster1(wires: wires)
    case .blaster2:
      fake = FakeBlaster2(wires: wires)
      (fake as? FakeBlaster2)?.bus = bus
    }
    fake.kernelDrivers = [0: "ftdi_sio", 1: "ftdi_sio"]
    bus.plugged = [fake]
  }

  /// What broke the rules of the cable.
  var complaints: [String] {
    switch fake {
    case let fake as FakeFTDI:
      // Two on purpose, to see whether the engine listens.
      (fake.badOpcodes.allSatisfy { $0 == 0xAA || $0 == 0xAB } ? [] : ["bad opcodes \(fake.badOpcodes)"])
        + (fake.lateAnswers == 0 ? [] : ["\(fake.lateAnswers) answers waited for the latency timer"])
    case let fake as FakeBlaster1: fake.complaints
    case let fake as FakeBlaster2: fake.complaints
    default: ["unknown fake"]
    }
  }

  var bytesReceived: Int {
    switch fake {
    case let fake as FakeFTDI: fake.bytesReceived
    case let fake as FakeBlaster1: fake.bytesReceived
    case let fake as FakeBlaster2: fake.bytesReceived
    default: 0
    }
  }

  func open(hertz: Int = CableOptions.defaultHertz) throws -> any JTAGCable {
    guard let found = try CableFinder.find(on: bus).first else {
      throw JTAGError.usb(USBError("find", "1-1", .notFound))
    }
    return try CableFinder.open(found, options: CableOptions(hertz: hertz), on: bus)
  }

  /// All kernel's drivers are back, nothing is open.
  var isGivenBack: Bool { bus.isClean && (bus.plugged.isEmpty || fake.kernelDrivers.count == 2) }
}

/// Bitstreams made up for the models.
enum Image {
  static func words(idcode: UInt32, part: String, byteCount: Int, seed: UInt64 = 1) -> ConfigurationImage {
    var generator = SeededGenerator(seed: seed)
    var bytes = [UInt8](repeating: 0xFF, count: 32)
    func add(_ word: UInt32) {
      for shift in [24, 16, 8, 0] { bytes.append(UInt8(truncatingIfNeeded: word >> shift)) }
    }
    // Bus width detection and synchronisation as in the published files, then what the model reads.
    for word: UInt32 in [0xBB, 0x1122_0044, .max, .max, 0xAA99_5566, 0x2000_0000] { add(word) }
    add(0x3001_8001)
    add(idcode & 0x0FFF_FFFF)
    while bytes.count + 24 < byteCount { add(UInt32.random(in: .min ... .max, using: &generator)) }
    add(0x3000_8001)
    add(0x0000_000D)
    while bytes.count < byteCount { add(0x2000_0000) }
    return ConfigurationImage(format: .words, part: part, idcode: idcode & 0x0FFF_FFFF, payload: bytes[...])
  }

  static func rbf(byteCount: Int, seed: UInt64 = 1) -> ConfigurationImage {
    var generator = SeededGenerator(seed: seed)
    var bytes = [UInt8](repeating: 0xFF, count: 32) + [0x6A, 0x6A, 0x6A, 0x6A]
    while bytes.count < byteCount { bytes.append(UInt8.random(in: .min ... .max, using: &generator)) }
    return ConfigurationImage(format: .rbf, part: nil, idcode: nil, payload: bytes[...])
  }
}

/// A board with its chain, what configures it, and what it must have received then.
enum BoardUnderTest: String, CaseIterable {
  case zynq7000
  case zynqMP
  case hiddenZynqMP
  case cycloneV

  struct Setup {
    let wires: JTAGWires
    let image: ConfigurationImage
    let family: DeviceModel.Family
    /// Bits in the order of their arrival, bit 0 of byte 0 first.
    let received: () -> (bytes: [UInt8], bitCount: Int)
    /// Bits of bypasses on the way that arrive first.
    let leading: Int
    let isConfigured: () -> Bool
    let complaints: () -> [String]
  }

  func setup(byteCount: Int = 3000, hertz: Int) -> Setup {
    switch self {
    case .zynq7000:
      let (wires, fpga) = BoardModel.zynq7000()
      return Setup(
        wires: wires, image: Image.words(idcode: 0x0372_7093, part: "7z020clg484", byteCount: byteCount),
        family: .zynq7000, received: { fpga.logic.received }, leading: 1,
        isConfigured: { fpga.logic.isDone }, complaints: { fpga.logic.complaints })
    case .zynqMP, .hiddenZynqMP:
      let (wires, device) = BoardModel.zynqMP(isHidden: self == .hiddenZynqMP)
      return Setup(
        wires: wires,
        image: Image.words(idcode: 0x0471_0093, part: "xczu3eg-sbva484-1-e", byteCount: byteCount),
        family: .zynqMP, received: { device.logic.received }, leading: 0,
        isConfigured: { device.logic.isDone }, complaints: { device.logic.complaints })
    case .cycloneV:
      let (wires, fpga) = BoardModel.cycloneV(expectedBytes: byteCount, hertz: hertz)
      return Setup(
        wires: wires, image: Image.rbf(byteCount: byteCount), family: .cycloneV,
        received: { fpga.received }, leading: 0, isConfigured: { fpga.isUserMode },
        complaints: { fpga.complaints })
    }
  }
}

extension CableUnderTest {
  /// Scans and programs as the command does.
  @discardableResult
  func program(
    _ setup: BoardUnderTest.Setup, image: ConfigurationImage? = nil,
    advance: (Int) throws(JTAGError) -> Void = { _ in }
  ) throws -> Programmer.Report {
    let tap = TAPController(try open())
    defer { tap.cable.close() }
    let chain = try ChainScan(tap).run()
    let position = chain.positions { $0.family == setup.family }[0]
    let programmer = try Programmer(tap, chain, position: position, image: image ?? setup.image)
    return try programmer.run(advance: advance)
  }
}
