//! Bits of a made bitstream, most significant first, and the bytes they become.

#[derive(Debug, Default)]
pub(crate) struct Bits(Vec<bool>);

impl Bits {
    pub(crate) fn push(&mut self, value: u32, length: u32) {
        self.0
            .extend((0..length).rev().map(|bit| value >> bit & 1 == 1));
    }

    /// Exp-Golomb, as H.264 and H.265 write numbers (`ue(v)`, ITU-T H.264, 9.1).
    pub(crate) fn push_ue(&mut self, value: u32) {
        let length = 32 - (value + 1).leading_zeros();
        self.push(0, length - 1);
        self.push(value + 1, length);
    }

    /// Zeros up to the next whole byte.
    pub(crate) fn align(&mut self) {
        let bits = self.0.len().next_multiple_of(8);
        self.0.resize(bits, false);
    }

    /// The stop bit that ends a NAL unit of H.264 and H.265.
    pub(crate) fn stop(&mut self) {
        self.push(1, 1);
        self.align();
    }

    /// The last byte is filled with zeros.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let byte = |bits: &[bool]| {
            let set = bits.iter().enumerate().filter(|(_, set)| **set);
            set.map(|(place, _)| 0x80 >> place).sum()
        };
        self.0.chunks(8).map(byte).collect()
    }
}

/// A byte 3 after two zeros, where the stream would look like a start code.
pub(crate) fn escaped(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for byte in bytes {
        if *byte <= 3 && out.ends_with(&[0, 0]) {
            out.push(3);
        }
        out.push(*byte);
    }
    out
}
