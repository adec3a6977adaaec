/// The FPGA: its manager, the way to it, and what must be set around it.
extension Doctor {
  static func fpgaManager(_ context: Context) -> [Finding] {
    let name = "fpga-manager"
    guard let manager = context.fpga.manager else {
      guard context.hasDeviceTree else {
        return [
          Finding(
            name, .note, "Linux manages no FPGA here; whatever stands for the board is taken as configured")
        ]
      }
      let needed =
        context.board.configuration.family == .cycloneV
        ? "CONFIG_FPGA_MGR_SOCFPGA" : "CONFIG_FPGA_MGR_ZYNQ_FPGA or CONFIG_FPGA_MGR_ZYNQMP_FPGA"
      return [
        Finding(
          name, .warning,
          "\(FPGAManager.folder) is empty: the kernel has no driver for the FPGA, so nobody knows whether a design runs in it",
          fix: "use a kernel with \(needed)")
      ]
    }
    let label = "\(manager.entry) (\(manager.name))"
    do {
      let state = try manager.state()
      if state == FPGAManager.operating { return [Finding(name, .ok, "\(label) is operating")] }
      if let bitstream = context.options.deviceOptions.bitstream {
        return [
          Finding(
            name, .note, "\(label) is in state \"\(state)\"; the daemon loads \(bitstream) when it starts")
        ]
      }
      return [
        Finding(
          name, .failure, "\(label) is in state \"\(state)\": no design runs in the FPGA",
          fix: state.hasSuffix("error")
            ? "load a bitstream for this board again (vtactl bitstream program FILE); dmesg says what went wrong before"
            : "load a bitstream with vtactl bitstream program FILE, or have the boot loader do it")
      ]
    } catch {
      return [Finding(name, .failure, "\(error)", fix: "run as root")]
    }
  }

  static func bitstreamRoute(_ context: Context) -> [Finding] {
    let name = "bitstream-loading"
    // Without a manager only Cyclone V has a way.
    guard
      context.fpga.manager != nil || context.hasDeviceTree && context.board.configuration.family == .cycloneV
    else { return [] }
    let route: FPGA.Route
    do {
      route = try context.fpga.route()
    } catch {
      return [
        Finding(
          name, .warning, "\(error)",
          fix: "without it a hung accelerator is only recovered by a reboot")
      ]
    }
    guard let user = context.options.user else { return [Finding(name, .ok, "by \(route.description)")] }
    let paths: [String]
    switch route {
    case .attribute(let entry):
      let manager = FPGAManager(entry: entry, kernel: context.kernel)
      paths = [manager.path("firmware"), manager.path("flags")]
    case .overlay: paths = [FPGAOverlay.folder]
    case .registers: paths = [SystemRegisters.path]
    }
    let closed = paths.filter { path in
      guard let status = try? context.kernel.status(of: path) else { return true }
      return !user.may(.write, status)
    }
    if closed.isEmpty { return [Finding(name, .ok, "by \(route.description), which \(user.name) may use")] }
    return [
      Finding(
        name, .warning,
        "by \(route.description), but \(user.name) may not write to \(closed.joined(separator: ", "))",
        fix:
          "install udev/70-vta.rules (make install) and the drop-in that Documentation/System.md names, or load bitstreams as root"
      )
    ]
  }

  static func bridges(_ context: Context) -> [Finding] {
    context.fpga.bridges.states.map { bridge in
      let name = "bridge \(bridge.name)"
      switch bridge.state {
      case "enabled": return Finding(name, .ok, "enabled")
      case let state?:
        return Finding(
          name, .failure,
          "\(state): the accelerator can't be reached, and touching its registers would be a bus error",
          fix:
            "enable it in the device tree (status = \"okay\"; bridge-enable = <1>) or in U-Boot (bridge enable)"
        )
      case nil:
        return Finding(
          name, .warning, "Linux shows no such bridge, so nobody knows whether it is open",
          fix: "set status = \"okay\" for it in the device tree, or make sure that U-Boot runs bridge enable")
      }
    }
  }

