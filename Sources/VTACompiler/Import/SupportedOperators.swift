/// `Documentation/SupportedOperators.md`, generated from the operator table.
package enum SupportedOperators {
  /// In `Documentation`.
  package static let fileName = "SupportedOperators.md"

  package static func markdown() -> String {
    var text = """
      # Supported ONNX operators

      Generated from `Sources/VTACompiler/Import`: the rules below are the ones that the compiler checks, and their sentences
      are the ones in its errors. `make reference` writes this page anew; a test fails if it is not current.

      ## Models

      - Operator set \(ImportLimits.opsets.lowerBound) to \(ImportLimits.opsets.upperBound) of the default domain; \
      at most \(ImportLimits.nodes) nodes.
      - Inputs are FLOAT, with a batch axis first that is symbolic or 1. Other symbolic axes need `--shape`.
      - Constants are FLOAT, DOUBLE, INT64, INT32 or BOOL, in the file or in files below its folder.
      - Activations have at most \(ImportLimits.activationElements) elements per sample.
      - Only the first output of an operator is supported, and no attributes but the ones named here.
      - A node that no output needs is not looked at.
      - Between layers on the accelerator a tensor keeps its channels, height and width. A reshape behind an input, before Gemm
        or MatMul, or at the end of the model costs nothing or next to nothing; elsewhere the host arranges the elements.

      ## Operators

      | Operator | Becomes |
      |---|---|

      """
    for row in OperatorRow.all { text += "| [\(row.name)](#\(row.name.lowercased())) | \(row.mapping) |\n" }
    for row in OperatorRow.all { text += "\n" + section(row) }
    return text
  }

  private static func section(_ row: OperatorRow) -> String {
    var text = "### \(row.name)\n\n"
    for input in row.inputs {
      text += "- Input `\(input.name)`\(input.isOptional ? " (optional)" : ""): \(input.kind.rawValue).\n"
    }
    if !row.attributes.isEmpty {
      let names = row.attributes.keys.sorted().map { "`\($0)`" }
      text += "- Attributes: \(names.joined(separator: ", ")).\n"
    }
    for constraint in row.constraints {
      text += "- \(capitalized(constraint.sentence, row)).\n"
    }
    return text
  }

  /// The sentence as it begins a line; a name of the operator's stays as it is.
  private static func capitalized(_ sentence: String, _ row: OperatorRow) -> String {
    let first = String(sentence.prefix { $0 != " " })
    let isName = row.attributes[first] != nil || row.inputs.contains { $0.name == first }
    let start = isName ? "`\(first)`" : first.prefix(1).uppercased() + first.dropFirst()
    return start + sentence.dropFirst(first.count)
  }
}
