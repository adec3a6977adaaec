/// Contiguous memory: how much, from where, whether the accelerator reaches it, and what caches do to it.
extension Doctor {
  /// What a model of ResNet-18's size takes, with its buffers.
  private static let usualBytes: UInt64 = 32 << 20

  static func contiguousPool(_ context: Context) -> [Finding] {
    let name = "cma"
    guard let pool = ContiguousPool(on: context.kernel), pool.totalBytes > 0 else {
      guard context.hasDeviceTree else { return [] }
      return [
        Finding(
          name, .warning, "the kernel has no contiguous memory area (CMA)",
          fix: "boot with cma=128M, unless the buffers come from a reserved region")
      ]
    }
    let found = "\(megabytes(pool.freeBytes)) of \(megabytes(pool.totalBytes)) are free"
    let needed = headroom(context)
    if pool.freeBytes < needed {
      return [
        Finding(
          name, .warning,
          "\(found), but loading a bitstream takes \(megabytes(needed)) in one piece: a hung accelerator could not be recovered",
          fix: "boot with a larger cma=, or keep u-dma-buf's buffers smaller")
      ]
    }
    if pool.totalBytes < usualBytes {
      return [
        Finding(
          name, .warning,
          "\(found), which is little: a network like ResNet-18 takes about \(megabytes(usualBytes))",
          fix:
            "boot with cma=128M; if the kernel was built with a smaller limit, rebuild it with a larger CONFIG_ARCH_FORCE_MAX_ORDER (FORCE_MAX_ZONEORDER before 6.4)"
        )
      ]
    }
    return [Finding(name, .ok, found)]
  }

  /// What loading takes where the driver copies the bitstream: the largest that is to be loaded here, or any.
  private static func headroom(_ context: Context) -> UInt64 {
    guard context.board.configuration.family == .zynqUltraScale else { return 0 }
    let entries = (try? BitstreamFolder(context.options.bitstreamFolder))?.entries ?? []
    let sizes = entries.compactMap { try? $0.contents.get() }
      .filter { (try? $0.check(for: context.board)) != nil }.map(\.payload.count)
    return UInt64(sizes.max() ?? context.board.configuration.uncompressedByteCount ?? 0)
  }

  static func buffers(_ context: Context) -> [Finding] {
    let kernel = context.kernel
    var findings: [Finding] = []
    for (name, folder) in dmaBuffers(kernel) {
      findings.append(window(name, folder, context))
      findings += permission("/dev/\(name)", context)
    }
    for device in UIODevice.all(on: kernel) where device.name == "vta-memory" {
      for map in device.maps {
        findings.append(
          window("\(device.path) (\(device.name))", map.address, byteCount: map.byteCount, context))
      }
      findings += permission(device.path, context)
    }
    if !findings.isEmpty { return findings }
    var others: [String] = []
    if kernel.exists("/dev/cma") { others.append("/dev/cma") }
    others += ((try? kernel.entries(of: "/dev/dma_heap")) ?? []).filter { $0 != "system" }.map {
      "/dev/dma_heap/\($0)"
    }
    let advice =
      "install u-dma-buf (github.com/ikwzm/udmabuf) and load it with udmabuf0=67108864, or describe a buffer in the device tree"
    if others.isEmpty {
      guard context.hasDeviceTree else { return [Finding("buffers", .note, "there is no u-dma-buf buffer")] }
      return [
        Finding(
          "buffers", .failure,
          "there is no contiguous memory that a program can have: no u-dma-buf buffer, no dma-heap, no /dev/cma",
          fix: advice)
      ]
    }
    return [
      Finding(
        "buffers", .warning,
        "there is no u-dma-buf buffer; \(others.joined(separator: ", ")) can stand in, dma-heaps only with pagemap's frame numbers (root, a kernel before 6.8)",
        fix: advice)
    ]
  }

  /// Name and sysfs folder of each buffer of u-dma-buf.
  private static func dmaBuffers(_ kernel: any Kernel) -> [(name: String, folder: String)] {
    UDMABuf.classes.flatMap { folder in
      ((try? kernel.entries(of: folder)) ?? []).map { ($0, "\(folder)/\($0)") }
    }
  }

  private static func window(_ name: String, _ folder: String, _ context: Context) -> Finding {
    do {
      let address = PhysicalAddress(try context.kernel.number(of: "\(folder)/phys_addr"))
      let byteCount = try context.kernel.number(of: "\(folder)/size")
      return window("/dev/\(name)", address, byteCount: byteCount, context)
    } catch {
      return Finding(
        "buffers", .failure, "\(error)", fix: "load u-dma-buf again; dmesg says why it gave no buffer")
    }
  }

  private static func window(
    _ path: String, _ address: PhysicalAddress, byteCount: UInt64, _ context: Context
  ) -> Finding {
    let limit = context.board.memory.limit
    let found = "\(path): \(megabytes(byteCount)) at \(address)"
    if context.board.memory.reaches(address, byteCount: byteCount) {
      return Finding("buffers", .ok, "\(found), below \(limit) where the accelerator's port ends")
    }
    return Finding(
      "buffers", .failure, "\(found), but the accelerator's port reaches memory below \(limit) alone",
      fix:
        "reserve memory below \(limit): cma=SIZE@ADDRESS on the kernel's command line, or a reserved-memory node with alloc-ranges"
    )
  }

  /// What boot software and drivers say of caches. Whether it is so, the self-test shows.
  static func coherency(_ context: Context) -> [Finding] {
    let name = "caches"
    var findings: [Finding] = []
    for (buffer, folder) in dmaBuffers(context.kernel) {
      guard let claimed = try? context.kernel.text(of: "\(folder)/dma_coherent") else { continue }
      findings.append(
        Finding(
          name, .note,
          "\(buffer) is declared \(claimed == "1" ? "coherent" : "not coherent: caches are synchronised around each run")"
        ))
    }
    guard !context.options.isCopy, context.hasDeviceTree, !context.board.coherency.needs.isEmpty,
      let registers = try? SystemRegisters(on: context.kernel)
    else { return findings }
    for bits in context.board.coherency.needs where !bits.isSecureOnly {
      guard let value = try? registers.read(bits.address), value & bits.mask != bits.value else { continue }
      findings.append(
        Finding(
          name, .note,
          "\(context.board.coherency.port) is not coherent, since \(bits.address) lacks 0x\(String(bits.value, radix: 16)): \(bits.reason). Caches are synchronised instead, which is slower"
        ))
    }
    return findings
  }

  private static func megabytes(_ byteCount: UInt64) -> String {
    byteCount % (1 << 20) == 0 || byteCount >= 10 << 20
      ? "\(byteCount >> 20) MiB" : "\(Double(byteCount * 10 >> 20) / 10) MiB"
  }
}
