internal import ArgumentParser

@main
struct CampaignCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "vta-campaign",
    abstract: "Broken programs against the verifier, random ones against the simulator, seeds for fuzzing.",
    subcommands: [MutateCommand.self, SeedsCommand.self, SimulateCommand.self])
}
