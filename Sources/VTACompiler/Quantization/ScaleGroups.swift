/// Scales of values that are tied by exact ratios: each value belongs to one group, each group has one free scale.
struct ScaleGroups: Sendable {
  /// Parent in the forest, and the value's scale in units of the parent's.
  private var parents: [Int]
  private var ratios: [Double]
  /// Of roots.
  private var scales: [Double]
  private var sizes: [Int]

  /// - Parameter scales: what each value would have on its own.
  init(_ scales: [Double]) {
    self.scales = scales
    parents = Array(scales.indices)
    ratios = [Double](repeating: 1, count: scales.count)
    sizes = [Int](repeating: 1, count: scales.count)
  }

  func scale(_ value: Int) -> Double {
    let (root, ratio) = find(value)
    return scales[root] * ratio
  }

  func group(_ value: Int) -> Int { find(value).root }
  func groupSize(_ value: Int) -> Int { sizes[find(value).root] }

  /// From now on `scale(value) == ratio · scale(anchor)`; the anchor's group keeps its scale.
  mutating func tie(_ value: Int, to anchor: Int, ratio: Double) {
    let (from, to) = (find(value), find(anchor))
    if from.root == to.root { return }
    parents[from.root] = to.root
    ratios[from.root] = ratio * to.ratio / from.ratio
    sizes[to.root] += sizes[from.root]
  }

  private func find(_ value: Int) -> (root: Int, ratio: Double) {
    var (root, ratio) = (value, 1.0)
    while parents[root] != root {
      ratio *= ratios[root]
      root = parents[root]
    }
    return (root, ratio)
  }
}
