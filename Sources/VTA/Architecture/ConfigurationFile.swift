private import FoundationEssentials

/// VTA's JSON configuration files: the keys of ``HardwareConfiguration/keys``, `TARGET`, `HW_VER`, and our own
/// optional `PROFILE`. Keys that VTA derives and writes back are allowed and ignored.
extension Target {
  private struct AnyKey: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  private struct File: Decodable {
    var numbers: [String: Int] = [:]
    var strings: [String: String] = [:]

    init(from decoder: any Decoder) throws {
      let container = try decoder.container(keyedBy: AnyKey.self)
      for key in container.allKeys {
        if let number = try? container.decode(Int.self, forKey: key) {
          numbers[key.stringValue] = number
        } else if let string = try? container.decode(String.self, forKey: key) {
          strings[key.stringValue] = string
        }
      }
    }
  }

  /// - Parameter json: the bytes of a configuration file.
  package init(json: [UInt8]) throws(ConfigurationError) {
    let file: File
    do {
      file = try JSONDecoder().decode(File.self, from: Data(json))
    } catch {
      throw .notAConfiguration("the file is no JSON object")
    }
    guard let name = file.strings["TARGET"] else { throw .missingKey("TARGET") }
    let configuration = try HardwareConfiguration(values: file.numbers)
    if let profileName = file.strings["PROFILE"] {
      guard let profile = HardwareProfile.named(profileName) else { throw .unknownProfile(profileName) }
      try self.init(name: name, configuration: configuration, profile: profile)
      return
    }
    let version = file.strings["HW_VER"] ?? "0.0.2"
    guard let profile = Self.knownProfile(target: name, version: version) else {
      throw .unknownTarget(target: name, version: version)
    }
    try self.init(name: name, configuration: configuration, profile: profile)
  }
}
