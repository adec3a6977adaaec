internal import SystemPackage

/// A device tree overlay that makes the kernel configure an FPGA region. It stays as long as the design is used: with the
/// overlay the kernel closes the bridges again.
struct FPGAOverlay {
  static let folder = "/sys/kernel/config/device-tree/overlays"
  private static var own: String { "\(folder)/vtad" }

  /// Path of the region in the device tree.
  let region: String
  /// File in `/lib/firmware`.
  let firmware: String
  /// Handles of the bridges that the kernel closes meanwhile.
  let bridges: [UInt32]
  let kernel: any Kernel

  func apply(_ manager: FPGAManager, byteCount: Int) throws(FPGAError) {
    do {
      // The region takes one overlay at a time.
      if kernel.exists(Self.own) { try kernel.removeFolder(Self.own) }
      try kernel.makeFolder(Self.own)
    } catch {
      throw .call(error, advice: "run as root, or as a user who may make overlays")
    }
    do {
      try write(manager, byteCount: byteCount)
    } catch {
      try? kernel.removeFolder(Self.own)
      throw error
    }
    try manager.checkOperating(byteCount: byteCount)
  }

  private func write(_ manager: FPGAManager, byteCount: Int) throws(FPGAError) {
    do {
      try OpenFile("\(Self.own)/dtbo", .writeOnly, on: kernel).writeAll(blob)
    } catch {
      try manager.failed(error, byteCount: byteCount)
    }
    // A kernel that applies the blob when the file is closed has nobody left to tell of a failure but this attribute.
    do {
      let status = try kernel.text(of: "\(Self.own)/status")
      if status == "applied" { return }
      let state = try manager.state()
      if state.hasSuffix("error") { throw FPGAError.manager(state: state, error: nil, byteCount: byteCount) }
      throw FPGAError.overlayRejected(status: status)
    } catch let error as FPGAError {
      throw error
    } catch let error as KernelError {
      throw .call(error, advice: "see dmesg")
    } catch {
      throw .overlayRejected(status: "\(error)")
    }
  }

  /// The overlay as a flattened device tree (devicetree specification, chapter 5).
  var blob: [UInt8] {
    var tree = FlattenedTreeWriter()
    tree.node("") { tree in
      tree.node("fragment@0") { tree in
        tree.property("target-path", text: region)
        tree.node("__overlay__") { tree in
          tree.property("firmware-name", text: firmware)
          if !bridges.isEmpty { tree.property("fpga-bridges", words: bridges) }
        }
      }
    }
    return tree.blob
  }
}