  /// MSEL of Cyclone V boards, against the files that are to be loaded.
  static func switches(_ context: Context) -> [Finding] {
    guard context.board.configuration.family == .cycloneV else { return [] }
    let name = "msel"
    if context.options.isCopy {
      return [Finding(name, .skipped, "switches can only be read on the board itself")]
    }
    guard let msel = CycloneManagerRegisters.msel(on: context.kernel) else {
      return [
        Finding(
          name, .skipped, "reading the switches takes root and /dev/mem; vtactl doctor as root shows them")
      ]
    }
    let digits = FPGAError.binary(msel)
    let fix = "set the switches MSEL to 01010"
    guard CycloneManagerRegisters.isUsable(msel: msel) else {
      return [
        Finding(name, .failure, "\(digits): the processor can't configure the FPGA like this", fix: fix)
      ]
    }
    guard !CycloneManagerRegisters.decompresses(msel: msel) else {
      return [Finding(name, .ok, "\(digits): compressed and uncompressed files")]
    }
    let compressed = files(context).filter { entry in
      guard case .success(let bitstream) = entry.contents, bitstream.format == .rbf,
        let whole = context.board.configuration.uncompressedByteCount
      else { return false }
      return bitstream.payload.count < whole
    }
    guard let first = compressed.first else {
      return [
        Finding(
          name, .warning, "\(digits): only uncompressed files; the published one is compressed", fix: fix)
      ]
    }
    return [
      Finding(
        name, .failure,
        "\(digits): only uncompressed files, but \(first.name) in \(context.options.bitstreamFolder) is compressed",
        fix: fix)
    ]
  }

  private static func files(_ context: Context) -> [BitstreamFolder.Entry] {
    (try? BitstreamFolder(context.options.bitstreamFolder))?.entries ?? []
  }

  /// What loading a bitstream sets, and whether it still is so.
  static func systemRegisters(_ context: Context) -> [Finding] {
    let corrections = context.board.configuration.corrections
    guard !corrections.isEmpty, context.hasDeviceTree else { return [] }
    let name = "system-registers"
    if context.options.isCopy {
      return [Finding(name, .skipped, "registers can only be read on the board itself")]
    }
    guard let registers = try? SystemRegisters(on: context.kernel) else {
      return [
        Finding(
          name, .skipped,
          "reading port widths and clocks takes root and /dev/mem; vtactl doctor as root shows them")
      ]
    }
    var findings: [Finding] = []
    for bits in corrections {
      guard let value = try? registers.read(bits.address) else {
        findings.append(Finding(name, .skipped, "\(bits.address) can't be read"))
        continue
      }
      if value & bits.mask == bits.value { continue }
      findings.append(
        Finding(
          name, .warning,
          "\(bits.address) is 0x\(String(value & bits.mask, radix: 16)) under the mask 0x\(String(bits.mask, radix: 16)), not 0x\(String(bits.value, radix: 16)): \(bits.reason)",
          fix:
            "load the bitstream with vtactl bitstream program, as root, which sets it; or have the boot image set it"
        ))
    }
    return findings.isEmpty
      ? [Finding(name, .ok, "port widths and clocks are as VTA's design needs them")] : findings
  }

  /// Linux stops clocks that no driver uses.
  static func clock(_ context: Context) -> [Finding] {
    guard context.board.configuration.family == .zynqUltraScale, context.hasDeviceTree else { return [] }
    let name = "clock"
    let kernel = context.kernel
    let arguments = ((try? kernel.text(of: "/proc/cmdline")) ?? "").split(separator: " ")
    if arguments.contains("clk_ignore_unused") {
      return [Finding(name, .ok, "clk_ignore_unused keeps pl_clk0 running")]
    }
    if !DeviceTreeNode.all(compatible: "xlnx,fclk", on: kernel).isEmpty {
      return [Finding(name, .ok, "an xlnx,fclk node keeps its clock running")]
    }
    return [
      Finding(
        name, .warning,
        "nothing in the device tree uses pl_clk0, which Linux then may stop, and the accelerator with it",
        fix:
          "add clk_ignore_unused to the kernel's command line, or an xlnx,fclk node with pl_clk0 to the device tree"
      )
    ]
  }

  static func knownBitstreams(_ context: Context) -> [Finding] {
    let name = "bitstreams"
    let path = context.options.bitstreamFolder
    let known: [KnownBitstream]
    let folder: BitstreamFolder
    do {
      folder = try BitstreamFolder(path)
      known = folder.catalogue.bitstreams(for: context.board)
    } catch {
      return [Finding(name, .warning, "\(path): \(error)", fix: "repair the manifest")]
    }
    let there = folder.entries.filter { $0.known?.boards.contains(context.board.name) ?? false }
    if let first = there.first {
      let titles = there.compactMap { $0.known?.title }.joined(separator: ", ")
      return [
        Finding(
          name, .ok, "\(path)/\(first.name)\(there.count > 1 ? " and more" : "") for this board: \(titles)")
      ]
    }
    if known.isEmpty {
      return [
        Finding(
          name, .note,
          "no bitstream for \(context.board.title) was ever published; build one, and describe it in \(path)/\(BitstreamCatalogue.manifestName)"
        )
      ]
    }
    return [
      Finding(
        name, .note,
        "none for this board in \(path); known are \(known.map { "\($0.title) of \($0.origin)" }.joined(separator: ", "))"
      )
    ]
  }
}
