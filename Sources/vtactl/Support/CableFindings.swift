private import VTAJTAG
internal import VTARuntime

/// What `vtactl doctor` says of JTAG cables: whether they may be used. No pin of them is driven.
enum CableFindings {
  static func find() -> FindingSection {
    do {
      return FindingSection("JTAG cables", try CableFinder.find(on: LibUSBBus()).map(finding))
    } catch {
      let fix = "JTAG cables can't be used on this machine; nothing else needs USB"
      return FindingSection("JTAG cables", [Finding("usb", .note, "\(error)", fix: fix)])
    }
  }

  private static func finding(_ cable: FoundCable) -> Finding {
    let name = "cable \(cable.device.path)"
    if let problem = cable.problem { return Finding(name, .warning, problem.problem, fix: problem.remedy) }
    switch cable.known.kind {
    case .unsupported:
      return Finding(name, .note, "\(cable.description): its protocol is not known here")
    case .blaster2Empty:
      return Finding(
        name, .note, "\(cable.description): needs --firmware, Intel's blaster_6810.hex, after each power-up")
    case .mpsse, .blaster1, .blaster2:
      let note =
        cable.isJTAG ? "may be used" : "may be a serial port; used only with --cable \(cable.device.path)"
      return Finding(name, cable.isJTAG ? .ok : .note, "\(cable.description): \(note)")
    }
  }
}
