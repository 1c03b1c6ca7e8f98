//! How much a request may ask for.

/// How much a request may ask for before it is refused.
///
/// Limits are checked before memory is taken, so a short request cannot claim a large tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The most bytes a body may hold once its `Content-Encoding` is undone. More is answered with 413.
    pub max_body_bytes: u64,
    /// The most elements one tensor may hold. More is answered with 413.
    pub max_elements: u64,
}

impl Default for Limits {
    /// 64 MiB of body, and 16 Mi elements a tensor: a 64 MiB tensor of FP32.
    fn default() -> Self {
        Self { max_body_bytes: 64 << 20, max_elements: 16 << 20 }
    }
}

impl Limits {
    /// The same limits, with another bound on the body in bytes.
    #[must_use]
    pub fn with_max_body_bytes(mut self, bytes: u64) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// The same limits, with another bound on the elements of a tensor.
    #[must_use]
    pub fn with_max_elements(mut self, elements: u64) -> Self {
        self.max_elements = elements;
        self
    }
}
