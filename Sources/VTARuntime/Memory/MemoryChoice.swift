internal import VTA

/// Which contiguous memory a device takes: what the configuration names, or the first that is there.
package enum MemoryChoice: Hashable, Sendable {
  case any
  case named(kind: Kind, name: String?)

  package enum Kind: String, Hashable, Sendable, CaseIterable {
    case uDMABuf = "u-dma-buf"
    case uio
    case reserved
    case cma
    case dmaHeap = "dma-heap"
    case hugePages = "hugetlbfs"
  }

  /// What can be said, for people.
  package static let names = "auto, \(Kind.allCases.map(\.rawValue).joined(separator: ", ")) or KIND:NAME"

  /// `auto`, or a kind, or `KIND:NAME`; `nil` if it is none of them.
  package init?(_ text: String) {
    if text == "auto" {
      self = .any
      return
    }
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    guard let kind = Kind(rawValue: String(parts[0])) else { return nil }
    let name = parts.count > 1 ? String(parts[1]) : nil
    if name?.isEmpty ?? false { return nil }
    self = .named(kind: kind, name: name)
  }

  /// - Throws: ``DeviceError/noBoard(name:reasons:)`` with all that was tried.
  func open(on kernel: any Kernel, for board: Board) throws(DeviceError) -> any ContiguousMemory {
    switch self {
    case .named(let kind, let name): return try Self.open(kind, name, on: kernel, for: board)
    case .any:
      var reasons: [String] = []
      // Huge pages must be asked for: without cache maintenance, a port that is not coherent would fetch stale
      // instructions, which nobody verified.
      for kind in Kind.allCases where kind != .hugePages {
        do throws(DeviceError) {
          let memory = try Self.open(kind, nil, on: kernel, for: board)
          // Some say only now that they can't.
          if let mode = memory.modes.first { _ = try memory.allocate(Limits.regionAlignment, mode) }
          return memory
        } catch {
          reasons.append(error.description)
        }
      }
      throw .noBoard(name: "memory", reasons: reasons)
    }
  }

  private static func open(
    _ kind: Kind, _ name: String?, on kernel: any Kernel, for board: Board
  ) throws(DeviceError) -> any ContiguousMemory {
    switch kind {
    case .uDMABuf: try uDMABuf(name, on: kernel)
    case .uio: try uio(name, on: kernel, for: board)
    case .reserved: try ReservedMemory.deviceTree(name, on: kernel)
    case .cma: try CMADevice(on: kernel)
    case .dmaHeap: try DMAHeap(name, on: kernel)
    case .hugePages: try HugePages(on: kernel)
    }
  }

  private static func uDMABuf(_ name: String?, on kernel: any Kernel) throws(DeviceError)
    -> any ContiguousMemory
  {
    if let name { return try UDMABuf.memory(name, on: kernel) }
    return try UDMABuf.memory(try soleUDMABuf(on: kernel), on: kernel)
  }

  /// Buffers of others are not taken: it is the only one, or has `vta` in its name.
  private static func soleUDMABuf(on kernel: any Kernel) throws(DeviceError) -> String {
    let names = UDMABuf.names(on: kernel)
    let own = names.filter { $0.contains("vta") }
    switch (own.count, names.count) {
    case (1..., _): return own[0]
    case (_, 1): return names[0]
    case (_, 0):
      throw .memoryUnusable(
        name: "u-dma-buf", reason: "there is no buffer; load the module u-dma-buf with udmabuf0=SIZE")
    default:
      throw .memoryUnusable(
        name: "u-dma-buf",
        reason: "there are \(names.joined(separator: ", ")); say which (memory u-dma-buf:NAME)")
    }
  }

  /// The largest map of a UIO device; `nil`: of the one whose name says that it is memory for the accelerator. Where the
  /// map begins with the board's registers, memory is what lies behind them.
  private static func uio(
    _ name: String?, on kernel: any Kernel, for board: Board
  ) throws(DeviceError) -> any ContiguousMemory {
    let wanted = name ?? "vta-memory"
    guard let device = UIODevice.all(on: kernel).first(where: { $0.entry == wanted || $0.name == wanted }),
      let map = device.maps.max(by: { $0.byteCount < $1.byteCount })
    else {
      throw .memoryUnusable(name: "uio \(wanted)", reason: "there is no such UIO device, or it has no map")
    }
    let registers = board.registers
    let ends = registers.bases.values.filter { map.covers($0, byteCount: registers.window) }.map {
      $0.rawValue + registers.window - map.address.rawValue
    }
    return try ReservedMemory.uio(device, map, from: ends.max() ?? 0, on: kernel)
  }
}
