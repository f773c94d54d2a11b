//! The demo's calls: who calls whom, what they do, and how it should end.

use super::story::Story;
use crate::base::time::Instant;
use crate::hotline::record::{CallRecord, EndedBy, Outcome};
use crate::phone::audio::{Heard, Sound, samples_of_wav};
use crate::phone::behaviour::{Behaviour, Incoming, Outgoing, Reply, Ring};
use crate::phone::{EndedBy as EndedFor, Event};
use crate::service::phone::{Calling, LineEvent, PhoneLine, PhoneSettings, What};
use crate::service::{clock, prompts};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What the silent caller is asked, in the order of the profile `after-sales`.
const SCRIPT: [(&str, &str); 3] = [
    ("您好,您的电话已接通。", "Hello, your call is connected."),
    (
        "您好,您的电话已接通,请问您能听见我的声音吗?",
        "… can you hear me?",
    ),
    (
        "对不起,听不到您的声音,请您换一部话机再拨,谢谢。",
        "Sorry, we cannot hear you, please call from another phone.",
    ),
];

/// How far the record's ring time may be from the caller's own: a busy machine wakes the phones late.
const RING_TOLERANCE_MS: u64 = 50;

/// How long desk-1 rings before it is picked up.
const RINGS_FOR: Duration = Duration::from_millis(1_500);

/// The agents' phones.
pub(super) struct Desks(Vec<(&'static str, &'static str, PhoneLine)>);

impl Desks {
    /// Opens them at free ports.
    pub(super) fn open() -> io::Result<Desks> {
        let greeting = voice("zh-male", "hold-back")?;
        let answers = incoming(Reply::Answer(RINGS_FOR));
        let busy = Incoming {
            ring: Ring::Never,
            ..incoming(Reply::Refuse(Duration::ZERO, 486))
        };
        Ok(Desks(vec![
            (
                "desk-1",
                "rings for 1.5 s, answers, greets",
                desk(answers, Sound::once(greeting))?,
            ),
            ("desk-busy", "is busy", desk(busy, Sound::Silence)?),
            (
                "desk-empty",
                "rings, and nobody is there",
                desk(incoming(Reply::Never), Sound::Silence)?,
            ),
        ]))
    }

    /// The address of a desk.
    pub(super) fn address_of(&self, name: &str) -> Option<SocketAddr> {
        self.0
            .iter()
            .find(|(known, ..)| *known == name)
            .map(|(_, _, line)| line.local_addr())
    }

    /// Name, address, and what it does.
    pub(super) fn list(&self) -> impl Iterator<Item = (&str, SocketAddr, &str)> {
        self.0
            .iter()
            .map(|(name, does, line)| (*name, line.local_addr(), *does))
    }
}

fn incoming(reply: Reply) -> Incoming {
    Incoming {
        ring: Ring::After(Duration::from_millis(50)),
        reply,
        hang_up_after: None,
    }
}

fn desk(incoming: Incoming, sound: Sound) -> io::Result<PhoneLine> {
    let behaviour = Behaviour {
        incoming,
        outgoing: Outgoing::default(),
    };
    PhoneLine::start(PhoneSettings {
        behaviour,
        sound,
        ..PhoneSettings::at(LOOPBACK)
    })
}

/// A voice of the prompts, to be used as a person's.
fn voice(voice: &str, id: &str) -> io::Result<Vec<i16>> {
    let wav = prompts::embedded_wav(voice, id).ok_or(io::ErrorKind::NotFound)?;
    samples_of_wav(&wav).map_err(io::Error::other)
}

/// How a call should go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plot {
    /// The caller speaks and is left alone.
    Speaks,
    /// The caller sends silence and is treated.
    Silent,
    /// The caller sends nothing at all and is treated.
    Mute,
    /// Nobody answers.
    Unanswered,
}

