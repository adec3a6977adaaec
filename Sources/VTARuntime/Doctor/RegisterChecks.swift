internal import VTA

/// How the accelerator's registers are reached, and by whom.
extension Doctor {
  static func registers(_ context: Context) -> [Finding] {
    let kernel = context.kernel
    let devices = UIODevice.all(on: kernel)
    let map = context.board.registers.map
    var findings: [Finding] = []
    var used: [String: UIODevice] = [:]
    var missing: [String] = []
    for block in map.blocks {
      guard let base = context.board.registers.bases[block] else { continue }
      let count = UInt64(map.byteCount(of: block))
      if let device = devices.first(where: { device in
        device.maps.contains { $0.covers(base, byteCount: count) }
      }) {
        used[device.entry] = device
      } else {
        missing.append("\(block.rawValue) at \(base)")
      }
    }
    let names = used.values.map(\.path).sorted().joined(separator: ", ")
    if missing.isEmpty {
      findings.append(Finding("uio", .ok, "\(map.name) registers in \(names)"))
    } else {
      findings.append(withoutUIO(context, devices, missing: missing))
    }
    for device in used.values.sorted(by: { $0.entry < $1.entry }) {
      findings += permission(device.path, context)
    }
    return findings
  }

  private static func withoutUIO(_ context: Context, _ devices: [UIODevice], missing: [String]) -> Finding {
    let list = missing.joined(separator: ", ")
    let others = devices.map { "\($0.path) (\($0.name))" }.joined(separator: ", ")
    guard context.hasDeviceTree else {
      let have = others.isEmpty ? "there is no UIO device" : "there are \(others)"
      return Finding(
        "uio", .note,
        "no UIO device has the registers at the board's addresses (\(list)); \(have), to be named as --device uio:NAME"
      )
    }
    let arguments = (try? context.kernel.text(of: "/proc/cmdline")) ?? ""
    var fix =
      "give the node of \(list) in the device tree a compatible string that uio_pdrv_genirq is told to take (uio_pdrv_genirq.of_id=generic-uio on the kernel's command line or in modprobe.d)"
    if !context.kernel.exists("/sys/bus/platform/drivers/uio_pdrv_genirq") {
      fix = "load the module uio_pdrv_genirq (modprobe uio_pdrv_genirq of_id=generic-uio), and \(fix)"
    } else if !arguments.contains("uio_pdrv_genirq.of_id=") {
      fix = "the module uio_pdrv_genirq takes no node until it is told its compatible string: \(fix)"
    }
    let found = "no UIO device has \(list)\(others.isEmpty ? "" : ", only \(others) are there")"
    if context.kernel.exists(SystemRegisters.path) {
      return Finding(
        "uio", .warning,
        "\(found); registers are reached through /dev/mem, which takes root or a drop-in that costs confinement",
        fix: fix)
    }
    return Finding("uio", .failure, "\(found), and there is no /dev/mem", fix: fix)
  }

  /// Whether the user may open a device.
  static func permission(_ path: String, _ context: Context) -> [Finding] {
    let name = "permission"
    guard let status = try? context.kernel.status(of: path) else {
      return [
        Finding(
          name, .failure, "\(path) does not exist", fix: "check that udev runs; the kernel made the device")
      ]
    }
    guard let user = context.options.user else { return [] }
    if user.may(.readAndWrite, status) { return [Finding(name, .ok, "\(user.name) may open \(path)")] }
    let mode = String(status.permissions & 0o777, radix: 8)
    return [
      Finding(
        name, .failure,
        "\(user.name) may not open \(path) (mode \(mode), user \(status.owner), group \(status.group))",
        fix:
          "install udev/70-vta.rules (make install) and run udevadm trigger; for yourself, join the group vta-hw, or use sudo"
      )
    ]
  }
}
