/// What accelerators that share a name do differently, profile by profile.
enum ProfileReference {
  static var text: String {
    let profiles = HardwareProfile.all
    let head =
      ["Property", "Section"]
      + profiles.map { $0.name + ($0.isConfirmedByRecordings ? "" : " (unconfirmed)") }
    let rows = ProfileProperty.all.map { property in
      [property.name, property.section] + profiles.map(property.text)
    }
    let unconfirmed = profiles.filter { !$0.isConfirmedByRecordings }.map { "`\($0.name)`" }
    return """
      # Profiles

      \(ReferencePage.notice)

      A program is compiled for, checked against and simulated under one profile. Recorded runs confirm what the simulator does
      for the others; \(unconfirmed.joined(separator: ", ")) come from reading the hardware's source, and no recording confirms
      them. Sections are those of the project's description of the hardware.

      \(ReferencePage.table(head, rows))
      """
  }
}

/// Targets by name, and what a configuration file may say.
enum TargetReference {
  static var text: String {
    let targets = Target.named.map { target in
      [
        "`\(target.name)`", target.configuration.name,
        target.profile.name + (target.profile.isConfirmedByRecordings ? "" : " (unconfirmed)"),
      ]
    }
    let pairs = Target.knownPairs.map { ["`\($0.target)`", $0.version, $0.profile.name] }
    let keys = HardwareConfiguration.keys.map { key in
      [
        "`\(key.name)`", key.summary, "\(key.allowed.lowerBound)…\(key.allowed.upperBound)",
        "\(key.read(.default))",
      ]
    }
    return """
      # Targets

      \(ReferencePage.notice)

      A target is a board's name, a configuration (the shape of its accelerator) and a [profile](Profiles.md) (what that
      accelerator does where others differ). `--target` takes a name of the first table or a configuration file.

      \(ReferencePage.table(["Target", "Configuration", "Profile"], targets))
      ## Configuration files

      JSON, with the keys of VTA's own configuration files. All values are base-2 logarithms: of bits for widths, of bytes for
      buffers.

      \(ReferencePage.table(["Key", "Meaning", "Allowed", "Default"], keys))
      `PROFILE` names a profile. Without it, `TARGET` and `HW_VER` decide:

      \(ReferencePage.table(["TARGET", "HW_VER", "Profile"], pairs))
      """
  }
}
