//! Real sockets on loopback, at real pace. Two peers, no SIP.

use super::*;
use crate::base::codec::Codec;
use crate::base::ids::Leg;
use crate::base::time::Instant;
use crate::call::anchor::prompt_id;
use crate::call::doors::{PlayId, PromptEnd, RtpOrigin, Stream, StreamCounts};
use crate::config::{PromptTo, Prompts};
use crate::media::codec::g711;
use crate::media::rtp::{self, Header};
use crate::service::{clock, prompts};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Mutex;
use std::time::Duration;

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const FRAME: Duration = Duration::from_millis(20);
const CALL: CallKey = CallKey(7);
const ORIGIN: RtpOrigin = RtpOrigin {
    ssrc: 0xabcd,
    sequence: 65_000,
    timestamp: 1,
};

/// Tests run side by side, in this process and in others: each takes twelve ports of its own, below
/// those that the system gives out and those that a shipped configuration names.
pub(super) fn settings(threads: u16) -> Media {
    static NEXT: Mutex<u16> = Mutex::new(0);
    let mut next = NEXT.lock().unwrap();
    *next += 1;
    let base = 12_000 + (std::process::id() % 80) as u16 * 100 + *next * 12;
    Media {
        address: LOCAL,
        ports: (base, base + 11),
        threads,
    }
}

fn library() -> Arc<PromptLibrary> {
    Arc::new(prompts::load(&Prompts { path: None }).unwrap())
}

/// A packet that a peer got, and when.
struct Got {
    at: Instant,
    header: Header,
    payload: Vec<u8>,
}

/// A peer that notes all it gets.
struct Peer {
    socket: UdpSocket,
    /// The port of ours that it talks to.
    to: SocketAddr,
    next: u16,
    got: Arc<Mutex<Vec<Got>>>,
    stop: Arc<AtomicBool>,
    join: Option<JoinHandle<()>>,
}

impl Peer {
    fn new(to: u16) -> Self {
        let socket = UdpSocket::bind((LOCAL, 0)).unwrap();
        let reader = socket.try_clone().unwrap();
        reader.set_read_timeout(Some(FRAME)).unwrap();
        let (got, stop) = (
            Arc::new(Mutex::new(Vec::new())),
            Arc::new(AtomicBool::new(false)),
        );
        let (log, stopped) = (got.clone(), stop.clone());
        let join = std::thread::spawn(move || {
            let mut buffer = [0; 2_048];
            while !stopped.load(Ordering::Acquire) {
                let Ok((length, _)) = reader.recv_from(&mut buffer) else {
                    continue;
                };
                let packet = rtp::read(&buffer[..length]).unwrap();
                log.lock().unwrap().push(Got {
                    at: clock::now(),
                    header: packet.header,
                    payload: buffer[packet.payload].to_vec(),
                });
            }
        });
        Peer {
            socket,
            to: SocketAddr::new(LOCAL, to),
            next: 0,
            got,
            stop,
            join: Some(join),
        }
    }

    fn stream(&self) -> Stream {
        Stream {
            remote: Some(self.socket.local_addr().unwrap()),
            codec: Codec::Pcma,
            event_to_peer: None,
            event_from_peer: None,
            to_peer: true,
            from_peer: true,
        }
    }

    fn send(&mut self, samples: &[i16]) {
        let payload: Vec<u8> = samples
            .iter()
            .map(|s| g711::encode(Codec::Pcma, *s))
            .collect();
        let header = Header {
            payload_type: 8,
            marker: self.next == 0,
            sequence: self.next,
            timestamp: u32::from(self.next) * 160,
            ssrc: 99,
        };
        self.next += 1;
        let mut buffer = [0; 200];
        let length = rtp::build(&mut buffer, &header, &payload).unwrap();
        self.socket.send_to(&buffer[..length], self.to).unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.join.take().unwrap().join().unwrap();
    }
}

/// An open call between two peers.
struct Call {
    media: MediaThreads,
    peers: [Peer; 2],
    facts: Vec<Fact>,
    due: Instant,
}

impl Call {
    fn open(media: MediaThreads) -> Self {
        let ports = [media.bound()[0].rtp, media.bound()[1].rtp];
        let mut call = Call {
            peers: ports.map(Peer::new),
            media,
            facts: Vec::new(),
            due: clock::now(),
        };
        call.command(Command::Open {
            call: CALL,
            ports,
            origin: [ORIGIN; 2],
        });
        for leg in Leg::BOTH {
            let stream = call.peers[leg.index()].stream();
            call.command(Command::Update {
                call: CALL,
                leg,
                stream,
            });
        }
        call.command(Command::Listen { call: CALL });
        // What is sent before the ports are open is thrown away.
        call.pause();
        call
    }

