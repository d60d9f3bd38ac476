//! A bound on the size of one answer, so that an endpoint cannot exhaust our memory.

/// Largest answer that is read, in bytes: several times what providers give.
pub(crate) const MAX_ANSWER_BYTES: usize = 64 << 20;

/// The answer is larger than is read.
#[derive(Debug, thiserror::Error)]
#[error("the answer has more than {limit} bytes")]
pub(crate) struct AnswerTooLarge {
    /// Largest answer that is read, in bytes.
    pub(crate) limit: usize,
}
