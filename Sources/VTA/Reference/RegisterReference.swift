/// Registers of both layouts, and how a run is started.
enum RegisterReference {
  static var text: String {
    """
    # Registers

    \(ReferencePage.notice)

    A host drives an accelerator through blocks of 32-bit registers. Where a block starts belongs to the board
    ([Boards](Boards.md)). Sections are those of the project's description of the hardware, 5.1 and 5.2.

    \(RegisterMap.all.map(section).joined(separator: "\n"))
    """
  }

  private static func section(_ map: RegisterMap) -> String {
    let rows = map.registers.map { register in
      let bits = register.bits.sorted { $0.key < $1.key }.map { "bit \($0.key) \($0.value)" }
      let meaning = register.meaning + (bits.isEmpty ? "" : " (\(bits.joined(separator: ", ")))")
      return ["`\(register.description)`", "0x" + String(register.offset, radix: 16), meaning]
    }
    let writes = (map.arguments + map.starts).map { write in
      let value =
        switch write.value {
        case .constant(let number): "0x" + String(number, radix: 16)
        case .instructionCount: "number of instructions"
        case .instructionAddress: "their byte address"
        }
      return ["`\(write.register.description)`", value]
    }
    let guarded =
      map.doneValid.map {
        " `\($0.description)` is read before the start, and `done` is believed once it reads nonzero: `done` keeps its value from the run before."
      } ?? ""
    return """
      ## Layout `\(map.name)`

      \(ReferencePage.table(["Register", "Offset", "Meaning"], rows))
      A run is these writes, in this order; then `\(map.done.description)` reads \(map.doneValue).\(guarded)

      \(ReferencePage.table(["Register", "Value"], writes))
      """
  }
}