    fn command(&self, command: Command) {
        self.media
            .send(self.media.bound()[0].thread, command)
            .unwrap();
    }

    fn play(&self, library: &PromptLibrary, id: &str) {
        self.command(Command::Play {
            call: CALL,
            play: PlayId(1),
            prompt: prompt_id(library, "zh-female", id).unwrap(),
            to: PromptTo::Both,
            unless_speech_since: clock::now(),
        });
    }

    /// Both peers send at real pace until `done`; the caller these samples, then silence.
    fn talk(&mut self, samples: &[i16], within: Duration, done: impl Fn(&[Fact]) -> bool) {
        let end = clock::now() + within;
        let mut frames = samples.chunks_exact(160);
        while !done(&self.facts) {
            assert!(clock::now() < end, "in vain: {:?}", self.facts);
            self.peers[0].send(frames.next().unwrap_or(&[0; 160]));
            self.peers[1].send(&[0; 160]);
            self.pause();
            self.facts.extend(self.media.facts().map(|(_, fact)| fact));
        }
    }

    /// Until the next frame is due, but long enough for what was sent to be taken in.
    fn pause(&mut self) {
        self.due = self.due + FRAME;
        std::thread::sleep((self.due - clock::now()).max(FRAME / 4));
    }

    fn counts(&self, leg: Leg) -> StreamCounts {
        let mut sum = StreamCounts::default();
        for fact in &self.facts {
            if let Fact::Report { leg: of, counts } = fact
                && *of == leg
            {
                sum.add(counts);
            }
        }
        sum
    }

    fn close(&mut self) {
        self.command(Command::Close { call: CALL });
        let end = clock::now() + Duration::from_secs(5);
        while self.facts.last() != Some(&Fact::Closed) && clock::now() < end {
            std::thread::sleep(Duration::from_millis(1));
            self.facts.extend(self.media.facts().map(|(_, fact)| fact));
        }
        assert_eq!(self.facts.last(), Some(&Fact::Closed));
    }
}

/// What a packet's time stamp says: since the stream's beginning.
fn media_time(got: &Got) -> Duration {
    FRAME / 160 * got.header.timestamp.wrapping_sub(ORIGIN.timestamp)
}

/// When the stream began, by its most punctual packet.
fn media_begin(got: &[Got]) -> Instant {
    let begins = got.iter().map(|got| got.at.before(media_time(got)));
    begins.min().unwrap()
}

/// Frames are 20 ms apart and come when they are due. A busy machine delays some, but not half.
fn check_pace(got: &[Got]) {
    for pair in got.windows(2) {
        assert_eq!(media_time(&pair[1]) - media_time(&pair[0]), FRAME);
    }
    let begin = media_begin(got);
    let mut late: Vec<Duration> = got
        .iter()
        .map(|got| got.at - (begin + media_time(got)))
        .collect();
    late.sort();
    assert!(late[late.len() / 2] < Duration::from_millis(15), "{late:?}");
}

fn after(time: Duration) -> impl Fn(&[Fact]) -> bool {
    let end = clock::now() + time;
    move |_| clock::now() >= end
}

fn prompt_ended(facts: &[Fact]) -> bool {
    facts
        .iter()
        .any(|fact| matches!(fact, Fact::PromptEnded { .. }))
}

