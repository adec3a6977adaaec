#if canImport(Glibc)
  private import Glibc
#elseif canImport(Musl)
  private import Musl
#endif

/// A function that the accelerator cannot compute.
package struct HostFunction: Hashable, Sendable {
  package enum Kind: String, Hashable, Sendable, CaseIterable {
    case sigmoid, tanh
    /// `max(0, min(1, alpha · x + beta))`
    case hardSigmoid = "hard_sigmoid"
    /// x times its hard sigmoid.
    case hardSwish = "hard_swish"
    /// x where it is not negative, `alpha · (exp(x) − 1)` elsewhere.
    case elu
    /// `log(1 + exp(x))`
    case softplus
    case exp
  }
  package var kind: Kind
  package var alpha: Float
  package var beta: Float

  package init(_ kind: Kind, alpha: Float = 0, beta: Float = 0) {
    self.kind = kind
    self.alpha = alpha
    self.beta = beta
  }

  package func callAsFunction(_ x: Float) -> Float {
    switch kind {
    case .sigmoid: 1 / (1 + expf(-x))
    case .tanh: tanhf(x)
    case .hardSigmoid: hardSigmoid(x)
    case .hardSwish: x * hardSigmoid(x)
    case .elu: x >= 0 ? x : alpha * expm1f(x)
    // Large arguments must not overflow the exponential.
    case .softplus: max(x, 0) + log1pf(expf(-abs(x)))
    case .exp: expf(x)
    }
  }

  private func hardSigmoid(_ x: Float) -> Float { max(0, min(1, alpha * x + beta)) }
}