/// One call of the story.
pub(super) struct Scene {
    plot: Plot,
    who: &'static str,
    number: &'static str,
    begins_at: Instant,
    sip: SocketAddr,
    line: PhoneLine,
    dialled: bool,
    sounds: usize,
    last_sound_ended_at: Option<Instant>,
    rang_at: Option<Instant>,
    answered_at: Option<Instant>,
    ended: Option<(EndedFor, u16)>,
}

impl Scene {
    /// All calls of the demo; they overlap.
    pub(super) fn all(sip: SocketAddr) -> io::Result<Vec<Scene>> {
        let spoken = voice("zh-female", "caller-unresponsive")?;
        let now = clock::now();
        let scene = |plot, who, number, after, sound, hang_up_after: Option<u64>| {
            let hang_up_after = hang_up_after.map(Duration::from_secs);
            let outgoing = Outgoing {
                hang_up_after,
                give_up_after: None,
            };
            let behaviour = Behaviour {
                incoming: Incoming::default(),
                outgoing,
            };
            let settings = PhoneSettings {
                behaviour,
                sound,
                ..PhoneSettings::at(LOOPBACK)
            };
            Ok::<Scene, io::Error>(Scene {
                plot,
                who,
                number,
                begins_at: now + Duration::from_secs(after),
                sip,
                line: PhoneLine::start(settings)?,
                dialled: false,
                sounds: 0,
                last_sound_ended_at: None,
                rang_at: None,
                answered_at: None,
                ended: None,
            })
        };
        Ok(vec![
            scene(
                Plot::Speaks,
                "Li",
                "13800000001",
                0,
                Sound::once(spoken),
                Some(14),
            )?,
            scene(Plot::Silent, "Wang", "13800000002", 1, Sound::Silence, None)?,
            scene(Plot::Mute, "Zhao", "13800000003", 2, Sound::Nothing, None)?,
            scene(
                Plot::Unanswered,
                "Chen",
                "13800000004",
                3,
                Sound::Silence,
                None,
            )?,
        ])
    }

    /// The caller's number, by which its record is found.
    pub(super) fn number(&self) -> &str {
        self.number
    }

