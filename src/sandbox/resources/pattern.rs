//! Bytes that look random and are the same every time, made while they are sent.

use std::{
    io,
    pin::Pin,
    sync::LazyLock,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

const BLOCK: usize = 64 << 10;

/// One block; block `n` differs from it in its first eight bytes, which are `n`, big-endian.
static BLOCK_BYTES: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..BLOCK as u64 / 8).flat_map(|n| mix(n).to_le_bytes()).collect());

/// The bytes from `at` to `end` of an endless pattern.
pub(super) struct Pattern {
    pub(super) at: u64,
    pub(super) end: u64,
}

/// SplitMix64's finaliser.
fn mix(n: u64) -> u64 {
    let z = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Body for Pattern {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.at >= self.end {
            return Poll::Ready(None);
        }
        let (block, from) = (self.at / BLOCK as u64, (self.at % BLOCK as u64) as usize);
        let to = (BLOCK as u64).min(self.end - block * BLOCK as u64) as usize;
        let mut bytes = BLOCK_BYTES[from..to].to_vec();
        for (byte, number) in bytes.iter_mut().zip(block.to_be_bytes().into_iter().skip(from)) {
            *byte = number;
        }
        self.at += bytes.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(bytes.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.at >= self.end
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end.saturating_sub(self.at))
    }
}
