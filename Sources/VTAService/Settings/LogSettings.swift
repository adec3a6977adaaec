internal import Logging
internal import SwiftProtobuf

/// The log as Triton's logging extension sees it: four switches in order, each of which includes those before it.
struct LogSettings: Sendable {
  typealias Value = Inference_LogSettingsResponse.SettingValue

  let level: LogLevel

  /// Names and values that there are, with what vtad makes of each.
  var all: [String: Value] {
    let level = level.value
    return [
      "log_error": .with { $0.boolParam = level <= .error },
      "log_warning": .with { $0.boolParam = level <= .warning },
      "log_info": .with { $0.boolParam = level <= .info },
      "log_verbose_level": .with { $0.uint32Param = level <= .trace ? 2 : level <= .debug ? 1 : 0 },
      "log_format": .with { $0.stringParam = "default" },
      "log_file": .with { $0.stringParam = "" },
    ]
  }

  /// - Throws: ``ServiceError`` for a setting that doesn't exist or can't have the value; nothing is changed then.
  func change(_ settings: [String: Inference_LogSettingsRequest.SettingValue]) throws(ServiceError) {
    var wanted = level.value
    // From the least to the most talkative, so that contradictions end at the more talkative one.
    for name in ["log_error", "log_warning", "log_info", "log_verbose_level"] {
      guard let setting = settings[name] else { continue }
      wanted = try Self.level(after: setting, of: name, from: wanted)
    }
    for (name, setting) in settings where all[name] == nil || name == "log_file" || name == "log_format" {
      guard let known = all[name] else {
        throw ServiceError(
          .invalidArgument,
          "there is no log setting '\(name.prefix(100))'; there are \(all.keys.sorted().joined(separator: ", "))"
        )
      }
      guard case .stringParam(let text)? = setting.parameterChoice, text == known.stringParam else {
        throw ServiceError(
          .invalidArgument, "the log setting \(name) can't be changed; vtad logs to its standard error")
      }
    }
    level.value = wanted
  }

  private static func level(
    after setting: Inference_LogSettingsRequest.SettingValue, of name: String, from level: Logger.Level
  ) throws(ServiceError) -> Logger.Level {
    switch (name, setting.parameterChoice) {
    case ("log_verbose_level", .uint32Param(let verbosity)?):
      return verbosity >= 2 ? .trace : verbosity == 1 ? .debug : max(level, .info)
    case ("log_info", .boolParam(let isOn)?): return isOn ? min(level, .info) : max(level, .notice)
    case ("log_warning", .boolParam(let isOn)?): return isOn ? min(level, .warning) : max(level, .error)
    case ("log_error", .boolParam(let isOn)?): return isOn ? min(level, .error) : max(level, .critical)
    default:
      throw ServiceError(
        .invalidArgument,
        "the log setting \(name) takes \(name == "log_verbose_level" ? "0, 1 or 2" : "true or false")")
    }
  }
}
