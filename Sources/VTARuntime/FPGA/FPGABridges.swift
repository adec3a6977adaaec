internal import SystemPackage

/// Bridges between processor and FPGA, which Linux shows but lets nobody open from outside.
struct FPGABridges {
  static let folder = "/sys/class/fpga_bridge"

  let names: [String]
  let kernel: any Kernel

  struct State {
    let name: String
    /// `nil`: Linux shows no such bridge, so boot software has seen to it, or nobody.
    let state: String?
  }

  var states: [State] {
    let entries = (try? kernel.entries(of: Self.folder)) ?? []
    return names.map { name in
      let entry = entries.first { (try? kernel.text(of: "\(Self.folder)/\($0)/name")) == name }
      return State(name: name, state: entry.flatMap { try? kernel.text(of: "\(Self.folder)/\($0)/state") })
    }
  }

  func check() throws(FPGAError) {
    for bridge in states {
      if let state = bridge.state, state != "enabled" {
        throw .bridgeClosed(name: bridge.name, state: state)
      }
    }
  }

  /// What an overlay calls them by, for the kernel to close and open them around the load; empty unless the device tree
  /// has a handle for each.
  func phandles() -> [UInt32] {
    var handles: [UInt32] = []
    for name in names {
      let nodes = DeviceTreeNode.all(compatible: "altr,socfpga-\(name)-bridge", on: kernel)
      guard let handle = nodes.first?.phandle else { return [] }
      handles.append(handle)
    }
    return handles
  }
}
