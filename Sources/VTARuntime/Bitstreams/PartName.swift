/// A Xilinx part as tools write it: `xc7z020clg484-1`, `7z020clg484`, `xczu3eg-sbva484-1-e`.
struct PartName: Hashable {
  /// `7z020`, `zu3eg`: what a bitstream is made for.
  let device: String
  /// `clg484`; empty if the name has none. Nothing but pins depends on it.
  let package: String

  init(_ text: String) {
    var name = text.lowercased()[...]
    if name.hasPrefix("xc") { name = name.dropFirst(2) }
    let fields = name.split(separator: "-", omittingEmptySubsequences: false)
    let runs = Self.runs(fields.first ?? "")
    let first = runs.first ?? ""
    // 7 series: 7, z, 020. UltraScale+: zu, 3, and two letters of the processors.
    let isSeries7 = first.first?.isNumber ?? false
    let third = runs.dropFirst(2).first ?? ""
    let deviceEnd = isSeries7 ? third : third.prefix(2)
    device = runs.prefix(2).joined() + String(deviceEnd)
    let package = String(third.dropFirst(deviceEnd.count)) + runs.dropFirst(3).joined()
    self.package = package.isEmpty ? String(fields.dropFirst().first ?? "") : package
  }

  /// Maximal runs of digits and of other characters.
  private static func runs(_ text: Substring) -> [Substring] {
    var result: [Substring] = []
    var rest = text
    while let first = rest.first {
      let run = rest.prefix { $0.isNumber == first.isNumber }
      result.append(run)
      rest = rest.dropFirst(run.count)
    }
    return result
  }
}
