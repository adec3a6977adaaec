/// Where input groups lie in a core's scratchpad: one behind the other, from the start again when the end is reached. A group
/// that several strands read stays where it is until something else takes its place.
struct InputPlacement {
  struct Place {
    /// Index of the load that brings it there.
    let load: Int32
    /// From an element's place in the accelerator's INP to its place here.
    let distance: Int
  }

  /// Pieces of each load. Later strands never name one that another has overwritten.
  private(set) var loads: [[TaskGraph.Piece]] = []
  /// Of each strand's groups.
  private(set) var places: [[Int: Place]] = []
  let elementCount: Int

  private static let elementsMax = 1 << 18

  /// - Returns: `nil` if a strand reads too much.
  init?(_ strands: TaskPlanner.Strands, _ planner: TaskPlanner) {
    let most = strands.reduce(0) { most, strand in
      max(most, strand.groups.reduce(0) { $0 + strands.groups[$1].elements.count })
    }
    guard most <= Self.elementsMax else { return nil }
    elementCount = max(planner.limits.rounds * most, planner.limits.inputElements)
    for strand in strands {
      // Without what is there already, a strand's groups fit one behind the other.
      if place(strand, strands, planner) { continue }
      resident = [:]
      next = 0
      guard place(strand, strands, planner) else { return nil }
    }
    resident = [:]
  }

  /// Groups that a load of before has left in place.
  private var resident: [Int: (place: Place, elements: Range<Int>)] = [:]
  private var next = 0

  private mutating func place(
    _ strand: TaskPlanner.Strand, _ strands: TaskPlanner.Strands, _ planner: TaskPlanner
  ) -> Bool {
    var own: [Int: Place] = [:]
    for group in strand.groups { own[group] = resident[group]?.place }
    for group in strand.groups where own[group] == nil {
      let source = strands.groups[group]
      guard let elements = room(for: source.elements.count, around: Array(own.keys)) else { return false }
      resident = resident.filter { !$0.value.elements.overlaps(elements) }
      let distance = elements.lowerBound - source.elements.lowerBound
      let place = Place(load: Int32(loads.count), distance: distance)
      loads.append(
        source.pieces.compactMap { index in
          guard case .loadInp(let rows, let to) = planner.operations[index] else { return nil }
          return TaskGraph.Piece(rows: rows, to: to.moved(by: distance))
        })
      resident[group] = (place, elements)
      own[group] = place
      next = elements.upperBound
    }
    places.append(own)
    return true
  }

  /// Elements behind the last load, or from the start again, that overwrite none of some groups.
  private func room(for count: Int, around own: [Int]) -> Range<Int>? {
    var first = next
    var isSecondRound = false
    while true {
      if first + count > elementCount {
        if isSecondRound { return nil }
        isSecondRound = true
        first = 0
        if count > elementCount { return nil }
      }
      let elements = first..<first + count
      let end = own.compactMap { key in
        resident[key].flatMap { $0.elements.overlaps(elements) ? $0.elements.upperBound : nil }
      }.max()
      guard let end else { return elements }
      first = end
    }
  }
}
