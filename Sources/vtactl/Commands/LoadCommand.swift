internal import ArgumentParser
private import Foundation
private import VTAModule
private import VTAService

struct LoadCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "load", abstract: "Lets the daemon serve a model to everybody.",
    discussion: """
      A name: the daemon reads that model of its folder, again if it is there already. A .vtab file: it is sent to the \
      daemon, which keeps it in its folder as a version of the model. That is for administrators.
      """)

  @Argument(help: "A model's name, or a .vtab file.", completion: .file(extensions: ["vtab"]))
  var model: String

  @Option(
    name: .customLong("as"),
    help: ArgumentHelp("Name of a file's model; by default the file's.", valueName: "name"))
  var name: String?

  @Option(
    name: .customLong("model-version"), help: ArgumentHelp("Version of a file's model.", valueName: "number"))
  var version: UInt64 = 1

  @OptionGroup var daemon: DaemonOptions

  func run() async throws {
    guard model.hasSuffix(".vtab") else {
      try await daemon.ask { [model] in try await $0.load(model) }
      return print("serving \(model)")
    }
    let (bytes, _) = try ModuleInput.read(model)
    let name = name ?? URL(fileURLWithPath: model).deletingPathExtension().lastPathComponent
    try await daemon.ask { [version] in try await $0.publish(bytes, as: name, version: version) }
    print("serving \(name) version \(version)")
  }
}

struct UnloadCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "unload", abstract: "Lets the daemon serve a model no longer, until it is loaded again.")

  @Argument(help: "The model's name.")
  var model: String

  @OptionGroup var daemon: DaemonOptions

  func run() async throws {
    try await daemon.ask { [model] in try await $0.unload(model) }
    print("not serving \(model)")
  }
}
