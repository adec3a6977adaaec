internal import ArgumentParser
private import Crypto
private import Foundation
private import VTAModule
private import VTAService

struct SignCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sign", abstract: "Signs a module, so that a daemon that asks for signatures takes it.",
    discussion: """
      A key file holds the 32 bytes of an Ed25519 private key as 64 hexadecimal digits; --generate makes one and prints \
      the public key, which belongs into modules.keys of the daemon's configuration. Signing again adds a signature.
      """)

  @Argument(help: "The compiled model, a .vtab file.", completion: .file(extensions: ["vtab"]))
  var module: String?

  @Option(help: ArgumentHelp("The file of the private key.", valueName: "file"), completion: .file())
  var key: String

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("Where to write the signed module; by default where it was.", valueName: "file"),
    completion: .file(extensions: ["vtab"]))
  var output: String?

  @Flag(help: "Make a new key in the file, which must not exist.")
  var generate = false

  func validate() throws {
    guard generate != (module != nil) else {
      throw ValidationError("name a module to sign, or make a key with --generate")
    }
  }

  func run() throws {
    guard let module else {
      let new = Curve25519.Signing.PrivateKey()
      try Self.write(new, to: key)
      return print(Self.text(new.publicKey.rawRepresentation))
    }
    let signer = try Self.read(key)
    let (bytes, _) = try ModuleInput.read(module)
    let signed: [UInt8]
    do { signed = try ModuleSignature.signed(bytes, by: signer) } catch { throw Failure(module, error) }
    try FileOutput.write(signed, to: output ?? module)
    print("signed by \(Self.text(signer.publicKey.rawRepresentation))")
  }

  private static func text(_ bytes: Data) -> String { bytes.map(\.hex).joined() }

  private static func write(_ key: Curve25519.Signing.PrivateKey, to path: String) throws {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else {
      throw Failure(
        path, "the key can't be written there: \(String(cString: strerror(errno))); choose a new file")
    }
    let file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    do { try file.write(contentsOf: Data((text(key.rawRepresentation) + "\n").utf8)) } catch {
      throw Failure(path, error)
    }
  }

  private static func read(_ path: String) throws -> Curve25519.Signing.PrivateKey {
    let text: [UInt8]
    do { text = try File.read(path, limit: 1 << 10) } catch { throw Failure(path, error.reason) }
    let digits = String(decoding: text, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    guard let bytes = [UInt8](hex: digits), bytes.count == ModuleSignature.keyByteCount,
      let key = try? Curve25519.Signing.PrivateKey(rawRepresentation: Data(bytes))
    else { throw Failure(path, "it is no private key: 64 hexadecimal digits; make one with --generate") }
    return key
  }
}
