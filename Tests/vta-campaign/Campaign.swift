internal import ArgumentParser

@main
struct CampaignCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "vta-campaign", abstract: "Broken programs against the verifier, and seeds for fuzzing.",
    subcommands: [MutateCommand.self, SeedsCommand.self])
}
