/// The version of this project: of both programs, and what modules name as their producer.
package enum Version {
  package static let text = "0.1.0"
}