#[test]
fn a_call_is_relayed_and_a_prompt_plays_at_its_pace() {
    let library = library();
    let media = MediaThreads::start(&settings(1), library.clone()).unwrap();
    let mut call = Call::open(media);
    call.talk(
        &[],
        Duration::from_secs(5),
        after(Duration::from_millis(300)),
    );
    call.play(&library, "silent-connected");
    call.talk(&[], Duration::from_secs(9), prompt_ended);
    call.talk(
        &[],
        Duration::from_secs(5),
        after(Duration::from_millis(300)),
    );
    call.close();
    let index = library.find("zh-female", "silent-connected").unwrap();
    let length = library.frames(index).len();
    for leg in Leg::BOTH {
        let got = call.peers[leg.index()].got.lock().unwrap();
        let silence = g711::encode(Codec::Pcma, 0);
        let is_prompt = |got: &Got| got.payload.iter().any(|byte| *byte != silence);
        for (n, pair) in got.windows(2).enumerate() {
            assert_eq!(
                pair[1].header.sequence,
                pair[0].header.sequence.wrapping_add(1),
                "{n}"
            );
            assert_eq!(pair[1].header.ssrc, ORIGIN.ssrc);
        }
        let first = got.iter().position(is_prompt).unwrap();
        let last = got.iter().rposition(is_prompt).unwrap();
        // A prompt may begin and end with silence.
        let frames = last - first + 1;
        assert!(
            (length - 25..=length).contains(&frames),
            "{frames} of {length}"
        );
        assert!(
            first >= 10 && got.len() > last + 5,
            "relayed before and after"
        );
        check_pace(&got[first..=last]);
        let counts = call.counts(leg);
        assert_eq!(counts.sent as usize, got.len());
        assert_eq!(counts.received, u32::from(call.peers[leg.index()].next));
        assert_eq!((counts.lost, counts.dropped_source), (0, 0));
        assert!(call.facts.contains(&Fact::FirstRtp { leg }));
    }
    let is_end = |fact: &&Fact| matches!(fact, Fact::PromptEnded { .. });
    let Some(Fact::PromptEnded { how, .. }) = call.facts.iter().find(is_end) else {
        panic!("{:?}", call.facts);
    };
    assert_eq!(*how, PromptEnd::Completed);
}

/// The deadlines alone must drive it: that is how a caller who sends nothing is treated.
#[test]
fn a_prompt_plays_at_its_pace_though_nobody_sends() {
    let library = library();
    let media = MediaThreads::start(&settings(1), library.clone()).unwrap();
    let mut call = Call::open(media);
    call.play(&library, "silent-connected");
    let end = clock::now() + Duration::from_secs(9);
    while !prompt_ended(&call.facts) && clock::now() < end {
        call.pause();
        call.facts.extend(call.media.facts().map(|(_, fact)| fact));
    }
    call.close();
    let index = library.find("zh-female", "silent-connected").unwrap();
    for peer in &call.peers {
        let got = peer.got.lock().unwrap();
        assert_eq!(got.len(), library.frames(index).len());
        check_pace(&got);
    }
}

#[test]
fn real_speech_of_the_caller_stops_a_prompt() {
    let library = library();
    let media = MediaThreads::start(&settings(1), library.clone()).unwrap();
    let mut call = Call::open(media);
    call.talk(
        &[],
        Duration::from_secs(5),
        after(Duration::from_millis(100)),
    );
    call.play(&library, "oneway-callback");
    call.talk(
        &[],
        Duration::from_secs(5),
        after(Duration::from_millis(500)),
    );
    assert!(!prompt_ended(&call.facts));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/audio/speech-it.wav");
    let clip: Vec<i16> = hound::WavReader::open(path)
        .unwrap()
        .into_samples()
        .map(Result::unwrap)
        .collect();
    let onset = clock::now();
    call.talk(&clip[3_400 * 8..], Duration::from_secs(5), prompt_ended);
    let stopped = clock::now();
    assert!(
        stopped - onset < Duration::from_millis(700),
        "{:?}",
        stopped - onset
    );
    call.talk(
        &[],
        Duration::from_secs(5),
        after(Duration::from_millis(100)),
    );
    call.close();
    let ends: Vec<&Fact> = call
        .facts
        .iter()
        .filter(|fact| matches!(fact, Fact::SpeechBegan { .. } | Fact::PromptEnded { .. }))
        .collect();
    let [
        Fact::SpeechBegan {
            leg: Leg::Caller,
            at,
        },
        Fact::PromptEnded {
            how: PromptEnd::Speech,
            at: end,
            ..
        },
    ] = ends[..]
    else {
        panic!("{ends:?}");
    };
    assert!(*at + Duration::from_millis(60) > onset && at < end);
    // Not a frame of it is for a time after its end. Time stamps say what it is for; when it came
    // says as much of this machine.
    let got = call.peers[0].got.lock().unwrap();
    let begin = media_begin(&got);
    let silence = g711::encode(Codec::Pcma, 0);
    for got in got.iter().filter(|got| begin + media_time(got) >= *end) {
        let since = (begin + media_time(got)) - *end;
        assert!(
            got.payload.iter().all(|byte| *byte == silence),
            "{since:?} after"
        );
    }
}

