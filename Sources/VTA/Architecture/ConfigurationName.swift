extension HardwareConfiguration {
  /// Reads ``name``: `{BATCH}x{BLOCK}_i{INP bits}w{WGT bits}a{ACC bits}_{UOP}_{INP}_{WGT}_{ACC}`.
  ///
  /// - Throws: ``ConfigurationError/notAConfiguration(_:)`` if the text has another form, or what is wrong with the
  ///   accelerator that it names.
  package init(name: String) throws(ConfigurationError) {
    let numbers = name.split { !$0.isASCII || !$0.isNumber }.map { Int($0) ?? 0 }
    guard numbers.count == 9, numbers[..<5].allSatisfy({ $0 > 0 && $0.nonzeroBitCount == 1 }) else {
      throw .notAConfiguration("the name \(name) has another form than \(HardwareConfiguration.default.name)")
    }
    let logs = numbers[..<5].map(\.trailingZeroBitCount) + numbers[5...]
    let keys = [
      "LOG_BATCH", "LOG_BLOCK", "LOG_INP_WIDTH", "LOG_WGT_WIDTH", "LOG_ACC_WIDTH", "LOG_UOP_BUFF_SIZE",
      "LOG_INP_BUFF_SIZE", "LOG_WGT_BUFF_SIZE", "LOG_ACC_BUFF_SIZE",
    ]
    try self.init(values: Dictionary(uniqueKeysWithValues: zip(keys, logs)))
    guard self.name == name else {
      throw .notAConfiguration("the name \(name) has another form than \(self.name)")
    }
  }
}
