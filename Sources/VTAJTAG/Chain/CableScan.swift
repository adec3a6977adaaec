/// A cable that is plugged in, and the chain behind it.
package struct CableScan: Equatable, Sendable {
  package enum Outcome: Equatable, Sendable {
    case chain(Chain)
    case failed(JTAGError)
    /// It may be something else than a JTAG cable, and nobody named it.
    case notAsked
  }

  package let cable: FoundCable
  package let outcome: Outcome

  package var chain: Chain? {
    if case .chain(let chain) = outcome { chain } else { nil }
  }

  package var problem: JTAGError? {
    if case .failed(let error) = outcome { error } else { nil }
  }

  /// Looks behind every cable, or behind the one that is named.
  ///
  /// - Parameters:
  ///   - name: the cable's path or serial number.
  ///   - wait: how long to wait for a cable to be plugged in if there is none.
  package static func run(
    named name: String? = nil, options: CableOptions, wait: Duration = .zero, on bus: any USBBus
  ) throws(JTAGError) -> [CableScan] {
    let deadline = bus.now + wait
    while true {
      let found = try CableFinder.find(on: bus).filter { cable in name.map(cable.isNamed) ?? true }
      let scans = found.map { cable in
        // Only a name lets something be driven that may be a serial port.
        CableScan(cable: cable, outcome: name != nil || cable.isJTAG ? look(cable, options, bus) : .notAsked)
      }
      if scans.contains(where: { $0.outcome != .notAsked }) || bus.now >= deadline { return scans }
      try JTAGError.wrap { () throws(USBError) in try bus.waitForChange(until: deadline) }
    }
  }

  private static func look(_ cable: FoundCable, _ options: CableOptions, _ bus: any USBBus) -> Outcome {
    do throws(JTAGError) {
      let open = try CableFinder.open(cable, options: options, on: bus)
      defer { open.close() }
      return .chain(try ChainScan(TAPController(open)).run())
    } catch {
      return .failed(error)
    }
  }

  /// Opens the cable once more. It is looked for again: one that got its firmware in the scan is another device since.
  package func reopen(options: CableOptions, on bus: any USBBus) throws(JTAGError) -> any JTAGCable {
    guard let found = try CableFinder.find(on: bus).first(where: { $0.device.path == cable.device.path })
    else {
      throw .usb(USBError("open", cable.device.path, .unplugged))
    }
    return try CableFinder.open(found, options: options, on: bus)
  }
}
