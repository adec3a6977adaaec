import HTTPTypes
import Testing

@testable import VTAService

/// What HTTP's headers say about codings: RFC 9110, sections 8.4 and 12.5.3.
@Suite struct ContentCodingTests {
  private static func accepted(_ field: String?) -> String? {
    guard let coding = try? AcceptedCoding(field) else { return nil }
    return coding.best.rawValue + (coding.takesIdentity ? "" : " only")
  }

  @Test(
    arguments: [
      (nil, "identity"), ("", "identity"), (" , ,", "identity"), ("gzip", "gzip"), ("deflate", "deflate"),
      ("GZIP", "gzip"), ("x-gzip", "gzip"), ("identity", "identity"), ("br", "identity"),
      // Of those that are liked as much, gzip.
      ("gzip, deflate, br, zstd", "gzip"), ("deflate,gzip", "gzip"), ("identity, deflate", "deflate"),
      // Weights.
      ("gzip;q=0.5, deflate;q=0.8", "deflate"), ("gzip;q=0.5,deflate;q=0.8,identity", "identity"),
      ("gzip ; q=0.001", "gzip"), ("gzip;Q=1.000", "gzip"), ("gzip;q=0, deflate;q=0.000", "identity"),
      // The rest.
      ("*", "gzip"), ("gzip;q=0, *", "deflate"), ("*;q=0.5, gzip;q=0.1", "deflate"),
      ("br;q=1, *;q=0", nil), ("*;q=0", nil), ("identity;q=0", nil), ("br, identity;q=0", nil),
      ("gzip, identity;q=0", "gzip only"), ("deflate, *;q=0", "deflate only"),
      ("identity;q=0.5, *;q=0", "identity"),
      // What is not written as it should be says nothing.
      ("gzip;q=2, deflate", "deflate"), ("gzip;q=-1", "identity"), ("gzip;q=, deflate;q=x", "identity"),
      ("gzip;q=nan", "identity"), (";q=1", "identity"), ("gzip deflate", "identity"),
      ("gzip;level=9", "gzip"),
      (";;;,,,===;q;q=;*", "identity"),
    ] as [(String?, String?)])
  func acceptEncodingIsUnderstood(_ field: String?, _ expected: String?) {
    #expect(Self.accepted(field) == expected)
  }

  @Test func whatNobodyTakesIsNotAcceptable() {
    #expect { try AcceptedCoding("*;q=0") } throws: { ($0 as? HTTPRefusal)?.status == .notAcceptable }
  }

  @Test(
    arguments: [
      (nil, .identity), ("", .identity), ("identity", .identity), ("gzip", .gzip), ("GZip", .gzip),
      (" x-gzip ", .gzip), ("deflate", .deflate), ("identity, gzip", .gzip), ("gzip,", .gzip),
    ] as [(String?, MessageCompression)])
  func contentEncodingIsUnderstood(_ field: String?, _ expected: MessageCompression) throws {
    #expect(try MessageCompression(contentEncoding: field) == expected)
  }

  @Test(arguments: ["br", "zstd", "gzip, deflate", "gzip, gzip", "*", "gzip;q=1", "chunked", "\u{1F600}"])
  func otherContentEncodingsAreRefused(_ field: String) {
    #expect {
      try MessageCompression(contentEncoding: field)
    } throws: { error in
      let refusal = error as? HTTPRefusal
      return refusal?.status == .unsupportedMediaType
        && refusal?.sentence.contains("gzip, deflate or identity") == true
    }
  }
}
