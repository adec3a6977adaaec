private import CLibPNG
private import CTurboJPEG

/// A decoded picture: 8 bits per channel, rows from top to bottom, channels interleaved.
struct Image {
  enum Channels: Int {
    case gray = 1
    case rgb = 3
  }

  /// Larger pictures are refused before memory is allocated for them.
  private static let pixelCountMax = 1 << 26

  let width: Int
  let height: Int
  let channels: Channels
  let pixels: [UInt8]

  /// Decodes PNG or JPEG, told apart by their first bytes.
  ///
  /// - Throws: ``Failure`` naming the file.
  static func read(_ path: String, channels: Channels) throws(Failure) -> Image {
    let bytes = try FileInput.read(path)
    if bytes.starts(with: [0x89, 0x50, 0x4E, 0x47]) { return try png(bytes, path, channels) }
    if bytes.starts(with: [0xFF, 0xD8]) { return try jpeg(bytes, path, channels) }
    throw Failure(path, "is neither PNG nor JPEG; convert it to one of them")
  }

  private static func checkSize(_ width: Int, _ height: Int, _ path: String) throws(Failure) {
    let (count, overflow) = width.multipliedReportingOverflow(by: height)
    guard width > 0, height > 0, !overflow, count <= pixelCountMax else {
      throw Failure(
        path, "has \(width)×\(height) pixels; at most \(pixelCountMax) are accepted, scale it down")
    }
  }

  private static func png(
    _ bytes: [UInt8], _ path: String, _ channels: Channels
  ) throws(Failure) -> Image {
    var image = png_image()
    image.version = UInt32(PNG_IMAGE_VERSION)
    defer { png_image_free(&image) }
    func failure() -> Failure {
      let message = withUnsafeBytes(of: image.message) { raw in
        String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
      }
      return Failure(path, "is a damaged PNG: \(message)")
    }
    guard png_image_begin_read_from_memory(&image, bytes, bytes.count) != 0 else { throw failure() }
    let (width, height) = (Int(image.width), Int(image.height))
    try checkSize(width, height, path)
    image.format = channels == .gray ? 0 : UInt32(PNG_FORMAT_FLAG_COLOR)
    var pixels = [UInt8](repeating: 0, count: width * height * channels.rawValue)
    // Transparent pixels are shown on black.
    var background = png_color(red: 0, green: 0, blue: 0)
    guard png_image_finish_read(&image, &background, &pixels, Int32(width * channels.rawValue), nil) != 0
    else {
      throw failure()
    }
    return Image(width: width, height: height, channels: channels, pixels: pixels)
  }

  private static func jpeg(
    _ bytes: [UInt8], _ path: String, _ channels: Channels
  ) throws(Failure) -> Image {
    guard let decoder = tjInitDecompress() else { throw Failure(path, "the JPEG decoder can't start") }
    defer { tjDestroy(decoder) }
    func failure() -> Failure {
      Failure(
        path, "is a damaged JPEG: \(tjGetErrorStr2(decoder).map { String(cString: $0) } ?? "no reason given")"
      )
    }
    var (width, height, subsampling, colors) = (Int32(0), Int32(0), Int32(0), Int32(0))
    guard tjDecompressHeader3(decoder, bytes, UInt(bytes.count), &width, &height, &subsampling, &colors) == 0
    else {
      throw failure()
    }
    try checkSize(Int(width), Int(height), path)
    var pixels = [UInt8](repeating: 0, count: Int(width) * Int(height) * channels.rawValue)
    let format = channels == .gray ? TJPF_GRAY : TJPF_RGB
    let status = tjDecompress2(
      decoder, bytes, UInt(bytes.count), &pixels, width, 0, height, Int32(format.rawValue), 0)
    guard status == 0 else { throw failure() }
    return Image(width: Int(width), height: Int(height), channels: channels, pixels: pixels)
  }

  /// Bilinear, pixel centres at half positions; the same size gives the same values.
  ///
  /// - Returns: `height × width × channels` values, 0…255.
  func resized(width newWidth: Int, height newHeight: Int) -> [Float] {
    let count = channels.rawValue
    func taps(_ position: Int, _ extent: Int, _ newExtent: Int) -> (low: Int, high: Int, weight: Float) {
      let center = (Float(position) + 0.5) * Float(extent) / Float(newExtent) - 0.5
      let clamped = min(max(center, 0), Float(extent - 1))
      let low = Int(clamped)
      return (low, min(low + 1, extent - 1), clamped - Float(low))
    }
    let columns = (0..<newWidth).map { taps($0, width, newWidth) }
    var result: [Float] = []
    result.reserveCapacity(newWidth * newHeight * count)
    for y in 0..<newHeight {
      let row = taps(y, height, newHeight)
      for column in columns {
        for channel in 0..<count {
          func pixel(_ y: Int, _ x: Int) -> Float { Float(pixels[(y * width + x) * count + channel]) }
          let top =
            pixel(row.low, column.low) * (1 - column.weight) + pixel(row.low, column.high) * column.weight
          let bottom =
            pixel(row.high, column.low) * (1 - column.weight) + pixel(row.high, column.high) * column.weight
          result.append(top * (1 - row.weight) + bottom * row.weight)
        }
      }
    }
    return result
  }
}
