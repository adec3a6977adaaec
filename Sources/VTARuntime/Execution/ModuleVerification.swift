package import VTA
package import VTAModule

/// All programs of a module checked as a load would check them, without a device.
package enum ModuleVerification {
  package struct Finding: Hashable, Sendable {
    package let program: Int
    package let finding: ProgramVerifier.Finding
  }

  /// - Returns: everything that a load would refuse; empty if the module may run.
  package static func findings(in module: Module) -> [Finding] {
    let regions = addresses(of: module)
    return module.programs.indices.flatMap { index -> [Finding] in
      do {
        let words = try ProgramPatch.words(
          of: module.programs[index], target: module.target, regions: regions)
        return try ProgramCheck(module: module, regions: regions).findings(words).map {
          Finding(program: index, finding: $0)
        }
      } catch {
        return [Finding(program: index, finding: .init(ofProgram: "\(error)"))]
      }
    }
  }

  /// Regions one behind the other from the second page on, as on a device with nothing else in its memory.
  private static func addresses(of module: Module) -> [DeviceAddress] {
    var next = Limits.regionAlignment
    return module.regions.map { region in
      defer {
        next +=
          (region.byteCount + Limits.regionAlignment - 1) / Limits.regionAlignment * Limits.regionAlignment
      }
      return DeviceAddress(next)
    }
  }
}
