private import Foundation
private import VTACampaign

// libFuzzer has the main function; `make fuzz` starts it once per decoder, with its name in the environment.

private let decoder: FuzzedDecoder = {
  let name = ProcessInfo.processInfo.environment["VTA_FUZZ_DECODER"] ?? ""
  let all = FuzzedDecoder.all + FuzzedDecoder.tool
  guard let decoder = all.first(where: { $0.name == name }) else {
    fatalError("VTA_FUZZ_DECODER is '\(name)'; the decoders are \(all.map(\.name).joined(separator: ", "))")
  }
  return decoder
}()

@_cdecl("LLVMFuzzerTestOneInput")
public func feed(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  let bytes = Array(UnsafeBufferPointer(start: data, count: size))
  if let flaw = decoder.feed(bytes) { fatalError(flaw) }
  return 0
}
