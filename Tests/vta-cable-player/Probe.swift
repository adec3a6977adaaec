import ArgumentParser

@testable import VTAJTAG

/// Asks a FT232 at the lowest level of the cables: what QEMU plays was written by others, from the same chip.
struct Probe: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "probe", abstract: "Opens a FT232 (0403:6001), sets it up, and reads a line of zeros.")

  func run() throws {
    let bus = try LibUSBBus()
    guard let device = try bus.devices().first(where: { $0.vendor == 0x0403 && $0.product == 0x6001 }) else {
      throw ValidationError("there is no FT232")
    }
    let connection = try USBConnection(opening: device, interface: 0, on: bus)
    let port = try FTDIPort(connection, index: 0)
    try port.reset(.port)
    try port.reset(.receiveBuffer)
    try port.request(.latencyTimer, value: 2)
    let latency = try connection.controlIn(USBRequest(0x0A, value: 0), byteCount: 1)
    try port.write(Array("anything".utf8))
    // The line is all zeros; the status bytes before each packet's data are not.
    let data = try port.read(200)
    guard latency == [2], data.allSatisfy({ $0 == 0 }) else {
      throw ValidationError("latency \(latency), data \(data)")
    }
    print("\(device.path): latency timer 2 ms, \(data.count) bytes")
  }
}