    /// What the scene shows.
    pub(super) fn about(&self) -> &'static str {
        match self.plot {
            Plot::Speaks => "a caller who speaks is left alone",
            Plot::Silent => "a silent caller is asked twice, told goodbye, and hung up on",
            Plot::Mute => "a caller without any RTP is found after 2 s and treated",
            Plot::Unanswered => "a busy desk is passed over, an unanswered one given up",
        }
    }

    /// Whether the call has ended.
    pub(super) fn is_over(&self) -> bool {
        self.ended.is_some()
    }

    /// Lets the call go on, and tells what has happened.
    pub(super) fn play(&mut self, story: &mut Story) {
        let now = clock::now();
        if !self.dialled && now >= self.begins_at {
            self.dialled = true;
            self.dial(story, now);
        }
        while let Ok(event) = self.line.events().try_recv() {
            self.tell(story, &event);
        }
    }

    fn dial(&mut self, story: &mut Story, now: Instant) {
        let service = if self.plot == Plot::Unanswered {
            "4006000122"
        } else {
            "4006000121"
        };
        let to = format!("sip:{service}@{}", self.sip);
        match Calling::new(&to, self.sip, self.number) {
            Ok(calling) => {
                self.line.dial(calling);
                story.tell(
                    now,
                    self.who,
                    &format!("dials {service} ({})", self.about()),
                );
            }
            Err(_) => self.ended = Some((EndedFor::Nobody, 0)),
        }
    }

    fn tell(&mut self, story: &mut Story, event: &LineEvent) {
        match &event.what {
            What::Call(Event::Ringing) => self.rang_at = Some(event.at),
            What::Call(Event::Answered(_)) => self.answered_at = Some(event.at),
            _ => {}
        }
        let what = match &event.what {
            What::Call(Event::Ringing) => "hears it ring".to_owned(),
            What::Call(Event::Answered(_)) => match self.plot {
                Plot::Speaks => "is connected, and speaks".to_owned(),
                Plot::Mute => "is connected; not one packet comes from there".to_owned(),
                _ => "is connected, and says nothing".to_owned(),
            },
            What::Call(Event::Ended { by, status }) => {
                self.ended = Some((*by, *status));
                self.ending(*by, *status)
            }
            What::Heard(Heard::SoundBegan) => {
                self.sounds += 1;
                self.heard(event.at)
            }
            What::Heard(Heard::SoundEnded) => {
                self.last_sound_ended_at = Some(event.at.before(Duration::from_millis(700)));
                return;
            }
            _ => return,
        };
        story.tell(event.at, self.who, &what);
    }

    fn heard(&self, at: Instant) -> String {
        let silence = self
            .last_sound_ended_at
            .map(|ended| (at - ended).as_secs_f64());
        match (self.sounds, SCRIPT.get(self.sounds.wrapping_sub(2))) {
            (1, _) => "hears the agent's greeting".to_owned(),
            (_, Some((chinese, english))) if self.plot != Plot::Speaks => format!(
                "after {:.1} s of silence hears: {chinese} ({english})",
                silence.unwrap_or_default()
            ),
            _ => "hears something".to_owned(),
        }
    }

    fn ending(&self, by: EndedFor, status: u16) -> String {
        let silence = self
            .last_sound_ended_at
            .map(|ended| (clock::now() - ended).as_secs_f64());
        match (self.plot, by) {
            (Plot::Speaks, _) => "hangs up".to_owned(),
            (Plot::Unanswered, _) => format!("is told that nobody answers ({status})"),
            (_, EndedFor::Peer) => {
                format!(
                    "is hung up on, {:.1} s after the goodbye",
                    silence.unwrap_or_default()
                )
            }
            _ => "hangs up".to_owned(),
        }
    }

    /// What was not as it should be, by the phone and by the record.
    pub(super) fn faults(&self, record: Option<&CallRecord>) -> Vec<String> {
        let Some(record) = record else {
            return vec!["there is no record".to_owned()];
        };
        let mut faults = Vec::new();
        let mut check = |good: bool, fault: String| {
            if !good {
                faults.push(fault);
            }
        };
        let prompts = record.prompts.len();
        let answered = record.outcome == Outcome::Answered;
        match self.plot {
            Plot::Speaks => {
                check(answered, "it was not answered".to_owned());
                check(prompts == 0, format!("{prompts} prompts were played"));
                check(
                    self.sounds == 1,
                    format!("{} sounds instead of the greeting", self.sounds),
                );
                check(
                    record.first_speech_ms.is_some(),
                    "the caller was not heard".to_owned(),
                );
                check(
                    record.ended_by == EndedBy::Caller,
                    "the caller did not end it".to_owned(),
                );
            }
            Plot::Silent | Plot::Mute => {
                check(answered, "it was not answered".to_owned());
                check(prompts == 3, format!("{prompts} prompts instead of 3"));
                check(
                    self.sounds == 4,
                    format!("{} sounds instead of 4", self.sounds),
                );
                check(
                    record.ended_by == EndedBy::Qingjiang,
                    "we did not end it".to_owned(),
                );
                check(!record.findings.is_empty(), "nothing was found".to_owned());
            }
            Plot::Unanswered => {
                check(
                    record.outcome == Outcome::NoAnswer,
                    "it is not a no-answer".to_owned(),
                );
                check(
                    record.attempts.len() == 2,
                    "not both desks were tried".to_owned(),
                );
                check(
                    record.final_status == Some(480),
                    "the caller did not get 480".to_owned(),
                );
            }
        }
        if let (Some(rang), Some(answered)) = (self.rang_at, self.answered_at) {
            let (ours, theirs) = (record.ring_ms.unwrap_or(0), answered.millis_since(rang));
            let fault = format!("it rang {theirs} ms, and {ours} ms by the record");
            check(ours.abs_diff(theirs) <= RING_TOLERANCE_MS, fault);
        }
        faults
    }
}
