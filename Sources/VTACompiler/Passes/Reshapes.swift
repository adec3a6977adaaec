extension Graph {
  /// Removes reshapes between layers of the accelerator, whose tensors have one layout. What stays reads a graph
  /// input (the host arranges it as it quantizes), is read by host operations and outputs, or makes the host arrange
  /// elements that the next layer needs in another order than the layer before produces.
  mutating func removeReshapes() {
    /// For the output of a reshape: what it views in the end.
    var roots = Array(values.indices)
    let isInput = Set(inputs)
    var result: [GraphNode] = []
    for var node in nodes {
      switch node.operation {
      case .reshape(let input):
        roots[node.output] = roots[input]
        node.operation = .reshape(input: roots[input])
      case .softmax, .host, .constant: break
      case .maxPool(var pool):
        pool.input = view(pool.input, root: roots[pool.input])
        node.operation = .maxPool(pool)
      case .linear(var layer):
        if let sunk = sink(node, layer, roots, isInput) {
          result.append(sunk)
          node = GraphNode(
            name: node.name + "/reshape", operators: ["Reshape"], operation: .reshape(input: sunk.output),
            output: node.output)
          roots[node.output] = sunk.output
          break
        }
        for index in layer.terms.indices {
          let root = roots[layer.terms[index].input]
          if !absorb(root, in: &layer.terms[index], isInput) {
            layer.terms[index].input = view(layer.terms[index].input, root: root)
          }
        }
        node.operation = .linear(layer)
      }
      result.append(node)
    }
    nodes = result
    removeUnused()
  }

  /// What a layer reads in place of `value`.
  private func view(_ value: Int, root: Int) -> Int {
    values[root].geometry == values[value].geometry ? root : value
  }

  /// A dense layer on flattened elements is a convolution whose kernel is the whole tensor before.
  private func absorb(_ root: Int, in term: inout LinearTerm, _ isInput: Set<Int>) -> Bool {
    let (from, to) = (values[root].geometry, values[term.input].geometry)
    guard case .dense = term.weights, term.isPointwise, to.positions == 1, from != to,
      !isInput.contains(root)
    else { return false }
    term.input = root
    term.window.kernel = Window.Extent(height: from.height, width: from.width)
    return true
  }

  /// An activation function behind a reshape works as well before it: the node, moved there.
  private mutating func sink(
    _ node: GraphNode, _ layer: LinearLayer, _ roots: [Int], _ isInput: Set<Int>
  ) -> GraphNode? {
    guard layer.terms.count == 1, case .uniform = layer.terms[0].weights, layer.terms[0].isPointwise,
      layer.bias.allSatisfy({ $0 == 0 }), case let root = roots[layer.terms[0].input],
      !isInput.contains(root), values[root].geometry != values[node.output].geometry
    else { return nil }
    var moved = node
    var layer = layer
    layer.terms[0].input = root
    layer.bias = [Float](repeating: 0, count: values[root].geometry.channels)
    moved.operation = .linear(layer)
    moved.output = values.count
    values.append(GraphValue(name: values[node.output].name + "/before-reshape", shape: values[root].shape))
    return moved
  }

  /// Removes nodes that no output needs.
  mutating func removeUnused() {
    var isUsed = [Bool](repeating: false, count: values.count)
    for output in outputs { isUsed[output.value] = true }
    var kept: [GraphNode] = []
    for node in nodes.reversed() where isUsed[node.output] {
      for input in node.inputs { isUsed[input] = true }
      kept.append(node)
    }
    nodes = kept.reversed()
  }
}
