import ArgumentParser
import Glibc
import VTACableModels
import VTAJTAG

@main struct Player: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "vta-cable-player", abstract: "Plays JTAG cables for the kernel's vhci-hcd: make test-qemu.",
    subcommands: [Play.self, Probe.self], defaultSubcommand: Play.self)
}

/// Plugs a played cable with a board behind it into this machine's kernel, and writes down what the FPGA received.
struct Play: ParsableCommand {
  enum Cable: String, CaseIterable, ExpressibleByArgument {
    /// FT4232H, an XCZU7EV whose FPGA is hidden.
    case zcu104
    /// FT2232H, an XC7Z020.
    case pynq
    /// USB-Blaster II without firmware, a Cyclone V.
    case de10nano
    /// USB-Blaster, a Cyclone V.
    case blaster
    /// FT232H that says nothing of JTAG.
    case serial
  }

  @Argument var cable: Cable
  @Argument(help: "Port of the virtual controller.") var port: Int
  @Argument(help: "Where the bytes that configured the FPGA are written, in the order of their file.")
  var output: String
  @Option(help: "Length of an .rbf file.") var rbfBytes = 0
  @Option(help: "A line of Intel HEX, which a USB-Blaster II must be given before it starts.") var firmware:
    String?

  func run() throws {
    let bus = FakeBus()
    let (fake, isConfigured, received) = try make(bus)
    bus.plugged = [fake]
    let server = USBIPServer(fake, port: port)
    var isWritten = false
    while true {
      try server.attach()
      server.serve {
        if isConfigured() != isWritten {
          isWritten.toggle()
          if isWritten { try? write(received()) }
        }
        return bus.plugged.isEmpty
      }
      server.detach()
      // Either the kernel hung up, or the cable left the bus to come back with its firmware.
      guard bus.plugged.isEmpty else { return }
      sleep(1)
      while bus.plugged.isEmpty { bus.onWait?() }
    }
  }

  private func write(_ bytes: [UInt8]) throws {
    let file = Glibc.open(output, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    guard file >= 0 else { throw PlayerError("open \(output)") }
    defer { close(file) }
    var start = 0
    while start < bytes.count {
      let count = bytes[start...].withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
      guard count > 0 else { throw PlayerError("write \(output)") }
      start += count
    }
  }

  private func make(_ bus: FakeBus) throws -> (
    any FakeDevice, isConfigured: () -> Bool, received: () -> [UInt8]
  ) {
    switch cable {
    case .zcu104:
      let (wires, device) = BoardModel.zynqMP(idcode: 0x1473_0093, isHidden: true)
      let texts: [USBText: String] = [
        .manufacturer: "Xilinx", .product: "HW-Z1-ZCU104 FT4232H", .serial: "88127A",
      ]
      return (
        FakeFTDI(.ft4232h, wires: wires, texts: texts), { device.logic.isDone },
        { device.logic.file(leading: 0) }
      )
    case .pynq:
      let (wires, fpga) = BoardModel.zynq7000()
      let texts: [USBText: String] = [
        .manufacturer: "Digilent", .product: "Digilent Adept USB Device", .serial: "003017A",
      ]
      return (
        FakeFTDI(.ft2232h, wires: wires, texts: texts), { fpga.logic.isDone }, { fpga.logic.file(leading: 1) }
      )
    case .serial:
      let texts: [USBText: String] = [.manufacturer: "FTDI", .product: "FT232H", .serial: "FT1"]
      return (FakeFTDI(.ft232h, wires: BoardModel.strangers([]), texts: texts), { false }, { [] })
    case .de10nano, .blaster:
      let (wires, fpga) = BoardModel.cycloneV(expectedBytes: rbfBytes, hertz: 24_000_000)
      let isConfigured = { fpga.isUserMode }
      let received = { fpga.received.bytes }
      if cable == .blaster { return (FakeBlaster1(wires: wires), isConfigured, received) }
      var memory: [UInt16: UInt8] = [:]
      for piece in try IntelHex(Array("\(firmware ?? "")\n:00000001FF".utf8)).pieces {
        for (offset, byte) in piece.bytes.enumerated() { memory[piece.address &+ UInt16(offset)] = byte }
      }
      let fake = FakeBlaster2(wires: wires, firmware: memory)
      fake.bus = bus
      return (fake, isConfigured, received)
    }
  }
}

extension ConfigurationLogic {
  /// What the device received, in the order of its file.
  ///
  /// - Parameter leading: bits of bypasses that came first.
  fileprivate func file(leading: Int) -> [UInt8] {
    let (bytes, count) = received
    return (0..<(count - leading) / 8).map { index in
      (0..<8).reduce(UInt8(0)) { byte, bit in
        let position = 8 * index + bit + leading
        return byte << 1 | bytes[position / 8] >> (position % 8) & 1
      }
    }
  }
}
