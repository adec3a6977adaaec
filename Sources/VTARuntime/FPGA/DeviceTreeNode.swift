/// A node of `/proc/device-tree`.
struct DeviceTreeNode {
  /// Within the tree: `/soc/base-fpga-region`.
  let path: String
  private let kernel: any Kernel

  /// Regions and bridges stand below the root or one of its buses.
  private static let depthMax = 3

  /// Nodes that are compatible with this, nearest to the root first.
  static func all(compatible wanted: String, on kernel: any Kernel) -> [DeviceTreeNode] {
    var found: [DeviceTreeNode] = []
    var level = [""]
    for _ in 0..<depthMax {
      var next: [String] = []
      for parent in level {
        let folder = Board.deviceTreeFolder + parent
        for name in (try? kernel.entries(of: folder)) ?? [] {
          let path = "\(parent)/\(name)"
          guard (try? kernel.status(of: Board.deviceTreeFolder + path))?.kind == .folder else { continue }
          next.append(path)
          let strings = (try? kernel.bytes(of: "\(Board.deviceTreeFolder)\(path)/compatible")) ?? []
          if strings.split(separator: 0).contains(where: { $0.elementsEqual(wanted.utf8) }) {
            found.append(DeviceTreeNode(path: path, kernel: kernel))
          }
        }
      }
      level = next
    }
    return found
  }

  var phandle: UInt32? {
    guard let bytes = try? kernel.bytes(of: "\(Board.deviceTreeFolder)\(path)/phandle"), bytes.count == 4
    else {
      return nil
    }
    return bytes.reduce(0) { $0 << 8 | UInt32($1) }
  }
}
