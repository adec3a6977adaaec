extension Graph {
  /// Makes padding by zeros part of the windows that slide over it, unless something else needs the padded tensor.
  mutating func foldPads() {
    var pads: [Int: (input: Int, padding: Padding)] = [:]
    for index in nodes.indices {
      guard case .linear(var layer) = nodes[index].operation else { continue }
      if let pad = layer.pad { pads[nodes[index].output] = pad }
      for term in layer.terms.indices where layer.terms[term].places == .all {
        guard let pad = pads[layer.terms[term].input] else { continue }
        layer.terms[term].input = pad.input
        layer.terms[term].window.padding = layer.terms[term].window.padding.adding(pad.padding)
      }
      nodes[index].operation = .linear(layer)
    }
    removeUnused()
  }
}

extension LinearLayer {
  /// That the layer does nothing but put zeros around its input, or cut off its edges.
  fileprivate var pad: (input: Int, padding: Padding)? {
    guard terms.count == 1, case .uniform(1) = terms[0].weights, terms[0].places == .all, slope == 1,
      bounds == .none, terms[0].window.kernel == Window.point.kernel,
      terms[0].window.stride == Window.point.stride, terms[0].window.padding != .none,
      bias.allSatisfy({ $0 == 0 })
    else { return nil }
    return (terms[0].input, terms[0].window.padding)
  }
}

extension Padding {
  fileprivate func adding(_ other: Padding) -> Padding {
    Padding(
      top: top + other.top, left: left + other.left, bottom: bottom + other.bottom,
      right: right + other.right)
  }
}