#[test]
fn what_lay_in_the_sockets_before_the_call_is_thrown_away() {
    let media = MediaThreads::start(&settings(2), library()).unwrap();
    // Of the same thread: with two threads, each second pair.
    let ports = [media.bound()[1].rtp, media.bound()[3].rtp];
    assert_eq!(media.bound()[1].thread, media.bound()[3].thread);
    let mut peer = Peer::new(ports[0]);
    (0..50).for_each(|_| peer.send(&[0; 160]));
    let stream = peer.stream();
    let leg = Leg::Caller;
    let origin = [ORIGIN; 2];
    let call = CALL;
    media
        .send(
            1,
            Command::Open {
                call,
                ports,
                origin,
            },
        )
        .unwrap();
    media
        .send(1, Command::Update { call, leg, stream })
        .unwrap();
    // Long enough for what was left to be taken in.
    std::thread::sleep(5 * FRAME);
    media.send(1, Command::Close { call }).unwrap();
    let mut reports = Vec::new();
    let end = clock::now() + Duration::from_secs(5);
    loop {
        assert!(clock::now() < end);
        let facts: Vec<Fact> = media.facts().map(|(_, fact)| fact).collect();
        reports.extend(
            facts
                .iter()
                .filter(|fact| matches!(fact, Fact::Report { .. }))
                .cloned(),
        );
        if facts.contains(&Fact::Closed) {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let counts = StreamCounts::default();
    assert_eq!(reports, Leg::BOTH.map(|leg| Fact::Report { leg, counts }));
}

#[test]
fn ports_in_use_are_skipped_and_a_wrong_open_is_closed_at_once() {
    let settings = settings(1);
    let taken = settings.ports.0.next_multiple_of(2);
    let _taken = UdpSocket::bind((LOCAL, taken + 1)).unwrap();
    let media = MediaThreads::start(&settings, library()).unwrap();
    assert!(media.bound().len() >= 4);
    assert!(
        media
            .bound()
            .iter()
            .all(|pair| pair.rtp != taken && pair.rtp % 2 == 0)
    );
    let ports = [taken, media.bound()[0].rtp];
    media
        .send(
            0,
            Command::Open {
                call: CALL,
                ports,
                origin: [ORIGIN; 2],
            },
        )
        .unwrap();
    let end = clock::now() + Duration::from_secs(5);
    let told = loop {
        let told: Vec<_> = media.facts().collect();
        if !told.is_empty() || clock::now() > end {
            break told;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    assert_eq!(told, [(CALL, Fact::Closed)]);
    let nowhere = Command::Stop { call: CALL };
    assert_eq!(media.send(9, nowhere.clone()), Err(Full(nowhere)));
    let none = Media {
        ports: (taken, taken + 1),
        ..settings
    };
    let error = MediaThreads::start(&none, library()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn facts_that_find_no_room_are_kept_and_counters_merged() {
    let media = MediaThreads::start_with(&settings(1), library(), 2).unwrap();
    let mut call = Call::open(media);
    let end = clock::now() + Duration::from_millis(3_300);
    while clock::now() < end {
        call.peers[0].send(&[0; 160]);
        call.pause();
    }
    call.close();
    let reports = call
        .facts
        .iter()
        .filter(|fact| matches!(fact, Fact::Report { .. }));
    assert!(reports.count() <= 5, "merged: {:?}", call.facts);
    let sent = u32::from(call.peers[0].next);
    assert_eq!(call.counts(Leg::Caller).received, sent);
    assert_eq!(call.counts(Leg::Agent).sent, sent);
}

#[test]
fn a_thread_that_waits_for_nothing_wakes_for_a_fact_and_ends_when_told() {
    let media = MediaThreads::start(&settings(2), library()).unwrap();
    let mut poll = [rustix::event::PollFd::from_borrowed_fd(
        media.facts_fd(),
        rustix::event::PollFlags::IN,
    )];
    let zero = rustix::event::Timespec::default();
    assert_eq!(rustix::event::poll(&mut poll, Some(&zero)), Ok(0));
    let ports = [1, 2];
    media
        .send(
            1,
            Command::Open {
                call: CALL,
                ports,
                origin: [ORIGIN; 2],
            },
        )
        .unwrap();
    let five = rustix::event::Timespec {
        tv_sec: 5,
        tv_nsec: 0,
    };
    assert_eq!(rustix::event::poll(&mut poll, Some(&five)), Ok(1));
    assert_eq!(media.facts().count(), 1);
    assert_eq!(rustix::event::poll(&mut poll, Some(&zero)), Ok(0));
    let began = clock::now();
    drop(media);
    assert!(clock::now() - began < Duration::from_secs(1));
}
