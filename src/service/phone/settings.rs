//! What a phone line is started with, and what it gives back.

use crate::base::codec::Codec;
use crate::base::time::Instant;
use crate::phone::audio::{Heard, Recording, SAMPLE_RATE, Sound, Stats};
use crate::phone::behaviour::Behaviour;
use crate::phone::{CallId, Dial, Event};
use crate::sip::wire::{PeerFault, Uri};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// How to start a [`PhoneLine`](super::PhoneLine).
#[derive(Clone, Debug)]
pub struct PhoneSettings {
    /// SIP's address, which SDP names too; port 0 takes a free one. Never `0.0.0.0`: peers are told it.
    pub address: SocketAddr,
    /// What it does by itself.
    pub behaviour: Behaviour,
    /// Codecs that are taken in calls to us.
    pub codecs: Vec<Codec>,
    /// What it says in each call.
    pub sound: Sound,
    /// Whether what it hears is kept.
    pub record: bool,
}

impl PhoneSettings {
    /// A phone at a free port that answers at once, says nothing but silence and records nothing.
    pub fn at(ip: IpAddr) -> PhoneSettings {
        PhoneSettings {
            address: SocketAddr::new(ip, 0),
            behaviour: Behaviour::default(),
            codecs: vec![Codec::Pcma, Codec::Pcmu],
            sound: Sound::Silence,
            record: false,
        }
    }
}

/// Whom to call, and with what sound.
#[derive(Clone, Debug)]
pub struct Calling {
    /// For the INVITE.
    pub dial: Dial,
    /// In place of the line's own sound.
    pub sound: Option<Sound>,
}

impl Calling {
    /// Calls `sip:user@host:port` at that address, with both codecs, A-law first.
    ///
    /// # Errors
    /// `to` is no URI.
    pub fn new(to: &str, address: SocketAddr, number: &str) -> Result<Calling, PeerFault> {
        let dial = Dial {
            to: Uri::parse(to)?,
            address,
            number: number.to_owned(),
            display: None,
            codecs: vec![Codec::Pcma, Codec::Pcmu],
        };
        Ok(Calling { dial, sound: None })
    }

    /// The same with a sound of its own.
    pub fn saying(self, sound: Sound) -> Calling {
        Calling {
            sound: Some(sound),
            ..self
        }
    }
}

/// Something happened, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineEvent {
    /// By the boot clock, as [`clock::now`](crate::service::clock::now).
    pub at: Instant,
    /// To which call.
    pub call: CallId,
    /// What.
    pub what: What,
}

/// What happened to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// In its signalling.
    Call(Event),
    /// In its audio.
    Heard(Heard),
}

/// What is left of a phone line.
#[derive(Clone, Debug, Default)]
pub struct Recordings {
    /// All calls, in the order in which they ended.
    pub calls: Vec<CallAudio>,
    /// Events that nobody fetched in time, so that the bounded queue had no room for them.
    pub events_lost: u64,
}

impl Recordings {
    /// The audio of one call.
    pub fn of(&self, call: CallId) -> Option<&CallAudio> {
        self.calls.iter().find(|audio| audio.call == call)
    }
}

/// The audio of one call.
#[derive(Clone, Debug)]
pub struct CallAudio {
    /// Which call.
    pub call: CallId,
    /// In numbers.
    pub stats: Stats,
    /// What was heard, if it was to be recorded and audio was to be expected at all.
    pub recording: Option<Recording>,
}

/// Writes samples as a WAV file: 8 kHz, mono, 16 bit.
///
/// # Errors
/// The file cannot be written.
pub fn write_wav(path: &Path, samples: &[i16]) -> io::Result<()> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: SAMPLE_RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).map_err(io::Error::other)?;
    for sample in samples {
        writer.write_sample(*sample).map_err(io::Error::other)?;
    }
    writer.finalize().map_err(io::Error::other)
}
