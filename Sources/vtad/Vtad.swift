import ArgumentParser

@main struct V: ParsableCommand { func run() {} }
