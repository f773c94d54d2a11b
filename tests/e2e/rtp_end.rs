//! A media end of our own behind a SIPp call: it hears every packet and speaks on the beat.

use crate::audio::{from_alaw, from_ulaw};
use crate::speaker::{Between, Speaker};
use crate::stage::now_s;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// An RTP packet that arrived or was sent.
#[derive(Clone, Debug)]
pub struct Packet {
    /// When, in seconds since 1970.
    pub at_s: f64,
    /// Who sent it.
    pub from: SocketAddr,
    /// Marker bit.
    pub marker: bool,
    /// Payload type.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Time stamp.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// What follows the header of 12 bytes.
    pub payload: Vec<u8>,
}

impl Packet {
    fn read(bytes: &[u8], from: SocketAddr) -> Option<Self> {
        let (head, payload) = bytes.split_at_checked(12)?;
        // Version 2, no padding, no extension, no contributing source: nobody here sends else.
        (head[0] == 0x80).then_some(())?;
        Some(Self {
            at_s: now_s(),
            from,
            marker: head[1] & 0x80 != 0,
            payload_type: head[1] & 0x7F,
            sequence: u16::from_be_bytes([head[2], head[3]]),
            timestamp: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
            ssrc: u32::from_be_bytes([head[8], head[9], head[10], head[11]]),
            payload: payload.to_vec(),
        })
    }

    /// As it goes onto the wire.
    pub fn write(&self) -> Vec<u8> {
        let mut bytes = vec![0x80, u8::from(self.marker) << 7 | self.payload_type];
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.timestamp.to_be_bytes());
        bytes.extend(self.ssrc.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    /// Its sound; nothing for what is not G.711.
    pub fn samples(&self) -> Vec<i16> {
        match self.payload_type {
            8 => self.payload.iter().map(|byte| from_alaw(*byte)).collect(),
            0 => self.payload.iter().map(|byte| from_ulaw(*byte)).collect(),
            _ => Vec::new(),
        }
    }
}

/// The sound of packets, one after the other.
pub fn sound(packets: &[Packet]) -> Vec<i16> {
    packets.iter().flat_map(Packet::samples).collect()
}

/// A socket at the port that a SIPp scenario puts into its SDP.
pub struct RtpEnd {
    /// The port.
    pub port: u16,
    socket: UdpSocket,
    heard: Arc<Mutex<Vec<Packet>>>,
    /// Datagrams that are no RTP.
    strange: Arc<Mutex<Vec<Vec<u8>>>>,
    stop: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

impl RtpEnd {
    /// Binds a free even port and begins to listen.
    pub fn open() -> Self {
        Self::open_at(Ipv4Addr::LOCALHOST.into())
    }

    /// The same at another address of this machine.
    pub fn open_at(host: IpAddr) -> Self {
        let port = crate::ports::block(2);
        let socket = UdpSocket::bind((host, port)).expect("a free RTP port");
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("a read timeout");
        let mut end = Self {
            port,
            socket,
            heard: Arc::default(),
            strange: Arc::default(),
            stop: Arc::default(),
            listener: None,
        };
        end.listener = Some(end.listen());
        end
    }

    fn listen(&self) -> JoinHandle<()> {
        let socket = self.socket.try_clone().expect("a second handle");
        let (heard, strange) = (Arc::clone(&self.heard), Arc::clone(&self.strange));
        let stop = Arc::clone(&self.stop);
        std::thread::spawn(move || {
            let mut bytes = [0; 2048];
            while !stop.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut bytes) else {
                    continue;
                };
                match Packet::read(&bytes[..length], from) {
                    Some(packet) => heard.lock().expect("a list").push(packet),
                    None => strange
                        .lock()
                        .expect("a list")
                        .push(bytes[..length].to_vec()),
                }
            }
        })
    }

    /// All that was heard so far.
    pub fn heard(&self) -> Vec<Packet> {
        assert!(
            self.strange.lock().expect("a list").is_empty(),
            "datagrams that are no RTP came"
        );
        self.heard.lock().expect("a list").clone()
    }

    /// Begins a stream to `to`, silent until it is told to say something.
    pub fn speak_to(&self, to: SocketAddr, between: Between) -> Speaker {
        Speaker::start(
            self.socket.try_clone().expect("a second handle"),
            to,
            between,
        )
    }
}

impl Drop for RtpEnd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

#[test]
fn an_end_hears_what_the_other_says() {
    let (caller, agent) = (RtpEnd::open(), RtpEnd::open());
    let speaker = caller.speak_to((Ipv4Addr::LOCALHOST, agent.port).into(), Between::Nothing);
    speaker.say(&crate::tone::tone(440.0, 0.5));
    speaker.lose(3);
    speaker.say(&crate::tone::tone(440.0, 0.2));
    speaker.press(101, 5);
    speaker.finish(Duration::from_secs(3));
    let heard = crate::stage::wait_for("the packets", Duration::from_secs(1), || {
        Some(agent.heard()).filter(|heard| heard.len() == 42)
    });
    assert_eq!(crate::tone::strongest(&sound(&heard)).0, 440.0);
    assert_eq!(heard[25].sequence.wrapping_sub(heard[24].sequence), 4);
    assert_eq!(
        heard
            .iter()
            .filter(|packet| packet.payload_type == 101 && packet.marker)
            .count(),
        1
    );
    assert_eq!(speaker.sent().len(), heard.len());
}
