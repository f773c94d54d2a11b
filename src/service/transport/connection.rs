//! One connection: what is read is framed and handed on, what waits is written.
//!
//! It ends when the peer closes it, is out of step, idle or too slow, or when it is cut. What was not written then
//! is told. Source: RFC 3261 §18.3 and §18.4, RFC 5626 §4.4.1.

use super::streams::{Shared, StreamEvent};
use super::table::{Ends, Queue};
use crate::sip::transaction::Path;
use crate::sip::wire::Framer;
use crate::sip::wire::stream::{PONG, Piece};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, timeout, timeout_at};

/// What is read at once.
const READ_BYTES: usize = 16 * 1024;

/// How long a connection that is out of step stays, so that its last answer is heard.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// Carries messages both ways until the connection ends.
pub(super) async fn run<S>(shared: &Shared, mut ends: Ends, stream: S)
where
    S: AsyncRead + AsyncWrite,
{
    let (from_peer, to_peer) = split(stream);
    let (pong, pongs) = channel(1);
    let mut writing = Writing {
        limit: shared.limits.write_time,
        to_peer,
        pongs,
        current: None,
    };
    tokio::select! {
        () = read(shared, ends.path, from_peer, pong) => {}
        () = writing.write(&mut ends.queue) => {}
        () = ends.cut.notified() => {}
    }
    let unsent = writing.current.take();
    drop(writing);
    end(shared, ends, unsent).await;
}

/// A connection that never stood.
pub(super) async fn give_up(shared: &Shared, ends: Ends) {
    end(shared, ends, None).await;
}

/// Takes it out of the table, and tells of what was not written.
async fn end(shared: &Shared, ends: Ends, first: Option<Vec<u8>>) {
    shared.table().end(ends.path);
    for bytes in first.into_iter().chain(ends.queue.rest()) {
        shared.tell(StreamEvent::Unsent { bytes }).await;
    }
}

/// Reads to the end of the stream, of its order, or of our patience.
async fn read<S: AsyncRead>(
    shared: &Shared,
    path: Path,
    mut from_peer: ReadHalf<S>,
    pong: Sender<()>,
) {
    let mut framer = Framer::default();
    let mut bytes = vec![0; READ_BYTES];
    let limits = &shared.limits;
    let mut until = Instant::now() + limits.message_time;
    // The first message is awaited as one that has begun.
    let mut within = true;
    // Somebody who has said something may be waiting for an answer.
    let mut heard = false;
    loop {
        let came = timeout_at(until, from_peer.read(&mut bytes)).await;
        let Ok(Ok(length @ 1..)) = came else {
            return;
        };
        framer.push(bytes.get(..length).unwrap_or_default());
        let mut pieces = 0;
        loop {
            match framer.poll_piece() {
                Ok(Some(Piece::Message(bytes))) => {
                    heard = true;
                    shared.tell(StreamEvent::Message { path, bytes }).await;
                }
                // One that waits already answers this one too.
                Ok(Some(Piece::Ping)) => drop(pong.try_send(())),
                Ok(None) => break,
                Err(out_of_step) => {
                    let bytes = out_of_step.head;
                    if !bytes.is_empty() {
                        heard = true;
                        shared.tell(StreamEvent::Message { path, bytes }).await;
                    }
                    if heard {
                        discard(from_peer).await;
                    }
                    return;
                }
            }
            pieces += 1;
        }
        // A message that goes on keeps its time, one that begins gets its own.
        match (framer.is_within_message(), pieces > 0) {
            (true, false) if within => {}
            (true, _) => (within, until) = (true, Instant::now() + limits.message_time),
            (false, true) => (within, until) = (false, Instant::now() + limits.idle),
            (false, false) => {}
        }
    }
}

/// Reads on without looking: closing over unread bytes would take our answer away from the peer.
async fn discard<S: AsyncRead>(mut from_peer: ReadHalf<S>) {
    let mut bytes = vec![0; READ_BYTES];
    let all = async { while let Ok(1..) = from_peer.read(&mut bytes).await {} };
    let _ = timeout(LAST_ANSWER, all).await;
}

struct Writing<S> {
    limit: Duration,
    to_peer: WriteHalf<S>,
    pongs: Receiver<()>,
    /// The message that is being written.
    current: Option<Vec<u8>>,
}

impl<S: AsyncWrite> Writing<S> {
    /// Writes what comes, until nothing more can come or the peer does not take it.
    async fn write(&mut self, queue: &mut Queue) {
        loop {
            tokio::select! {
                Some(()) = self.pongs.recv() => {
                    if !send(&mut self.to_peer, PONG, self.limit).await {
                        return;
                    }
                }
                message = queue.next() => {
                    let Some(message) = message else {
                        let _ = timeout(self.limit, self.to_peer.shutdown()).await;
                        return;
                    };
                    let message = self.current.insert(message);
                    if !send(&mut self.to_peer, message, self.limit).await {
                        return;
                    }
                    self.current = None;
                }
            }
        }
    }
}

/// Whether the peer has taken it, as far as can be told.
async fn send<S: AsyncWrite>(to_peer: &mut WriteHalf<S>, bytes: &[u8], limit: Duration) -> bool {
    let written = async {
        to_peer.write_all(bytes).await?;
        to_peer.flush().await
    };
    matches!(timeout(limit, written).await, Ok(Ok(())))
}
