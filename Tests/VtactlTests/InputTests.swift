import CTurboJPEG
import Foundation
import Testing
import VTAModule

@testable import vtactl

@Suite struct InputTests {
  /// Two by two pixels: red, green; blue, (10, 20, 30). Made with Python's zlib and struct alone.
  private static let png =
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAE0lEQVR4nGP4z8DAAMIM/7lE5AAaWAM6VmOiPAAAAABJ"
    + "RU5ErkJggg=="
  /// A header that claims 100000 × 100000 pixels, and no data.
  private static let hugePNG =
    "iVBORw0KGgoAAAANSUhEUgABhqAAAYagCAIAAAAnMJyfAAAACElEQVR4nAMAAAAAAUgGidIAAAAASUVORK5CYII="
  /// `numpy.savez_compressed(x=arange(6, dtype="<f4").reshape(2, 3), y=array([1, 2], dtype="<i4"))`.
  private static let npz =
    "UEsDBC0AAAAIAAAAIQBP6QAq//////////8FABQAeC5ucHkBABAAmAAAAAAAAABVAAAAAAAAAJvsF+obEMnIUMZQrZ"
    + "6SWpxcpG6loG6TZqKuo6Cell9UUpSYF59flJIKEndLzClOBYoXZyQWpAL5GkY6CsaaOgq1CmQDLgYwaLAHEg5ABMQN"
    + "QLzAAQBQSwMELQAAAAgAAAAhAAv5qi3//////////wUAFAB5Lm5weQEAEACIAAAAAAAAAEsAAAAAAAAAm+wX6hsQyc"
    + "hQxlCtnpJanFykbqWgbpNpoq6joJ6WX1RSlJgXn1+UkgoSd0vMKU4FihdnJBakAvkaRjqaOgq1ChQALkYGBgYmIAYA"
    + "UEsBAi0DLQAAAAgAAAAhAE/pACpVAAAAmAAAAAUAAAAAAAAAAAAAAIABAAAAAHgubnB5UEsBAi0DLQAAAAgAAAAhAA"
    + "v5qi1LAAAAiAAAAAUAAAAAAAAAAAAAAIABjAAAAHkubnB5UEsFBgAAAAACAAIAZgAAAA4BAAAAAA=="

  private func bytes(_ base64: String) throws -> [UInt8] {
    Array(try #require(Data(base64Encoded: base64)))
  }

  /// Calls `body` with the path of a file of these bytes.
  private func withFile<R>(_ bytes: [UInt8], _ body: (String) throws -> R) throws -> R {
    let path = FileManager.default.temporaryDirectory.path + "/vtactl-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Data(bytes).write(to: URL(filePath: path))
    return try body(path)
  }

  @Test func pictureBecomesInput() throws {
    try withFile(try bytes(Self.png)) { path in
      let image = try Image.read(path, channels: .rgb)
      #expect(image.pixels == [255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 20, 30])
      let preprocessing = Preprocessing(
        channels: .bgr, layout: .nchw, range: 1, mean: [0, 0, 0.5], deviation: [1, 1, 0.5])
      let tensor = try ImageInput.tensor(path: path, shape: [1, 3, 2, 2], preprocessing: preprocessing)
      let blue: [Float] = [0, 0, 1, 30 / 255]
      let green: [Float] = [0, 1, 0, 20 / 255]
      let red: [Float] = [1, -1, -1, (10 / 255 - 0.5) / 0.5]
      #expect(tensor == Tensor(blue + green + red, shape: [1, 3, 2, 2]))
    }
  }

  @Test func resizeIsBilinearBetweenPixelCentres() {
    let image = Image(width: 2, height: 1, channels: .gray, pixels: [0, 100])
    #expect(image.resized(width: 2, height: 1) == [0, 100])
    #expect(image.resized(width: 4, height: 2) == [0, 25, 75, 100, 0, 25, 75, 100])
    #expect(image.resized(width: 1, height: 1) == [50])
  }

  @Test func damagedPicturesAreErrors() throws {
    #expect(throws: Failure.self) {
      try withFile(try bytes(Self.hugePNG)) { try Image.read($0, channels: .gray) }
    }
    for picture in [try bytes(Self.png), try jpeg()] {
      #expect(throws: Failure.self) {
        try withFile(Array(picture[..<(picture.count / 2)])) { try Image.read($0, channels: .rgb) }
      }
      try flip(picture, rounds: 300) { path in
        let image = try Image.read(path, channels: .rgb)
        #expect(image.pixels.count == image.width * image.height * 3)
      }
    }
  }

  @Test func archives() throws {
    let archive = try bytes(Self.npz)
    let arrays = try withFile(archive) { try NPZ.read($0) }
    #expect(arrays["x"] == Tensor([0, 1, 2, 3, 4, 5] as [Float], shape: [2, 3]))
    #expect(arrays["y"] == Tensor([1, 2] as [Int32], shape: [2]))
    for count in stride(from: 0, to: archive.count, by: 7) {
      #expect(throws: Failure.self) { try withFile(Array(archive[..<count])) { try NPZ.read($0) } }
    }
    try flip(archive, rounds: 600) { path in
      for tensor in try NPZ.read(path).values { #expect(tensor.shape.count <= 2) }
    }
  }

  @Test func filesHaveALimit() throws {
    let eight = [UInt8](repeating: 7, count: 8)
    #expect(try withFile(eight) { try FileInput.read($0, limit: 8) } == eight)
    #expect(throws: Failure.self) { try withFile(eight) { try FileInput.read($0, limit: 7) } }
    for path in ["/dev/zero", "/", "/nowhere"] {
      #expect(throws: Failure.self) { try FileInput.read(path, limit: 1 << 20) }
    }
  }

  /// Calls `body` with files that differ from `bytes` in one bit; it may throw ``Failure`` and nothing else.
  private func flip(_ bytes: [UInt8], rounds: Int, _ body: (String) throws -> Void) throws {
    for round in 0..<rounds {
      var damaged = bytes
      let bit = (round * 7919) % (bytes.count * 8)
      damaged[bit / 8] ^= 1 << UInt8(bit % 8)
      do {
        try withFile(damaged, body)
      } catch let failure as Failure {
        #expect(!failure.description.isEmpty)
      }
    }
  }

  /// A gray ramp of 16 × 16 pixels, from the encoder.
  private func jpeg() throws -> [UInt8] {
    let pixels = (0..<(16 * 16 * 3)).map { UInt8($0 % 256) }
    let encoder = try #require(tjInitCompress())
    defer { tjDestroy(encoder) }
    var buffer: UnsafeMutablePointer<UInt8>?
    var count: UInt = 0
    let status = tjCompress2(
      encoder, pixels, 16, 0, 16, Int32(TJPF_RGB.rawValue), &buffer, &count, Int32(TJSAMP_444.rawValue), 90, 0
    )
    defer { tjFree(buffer) }
    #expect(status == 0)
    return Array(UnsafeBufferPointer(start: buffer, count: Int(count)))
  }
}
