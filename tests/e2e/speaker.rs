//! A voice on the beat: PCMA, 20 ms a packet, with pauses, losses and keys.

use crate::audio::{ALAW_SILENCE, FRAME, to_alaw};
use crate::rtp_end::Packet;
use crate::stage::now_s;
use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What a stream does while it has nothing to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between {
    /// It sends nothing (its time stamps go on).
    Nothing,
    /// It sends digital silence.
    Silence,
}

/// What one beat of 20 ms sends.
enum Beat {
    Audio(Vec<u8>),
    /// A packet that the network loses: its number is used up.
    Lost(Vec<u8>),
    /// RFC 4733 §2.3: code, marker, end, duration so far.
    Key {
        payload_type: u8,
        code: u8,
        first: bool,
        end: bool,
        ticks: u16,
    },
}

/// A stream of PCMA that is sent on the beat.
pub struct Speaker {
    queue: Arc<Mutex<VecDeque<Beat>>>,
    sent: Arc<Mutex<Vec<Packet>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Speaker {
    /// Begins the stream.
    pub fn start(socket: UdpSocket, to: SocketAddr, between: Between) -> Self {
        let queue: Arc<Mutex<VecDeque<Beat>>> = Arc::default();
        let sent: Arc<Mutex<Vec<Packet>>> = Arc::default();
        let stop: Arc<AtomicBool> = Arc::default();
        let mut stream = Stream::new(socket, to, between);
        let thread = std::thread::spawn({
            let (queue, sent, stop) = (Arc::clone(&queue), Arc::clone(&sent), Arc::clone(&stop));
            move || {
                let begin = Instant::now();
                for beat in 0u32.. {
                    // From the first beat, not from the last: a late wake-up must not slow the stream.
                    let due = begin + Duration::from_millis(20) * beat;
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let next = queue.lock().expect("a queue").pop_front();
                    if let Some(packet) = stream.beat(next) {
                        sent.lock().expect("a list").push(packet);
                    }
                }
            }
        });
        Self {
            queue,
            sent,
            stop,
            thread: Some(thread),
        }
    }

    /// Puts sound at the end of what is to be said.
    pub fn say(&self, samples: &[i16]) {
        self.queue
            .lock()
            .expect("a queue")
            .extend(frames(samples).map(Beat::Audio));
    }

    /// Puts `packets` frames of silence there that never arrive.
    pub fn lose(&self, packets: usize) {
        let silence = vec![0; packets * FRAME];
        self.queue
            .lock()
            .expect("a queue")
            .extend(frames(&silence).map(Beat::Lost));
    }

    /// Presses a key for 100 ms; the end is sent three times (RFC 4733 §2.5.1.4).
    pub fn press(&self, payload_type: u8, code: u8) {
        let key = |beat: u16| Beat::Key {
            payload_type,
            code,
            first: beat == 0,
            end: beat >= 4,
            ticks: (beat.min(4) + 1) * FRAME as u16,
        };
        self.queue.lock().expect("a queue").extend((0..7).map(key));
    }

    /// Whether all has been said.
    pub fn is_done(&self) -> bool {
        self.queue.lock().expect("a queue").is_empty()
    }

    /// Waits until all has been said.
    pub fn finish(&self, limit: Duration) {
        crate::stage::wait_for("the end of what is said", limit, || {
            self.is_done().then_some(())
        });
    }

    /// All that was sent so far.
    pub fn sent(&self) -> Vec<Packet> {
        self.sent.lock().expect("a list").clone()
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn frames(samples: &[i16]) -> impl Iterator<Item = Vec<u8>> {
    samples.chunks(FRAME).map(|frame| {
        let mut payload: Vec<u8> = frame.iter().map(|sample| to_alaw(*sample)).collect();
        payload.resize(FRAME, ALAW_SILENCE);
        payload
    })
}

/// The sending side of a stream: its numbers go on.
struct Stream {
    socket: UdpSocket,
    local: SocketAddr,
    to: SocketAddr,
    between: Between,
    sequence: u16,
    timestamp: u32,
    key_timestamp: u32,
    ssrc: u32,
    /// Nothing went out at the last beat: the next packet carries the marker (RFC 3551 §4.1).
    paused: bool,
}

impl Stream {
    fn new(socket: UdpSocket, to: SocketAddr, between: Between) -> Self {
        let local = socket.local_addr().expect("an address");
        let seed =
            (u32::from(local.port()) << 16 | u32::from(to.port())).wrapping_mul(2_654_435_761);
        Self {
            socket,
            local,
            to,
            between,
            sequence: seed as u16,
            timestamp: seed.rotate_left(7),
            key_timestamp: 0,
            ssrc: seed ^ 0x5bd1_e995,
            paused: true,
        }
    }

    /// Sends what one beat asks for; time goes on in any case.
    fn beat(&mut self, beat: Option<Beat>) -> Option<Packet> {
        let is_lost = matches!(beat, Some(Beat::Lost(_)));
        let packet = match beat {
            Some(Beat::Audio(payload) | Beat::Lost(payload)) => Some(self.packet(8, payload)),
            Some(Beat::Key {
                payload_type,
                code,
                first,
                end,
                ticks,
            }) => Some(self.key(payload_type, code, first, end, ticks)),
            None if self.between == Between::Silence => {
                Some(self.packet(8, vec![ALAW_SILENCE; FRAME]))
            }
            None => None,
        };
        self.timestamp = self.timestamp.wrapping_add(FRAME as u32);
        self.paused = packet.is_none();
        let packet = packet.filter(|_| !is_lost)?;
        // A far end that is gone answers with ICMP; a real phone would not mind either.
        let _ = self.socket.send_to(&packet.write(), self.to);
        Some(packet)
    }

    fn packet(&mut self, payload_type: u8, payload: Vec<u8>) -> Packet {
        let packet = Packet {
            at_s: now_s(),
            from: self.local,
            marker: self.paused,
            payload_type,
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
            payload,
        };
        self.sequence = self.sequence.wrapping_add(1);
        packet
    }

    fn key(&mut self, payload_type: u8, code: u8, first: bool, end: bool, ticks: u16) -> Packet {
        if first {
            self.key_timestamp = self.timestamp;
        }
        let [high, low] = ticks.to_be_bytes();
        let volume = 10;
        let payload = vec![code, u8::from(end) << 7 | volume, high, low];
        let packet = self.packet(payload_type, payload);
        Packet {
            marker: first,
            timestamp: self.key_timestamp,
            ..packet
        }
    }
}
