internal import ArgumentParser
internal import VTAModule

/// The command line. One line per command: a command is a file in `Commands/`.
struct Vtactl: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "vtactl",
    abstract: "Compiles, inspects and runs models for the VTA accelerator.",
    version: "vtactl \(Version.text)",
    subcommands: [
      CompileCommand.self,
      RunCommand.self,
      InspectCommand.self,
      AssembleCommand.self,
      DisassembleCommand.self,
      VerifyCommand.self,
      SignCommand.self,
      StatusCommand.self,
      TopCommand.self,
      LoadCommand.self,
      UnloadCommand.self,
      DevicesCommand.self,
      DrainCommand.self,
      UndrainCommand.self,
      ModelsCommand.self,
      DoctorCommand.self,
      BitstreamCommand.self,
      JTAGCommand.self,
      TraceCommand.self,
      ReferenceCommand.self,
      BenchCommand.self,
    ])
}

@main struct Main {
  static func main() async {
    do {
      var command = try Vtactl.parseAsRoot()
      if var command = command as? any AsyncParsableCommand {
        try await command.run()
      } else {
        try command.run()
      }
    } catch {
      Failure.exit(error)
    }
  }
}
