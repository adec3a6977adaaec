private import VTA
package import VTAModule
private import VTARuntime

extension MachineProgram {
  /// The programs of a module as a load would patch them, with a page that belongs to nobody behind each region and
  /// random bytes in its workspaces.
  package static func programs(of module: Module, name: String, seed: UInt64) throws -> [MachineProgram] {
    var random = SeededGenerator(seed: seed)
    var next = Limits.regionAlignment
    var addresses: [DeviceAddress] = []
    var segments: [Segment] = []
    for region in module.regions {
      let bytes: [UInt8]
      switch region.role {
      case .constant(let contents), .microOps(let contents): bytes = contents
      case .workspace:
        bytes = (0..<Int(region.byteCount)).map { _ in UInt8.random(in: 0...255, using: &random) }
      }
      addresses.append(DeviceAddress(next))
      segments.append(Segment(address: next, bytes: bytes, isWritable: region.role == .workspace))
      next += (region.byteCount / Limits.regionAlignment + 2) * Limits.regionAlignment
    }
    return try module.programs.enumerated().map { index, program in
      MachineProgram(
        name: module.programs.count == 1 ? name : "\(name)#\(index)", target: module.target,
        words: try ProgramPatch.words(of: program, target: module.target, regions: addresses),
        segments: segments)
    }
  }
}
