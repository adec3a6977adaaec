internal import ArgumentParser
private import Foundation
private import VTAModule
private import VTAService

/// `vtactl bench service`: what the daemon adds to a run.
struct BenchServiceCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "service", abstract: "Measures what a daemon adds to the run of a module.",
    discussion: """
      Each client sends its requests one after the other. The overhead of a request is its round trip less what the \
      daemon says that it waited for the device and ran.
      """)

  @Argument(help: "The compiled model, a .vtab file.", completion: .file(extensions: ["vtab"]))
  var module: String

  @Option(
    help: ArgumentHelp(
      "How many clients at the same time; several rounds, separated by commas.", valueName: "numbers"))
  var clients = "1"

  @Option(help: ArgumentHelp("Requests of each client.", valueName: "number"))
  var requests = 500

  @Option(help: ArgumentHelp("Samples in each request.", valueName: "number"))
  var samples = 1

  @Flag(help: "Pass the input in shared memory.")
  var sharedMemory = false

  @Flag(help: "Print the result as JSON.")
  var json = false

  @OptionGroup var daemon: DaemonOptions

  private struct Round: Encodable {
    let clients: Int
    let requestsPerSecond: Double
    let roundTripUs: Distribution
    let queueUs: Distribution
    let runUs: Distribution
    let overheadUs: Distribution
  }

  private struct Distribution: Encodable {
    let p50: Double
    let p99: Double

    init(_ values: [Duration]) {
      let sorted = values.map { $0 / .microseconds(1) }.sorted()
      p50 = sorted.isEmpty ? 0 : sorted[sorted.count / 2]
      p99 = sorted.isEmpty ? 0 : sorted[min(sorted.count - 1, sorted.count * 99 / 100)]
    }
  }

  func validate() throws {
    guard requests >= 1, samples >= 1, !rounds.isEmpty else {
      throw ValidationError("--clients, --requests and --samples take numbers from 1")
    }
  }

  private var rounds: [Int] {
    let numbers = clients.split(separator: ",").map { Int($0) ?? 0 }
    return numbers.allSatisfy { (1...256).contains($0) } ? numbers : []
  }

  func run() async throws {
    let (bytes, file) = try ModuleInput.read(module)
    let inputs = Dictionary(
      uniqueKeysWithValues: file.module.inputs.map { input in
        let shape = [samples] + input.shape.dropFirst()
        let count = Tensor.byteCount(of: shape, input.dataType) ?? 0
        return (
          input.name,
          Tensor(dataType: input.dataType, shape: shape, bytes: [UInt8](repeating: 0, count: count))
        )
      })
    var results: [Round] = []
    for count in rounds { results.append(try await round(count, bytes, file, inputs)) }
    if json { return try JSONOutput.print(results) }
    let byteCount = inputs.values.reduce(0) { $0 + $1.bytes.count }
    print(
      "\(file.module.name), \(byteCount) bytes of input \(sharedMemory ? "in shared memory" : "inline"); microseconds"
    )
    print(
      "clients  requests/s   round trip p50/p99        queue p50/p99          run p50/p99     overhead p50/p99"
    )
    for round in results {
      let pair = { (value: Distribution) in String(format: "%9.0f /%9.0f", value.p50, value.p99) }
      print(
        String(format: "%7d %11.1f", round.clients, round.requestsPerSecond)
          + "  \(pair(round.roundTripUs)) \(pair(round.queueUs)) \(pair(round.runUs)) \(pair(round.overheadUs))"
      )
    }
  }

  private func round(
    _ count: Int, _ bytes: [UInt8], _ file: ModuleFile, _ inputs: [String: Tensor]
  ) async throws -> Round {
    let (requests, isShared, address) = (requests, sharedMemory, daemon.address)
    let model = "bench-\(file.digest)"
    let began = ContinuousClock.now
    let times = try await withThrowingTaskGroup(of: [VTAServiceClient.Times].self) { group in
      for _ in 0..<count {
        group.addTask {
          do {
            return try await VTAServiceClient.connect(to: address) { client in
              try await client.submit(bytes, as: model)
              let region = isShared ? try SharedInput(inputs) : nil
              if let region { try await client.register(region) }
              var times: [VTAServiceClient.Times] = []
              // The first ones find everything cold.
              for number in 0..<(requests + min(20, requests)) {
                let time = try await client.time(model, inputs: inputs, shared: region)
                if number >= min(20, requests) { times.append(time) }
              }
              return times
            }
          } catch let failure as Failure {
            throw failure
          } catch {
            throw Failure("daemon", error)
          }
        }
      }
      return try await group.reduce(into: []) { $0 += $1 }
    }
    let seconds = (ContinuousClock.now - began) / .seconds(1)
    return Round(
      clients: count, requestsPerSecond: Double(times.count) / seconds,
      roundTripUs: Distribution(times.map(\.roundTrip)), queueUs: Distribution(times.map(\.queue)),
      runUs: Distribution(times.map(\.run)), overheadUs: Distribution(times.map(\.overhead)))
  }
}
