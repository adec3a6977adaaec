internal import ArgumentParser
internal import VTAJTAG

/// Which cable a JTAG command uses, and how.
struct CableArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The cable, by its place (1-4.2) or serial number. A chip that may be a serial port is used only if named.",
      valueName: "name"))
  var cable: String?

  @Option(help: ArgumentHelp("Clock rate in MHz; a USB-Blaster has its own.", valueName: "mhz"))
  var frequency: Double = Double(CableOptions.defaultHertz) / 1e6

  @Option(
    help: ArgumentHelp(
      "Firmware for a USB-Blaster II after power-up: Intel's blaster_6810.hex, from quartus/linux64.",
      valueName: "file.hex"), completion: .file(extensions: ["hex"]))
  var firmware: String?

  private static let firmwareBytesMax = 1 << 20

  /// Below, waits that are counted in clocks would outlast the time in which a cable must answer.
  private static let frequencies = 0.25...30.0

  static func check(frequency: Double) throws {
    guard frequencies.contains(frequency) else {
      throw ValidationError(
        "--frequency \(frequency): is no rate between \(frequencies.lowerBound) and \(frequencies.upperBound) MHz"
      )
    }
  }

  func validate() throws { try Self.check(frequency: frequency) }

  func options() throws(Failure) -> CableOptions {
    var options = CableOptions(hertz: Int(frequency * 1e6))
    if let firmware {
      let text = try FileInput.read(firmware, limit: Self.firmwareBytesMax)
      do { options.firmware = try IntelHex(text) } catch { throw Failure(firmware, error) }
    }
    return options
  }

  /// What is behind the cables.
  ///
  /// - Throws: if there is no cable at all.
  func scan(
    options: CableOptions, wait: Duration = .zero, on bus: any USBBus
  ) throws(Failure) -> [CableScan] {
    let scans: [CableScan]
    do {
      scans = try CableScan.run(named: cable, options: options, wait: wait, on: bus)
    } catch {
      throw Failure("jtag", error)
    }
    guard !scans.isEmpty else {
      throw Failure(
        "jtag",
        cable.map { "there is no cable \($0); vtactl jtag scan lists those that are plugged in" }
          ?? "no JTAG cable is plugged in; connect the board's USB port for JTAG")
    }
    return scans
  }

  static func bus() throws(Failure) -> any USBBus {
    do { return try LibUSBBus() } catch { throw Failure("jtag", error) }
  }
}
