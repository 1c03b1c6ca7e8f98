//! A request's body in one piece.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;

/// The whole of a body: the one frame that it comes in, or what its frames hold in one place. That grows towards `expected`
/// bytes as they come, and by no more than has come: a client may announce what it never sends.
pub async fn collect<B: Body<Data = Bytes> + Unpin>(mut body: B, expected: usize) -> Result<Bytes, B::Error> {
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if first.is_empty() && whole.is_empty() {
            first = data;
            continue;
        }
        if whole.is_empty() {
            whole.extend_from_slice(&std::mem::take(&mut first));
        }
        if whole.capacity() - whole.len() < data.len() {
            let remaining = expected.saturating_sub(whole.len());
            whole.reserve(remaining.min(whole.len()).max(data.len()));
        }
        whole.extend_from_slice(&data);
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use hyper::HeaderMap;
    use hyper::body::Frame;

    use super::*;

    /// A body that comes in these frames.
    struct Frames(VecDeque<Frame<Bytes>>);

    impl Body for Frames {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(Ok))
        }
    }

    async fn collected(frames: impl IntoIterator<Item = Bytes>, expected: usize) -> Bytes {
        let Ok(body) = collect(Frames(frames.into_iter().map(Frame::data).collect()), expected).await;
        body
    }

    #[tokio::test]
    async fn what_comes_in_one_piece_stays_where_it_is() {
        let piece = Bytes::from(vec![1; 100]);
        let body = collected([Bytes::new(), piece.clone(), Bytes::new()], 100).await;
        assert_eq!(body, piece);
        assert!(collected([], 100).await.is_empty());
        assert_eq!(collected([piece.clone()], 100).await.as_ptr(), piece.as_ptr());
    }

    #[tokio::test]
    async fn pieces_are_put_together_in_their_order_whatever_was_announced() {
        for expected in [0, 5, 300, usize::MAX] {
            let pieces = (0..100_u8).map(|piece| Bytes::from(vec![piece; 3]));
            let body = collected(pieces, expected).await;
            assert!(body.iter().copied().eq((0..100).flat_map(|piece| [piece; 3])), "{expected} were announced");
        }
    }

    #[tokio::test]
    async fn what_is_announced_and_not_sent_takes_no_memory() {
        let body = collected([Bytes::from_static(&[1; 10]), Bytes::from_static(&[2; 10])], 1 << 40).await;
        assert!(BytesMut::from(body).capacity() <= 64);
    }

    #[tokio::test]
    async fn trailers_are_no_part_of_it() {
        let frames = [Frame::data(Bytes::from_static(b"a")), Frame::trailers(HeaderMap::new())];
        let Ok(body) = collect(Frames(frames.into()), 1).await;
        assert_eq!(body, "a");
    }
}
