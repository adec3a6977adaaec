import Glibc
import VTA

/// Random programs on several threads, however small, against the plain simulator: what scripts/test-threads.sh builds under
/// the thread sanitizer. Arguments: the number of seeds, the first seed.
let numbers = CommandLine.arguments.dropFirst().compactMap { UInt64($0) }
let seeds = (numbers.dropFirst().first ?? 1)..<(numbers.dropFirst().first ?? 1) + (numbers.first ?? 20)
var programs = 0
var instructions = 0
var tasks = 0
var fused = 0
var shared = 0
var differences = 0

for (width, kernels) in KernelSet.available.map({ (1, $0) }) + KernelSet.available.prefix(1).map({ (3, $0) })
{
  let team = width > 1 ? WorkerTeam(width: width) : nil
  for name in LayerProgram.configurations {
    let configuration = try HardwareConfiguration(name: name)
    for (profile, seed) in HardwareProfile.all.flatMap({ profile in seeds.map { (profile, $0) } }) {
      guard let program = try? LayerProgram(profile, configuration, seed: seed) else { continue }
      let memory = try program.memory()
      var plain = try FunctionalSimulator(target: program.target)
      guard
        (try? plain.run(
          instructionAddress: program.instructionAddress, count: program.words.count, memory: memory)) != nil
      else { continue }
      let translated = ProgramTranslator.translate(
        instructionAddress: program.instructionAddress, count: program.words.count, target: program.target,
        memory: try program.memory(), kernels: kernels, isConstant: program.isConstant,
        limits: seed % 2 == 0 ? .usual : .smallest)
      guard let translated,
        let simulator = FastSimulator(
          target: program.target, kernels: kernels, executor: team, sharesAll: true)
      else { continue }
      programs += 1
      instructions += program.words.count
      if translated.figures.tasks > 0 { tasks += 1 }
      if translated.figures.fusedTasks > 0 { fused += 1 }
      if width > 1 && translated.figures.tasks > 1 { shared += 1 }
      for _ in 0..<2 {
        let found = try program.memory()
        try simulator.run(translated, memory: found)
        if try program.result(found) != program.result(memory) {
          differences += 1
          print("\(profile.name) \(name) seed \(seed), \(kernels.name), \(width) threads: differs")
        }
      }
    }
  }
}
print(
  "\(programs) programs, \(instructions) instructions: \(tasks) as tasks, \(fused) with fused ones, \(shared) on several threads; "
    + "\(differences) differ")
// A run in which nothing was shared has tested nothing.
exit(differences > 0 || shared == 0 ? 1 : 0)
