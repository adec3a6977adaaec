/// What a program is compiled for: a board's name, the shape of its accelerator and that accelerator's semantics.
package struct Target: Hashable, Sendable {
  /// `sim`, `pynq`, `ultra96` … as in VTA's TARGET key.
  package let name: String
  package let configuration: HardwareConfiguration
  package let profile: HardwareProfile

  /// - Throws: ``ConfigurationError`` if the profile's ISA revision cannot encode an instruction of this configuration, or
  ///   its hardware cannot have that shape.
  package init(
    name: String, configuration: HardwareConfiguration, profile: HardwareProfile
  ) throws(ConfigurationError) {
    _ = try InstructionSet(configuration: configuration, revision: profile.revision)
    if let why = profile.refusal(of: configuration) {
      throw .shape(profile: profile.name, configuration: configuration.name, why: why)
    }
    self.init(name, configuration, profile)
  }

  private init(_ name: String, _ configuration: HardwareConfiguration, _ profile: HardwareProfile) {
    self.name = name
    self.configuration = configuration
    self.profile = profile
  }

  /// `ultra96 1x16_i8w8a32_15_15_18_17 hls-001`
  package var description: String { "\(name) \(configuration.name) \(profile.name)" }

  /// The targets that have a name of their own (DESIGN.md, section 3).
  package static let named: [Target] = [
    Target("sim", .default, .fsim),
    Target("pynq", .default, .hls002),
    Target("ultra96", .default, .hls001),
    Target("zcu102", .default, .hlsHead),
    Target("zcu104", .default, .hlsHead),
    Target("de10nano", .default, .chisel2020),
  ]

  package static func named(_ name: String) -> Target? { named.first { $0.name == name } }

  /// The profile of the hardware that VTA calls by these two keys of its configuration files.
  package static func knownProfile(target: String, version: String) -> HardwareProfile? {
    knownPairs.first { $0.target == target && $0.version == version }?.profile
  }

  /// The profile that a VTA configuration file means where it has no PROFILE key of its own.
  static let knownPairs: [(target: String, version: String, profile: HardwareProfile)] = [
    ("sim", "0.0.2", .fsim),
    ("tsim", "0.0.2", .chisel2021),
    ("pynq", "0.0.2", .hls002),
    ("pynq", "0.0.1", .hls001),
    ("pynq", "0.0.0", .hls001),
    ("ultra96", "0.0.1", .hls001),
    ("zcu102", "0.0.2", .hlsHead),
    ("zcu104", "0.0.1", .hlsHead),
    ("zcu104", "0.0.2", .hlsHead),
    ("de10nano", "0.0.1", .chisel2020),
  ]
}
