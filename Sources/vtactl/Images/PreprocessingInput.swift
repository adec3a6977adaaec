private import Foundation
internal import VTAModule

/// `--preprocess FILE.json`: `{"channels": "gray"|"rgb"|"bgr", "layout": "nchw"|"nhwc", "range": 1.0, "mean": […],
/// "deviation": […]}`; all but `channels` may be left out.
enum PreprocessingInput {
  private struct Description: Decodable {
    let channels: String
    let layout: String?
    let range: Float?
    let mean: [Float]?
    let deviation: [Float]?
  }

  static func read(_ path: String) throws(Failure) -> Preprocessing {
    let bytes = try FileInput.read(path)
    guard let found = try? JSONDecoder().decode(Description.self, from: Data(bytes)) else {
      throw Failure(
        path,
        "is no preprocessing description; write {\"channels\": \"rgb\", \"range\": 1, \"mean\": [0, 0, 0]}")
    }
    guard let channels = Preprocessing.Channels(rawValue: found.channels) else {
      throw Failure(path, "channels is \(found.channels); write gray, rgb or bgr")
    }
    guard let layout = Preprocessing.Layout(rawValue: found.layout ?? "nchw") else {
      throw Failure(path, "layout is \(found.layout ?? ""); write nchw or nhwc")
    }
    let count = channels == .gray ? 1 : 3
    let mean = found.mean ?? Array(repeating: 0, count: count)
    let deviation = found.deviation ?? Array(repeating: 1, count: count)
    guard mean.count == count, deviation.count == count, deviation.allSatisfy({ $0 != 0 }) else {
      throw Failure(path, "mean and deviation need \(count) values each, and no deviation may be 0")
    }
    return Preprocessing(
      channels: channels, layout: layout, range: found.range ?? 1, mean: mean, deviation: deviation)
  }
}
