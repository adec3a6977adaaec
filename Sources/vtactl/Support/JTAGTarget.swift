internal import VTAJTAG
internal import VTARuntime

/// The device behind a cable that a bitstream goes to.
struct JTAGTarget {
  let scan: CableScan
  let position: Int
  let model: DeviceModel
  let idcode: UInt32

  /// The only device that fits.
  ///
  /// - Throws: if there is none, or several.
  static func choose(
    for bitstream: Bitstream, board: Board?, among scans: [CableScan]
  ) throws(Failure) -> JTAGTarget {
    let fitting = scans.flatMap { scan in
      (scan.chain?.devices ?? []).enumerated().compactMap { position, device -> JTAGTarget? in
        guard let model = device.model, let idcode = device.idcode else { return nil }
        let fits = board.map { $0.hasDevice(idcode: idcode) } ?? bitstream.isFor(model, idcode: idcode)
        return fits ? JTAGTarget(scan: scan, position: position, model: model, idcode: idcode) : nil
      }
    }
    if fitting.isEmpty {
      if let problem = scans.compactMap(\.problem).first { throw Failure("jtag", problem) }
      let chains = scans.compactMap(\.chain).map(\.summary)
      guard !chains.isEmpty else {
        throw Failure("jtag", "no cable was looked behind: they may be serial ports; name one with --cable")
      }
      let wanted = board.map { "\($0.part) of \($0.title)" } ?? bitstream.device
      throw Failure("jtag", JTAGError.notInChain(device: wanted, devices: chains.joined(separator: "; ")))
    }
    guard fitting.count == 1 else {
      let cables = fitting.map(\.scan.cable.device.path)
      guard Set(cables).count > 1 else {
        throw Failure(
          "jtag", JTAGError.ambiguous(device: fitting[0].model.name, positions: fitting.map(\.position)))
      }
      throw Failure(
        "jtag", "the bitstream fits boards behind \(cables.joined(separator: ", ")); name one with --cable")
    }
    return fitting[0]
  }
}

extension Bitstream {
  /// Whether the file's contents speak for this device. An `.rbf` file speaks for every Cyclone V.
  fileprivate func isFor(_ model: DeviceModel, idcode: UInt32) -> Bool {
    if format == .rbf { return model.family == .cycloneV }
    if let part = header?.part { return model.accepts(part: part) }
    return self.idcode.map { DeviceModel.with(idcode: $0) == model } ?? false
  }

  fileprivate var device: String {
    if format == .rbf { return "Cyclone V" }
    return header?.part ?? idcode.flatMap(DeviceModel.with(idcode:))?.name
      ?? "device that the file does not name (use --board)"
  }
}
