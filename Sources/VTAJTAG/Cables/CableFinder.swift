/// The cables that are plugged in.
package struct FoundCable: Equatable, Sendable {
  package let device: USBDevice
  package let known: KnownCable
  /// The texts that the device gives; empty if it can't be opened.
  package let texts: [USBText: String]
  /// Why it can't be opened, if so.
  package let problem: USBError?

  /// Whether it may be driven without being named.
  package var isJTAG: Bool { known.isJTAG(texts: Array(texts.values)) }

  /// `Digilent USB Device 210308A5F2C1 (FT232H)`
  package var description: String {
    let words = USBText.allCases.compactMap { texts[$0] }.filter { !$0.isEmpty }
    return words.isEmpty ? known.name : "\(words.joined(separator: " ")) (\(known.name))"
  }

  /// What `--cable` takes: the path or the serial number.
  package func isNamed(_ name: String) -> Bool { device.path == name || texts[.serial] == name }
}

package struct CableOptions: Sendable {
  /// TCK where the cable can choose it.
  package var hertz: Int
  /// For a USB-Blaster II that has none.
  package var firmware: IntelHex?

  package static let defaultHertz = 15_000_000

  package init(hertz: Int = defaultHertz, firmware: IntelHex? = nil) {
    self.hertz = hertz
    self.firmware = firmware
  }
}

package enum CableFinder {
  /// Looks at the ids, and opens what may be a cable for its texts; drives no pin.
  package static func find(on bus: any USBBus) throws(JTAGError) -> [FoundCable] {
    var found: [FoundCable] = []
    for device in try JTAGError.wrap({ () throws(USBError) in try bus.devices() }) {
      guard let known = KnownCable.matching(device) else { continue }
      do throws(USBError) {
        found.append(FoundCable(device: device, known: known, texts: try texts(device, bus), problem: nil))
      } catch {
        // It left in between.
        if error.reason == .unplugged || error.reason == .notFound { continue }
        found.append(FoundCable(device: device, known: known, texts: [:], problem: error))
      }
    }
    return found.sorted { ($0.device.bus, $0.device.path) < ($1.device.bus, $1.device.path) }
  }

  private static func texts(_ device: USBDevice, _ bus: any USBBus) throws(USBError) -> [USBText: String] {
    let handle = try bus.open(device)
    defer { handle.close() }
    var texts: [USBText: String] = [:]
    for text in USBText.allCases { texts[text] = try handle.text(text) }
    return texts
  }

  /// Opens a cable, ready to move the chain behind it.
  package static func open(
    _ cable: FoundCable, options: CableOptions = CableOptions(), on bus: any USBBus
  ) throws(JTAGError) -> any JTAGCable {
    if let problem = cable.problem { throw .usb(problem) }
    let connect = { (device: USBDevice) throws(JTAGError) -> USBConnection in
      try USBConnection(opening: device, interface: 0, on: bus)
    }
    switch cable.known.kind {
    case .mpsse:
      guard let chip = FTDIChip.with(release: cable.device.release) else {
        throw .cable(
          path: cable.device.path,
          reason:
            "its chip (release \(String(cable.device.release, radix: 16))) has no serial engine that is known here"
        )
      }
      return try MPSSECable(
        try connect(cable.device), chip: chip, pins: cable.known.pins(texts: Array(cable.texts.values)),
        hertz: options.hertz)
    case .blaster1: return try BlasterCable(Blaster1Link(try connect(cable.device)))
    case .blaster2: return try BlasterCable(Blaster2Link(try connect(cable.device)))
    case .blaster2Empty:
      guard let firmware = options.firmware else { throw .firmwareNeeded(path: cable.device.path) }
      let device = try Blaster2Firmware.load(firmware, into: cable.device, on: bus)
      return try BlasterCable(Blaster2Link(try connect(device)))
    case .unsupported:
      throw .cable(
        path: cable.device.path,
        reason: "the protocol of \(cable.known.name) is not known here; use another cable")
    }
  }
}
