/// Micro-op kernels: recorded once in an append-only DRAM image, kept resident in the micro-op buffer as long as
/// there is room.
///
/// TVM's runtime numbered offsets by what was resident and so loaded wrong micro-ops after an eviction
/// (reference/vta-hardware.md, section 7.3); an image that only grows cannot. Kernels start at even indices and are
/// padded to even length, because Chisel-2020 loads pairs (section 9.1, number 30).
struct MicroKernels {
  struct Placement {
    /// First micro-op in the buffer.
    let begin: Int
    /// Elements to load from the image first; `nil` if the kernel is resident.
    let load: (imageIndex: Int, count: Int)?
  }

  private let depth: Int
  private var imageIndices: [[MicroOp]: Int] = [:]
  private var residents: [(range: Range<Int>, imageIndex: Int)] = []
  private var next = 0
  private(set) var image: [MicroOp] = []

  init(depth: Int) { self.depth = depth }

  /// - Precondition: `1…depth` micro-ops.
  mutating func place(_ kernel: [MicroOp]) -> Placement {
    precondition(!kernel.isEmpty && kernel.count <= depth, "a kernel fits into the micro-op buffer")
    let imageIndex = record(kernel)
    if let resident = residents.first(where: { $0.imageIndex == imageIndex }) {
      return Placement(begin: resident.range.lowerBound, load: nil)
    }
    let count = min(kernel.count + kernel.count % 2, depth)
    if next + count > depth { next = 0 }
    let range = next..<next + count
    residents.removeAll { $0.range.overlaps(range) }
    residents.append((range, imageIndex))
    next = range.upperBound
    return Placement(begin: range.lowerBound, load: (imageIndex, count))
  }

  private mutating func record(_ kernel: [MicroOp]) -> Int {
    if let known = imageIndices[kernel] { return known }
    let index = image.count
    image += kernel
    if kernel.count % 2 != 0 { image.append(MicroOp(dst: 0, src: 0)) }
    imageIndices[kernel] = index
    return index
  }
}
