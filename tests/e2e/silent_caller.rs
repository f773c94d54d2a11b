//! The main job: a caller who is not heard is asked twice to speak, told goodbye and hung up.

use crate::audio::{FRAME_S, clip, from_onset, prompt, rms};
use crate::rtp_end::{RtpEnd, sound};
use crate::script::{self, AFTER_SALES, FIRST_DUE_S, GAP_S, HANG_UP_S, Prompt};
use crate::service::{Service, Setup, prompts_of};
use crate::sipp::{Plan, Sipp, scenario};
use crate::speaker::Between;
use crate::speaker::Speaker;
use crate::stage::{Stage, now_s, wait_for};
use crate::stream;
use std::time::Duration;

/// A call between two SIPps with media ends of our own.
pub struct Call {
    /// The service between them.
    pub service: Service,
    /// The SIPp that calls.
    pub caller: Sipp,
    /// The SIPp that is called.
    pub agent: Sipp,
    /// What the caller hears.
    pub caller_media: RtpEnd,
    /// What the agent hears.
    pub agent_media: RtpEnd,
}

/// The agent answers at once and waits for a BYE.
pub const AGENT: &str = "basic_call_uas";
/// The caller waits for a BYE.
const WAITING_CALLER: &str = "callee_bye_uac";
/// The caller hangs up after a while; a BYE before that is a failure.
const LEAVING_CALLER: &str = "own/caller_hangs_up_uac";
/// As the leaving caller, but on hold from the first.
const HELD_CALLER: &str = "own/caller_on_hold_uac";

const SOON: Duration = Duration::from_secs(10);
const STORY: Duration = Duration::from_secs(60);

impl Call {
    /// A caller who stays until the service hangs up.
    pub fn until_hung_up(stage: &Stage) -> Self {
        Self::begin(stage, (WAITING_CALLER, &[]), 0, Setup::new)
    }

    /// A caller who hangs up after `talk_ms`.
    pub fn for_ms(stage: &Stage, talk_ms: u32, setup: impl Fn(&[u16]) -> Setup) -> Self {
        Self::begin(stage, (LEAVING_CALLER, &[]), talk_ms, setup)
    }

    /// A caller who is on hold, by the address of its `c=` line or by its direction, and hangs up after `talk_ms`.
    pub fn on_hold_for_ms(stage: &Stage, talk_ms: u32, address: &str, direction: &str) -> Self {
        let keys = ["-key", "hold_c", address, "-key", "hold_a", direction];
        Self::begin(stage, (HELD_CALLER, &keys), talk_ms, Setup::new)
    }

    fn begin(
        stage: &Stage,
        (file, keys): (&str, &[&str]),
        talk_ms: u32,
        setup: impl Fn(&[u16]) -> Setup,
    ) -> Self {
        let port = crate::ports::one();
        let service = setup(&[port]).start(stage);
        let (caller_media, agent_media) = (RtpEnd::open(), RtpEnd::open());
        let limit_s = talk_ms / 1000 + 45;
        let agent = Plan::agent(stage, "agent", &scenario(AGENT), port)
            .media(&agent_media)
            .start(limit_s);
        let caller = Plan::caller(stage, "caller", &scenario(file), service.sip)
            .media(&caller_media)
            .with(keys)
            .talk_ms(talk_ms)
            .start(limit_s);
        Self {
            service,
            caller,
            agent,
            caller_media,
            agent_media,
        }
    }

    /// The caller's stream towards the service.
    pub fn caller_speaks(&self, between: Between) -> Speaker {
        self.caller_media
            .speak_to(self.caller.remote_media(SOON), between)
    }

    /// The agent's stream towards the service, from the answer on.
    pub fn agent_speaks(&self, between: Between) -> Speaker {
        self.agent.answered_at_s(SOON);
        self.agent_media
            .speak_to(self.agent.remote_media(SOON), between)
    }

    /// Waits until both SIPps are through.
    pub fn must_end_well(&mut self, limit: Duration) {
        self.caller.must_succeed(limit);
        self.agent.must_succeed(SOON);
    }
}

/// What follows from a whole script, for every caller who was silent.
fn assert_whole_script(mut call: Call) {
    call.must_end_well(STORY);
    let packets = call.caller_media.heard();
    let answered_s = call.caller.answered_at_s(SOON);
    let heard = script::find_all(&AFTER_SALES, &packets);
    script::assert_due(&heard, answered_s + FIRST_DUE_S, GAP_S);
    assert_hung_up(&call, heard[2].end_s);
    assert_agent_hears_it_lower(&call);
    let record = call.service.record();
    assert_eq!(prompts_of(&record), AFTER_SALES, "{record:#}");
    assert_eq!(record["outcome"], "answered", "{record:#}");
    assert_eq!(record["ended_by"], "qingjiang", "{record:#}");
    assert!(record["first_speech_ms"].is_null(), "{record:#}");
    let metrics = call.service.metrics();
    for id in AFTER_SALES {
        assert_eq!(
            metrics.sum("qingjiang_prompts_total", &[("prompt", id)]),
            1.0,
            "{id}"
        );
    }
    assert_eq!(
        metrics.sum("qingjiang_treatments_total", &[("outcome", "hung_up")]),
        1.0
    );
    call.service.stop();
}

fn assert_hung_up(call: &Call, final_end_s: f64) {
    for (who, sipp) in [("caller", &call.caller), ("agent", &call.agent)] {
        let bye_s = sipp.received_at_s("BYE").expect("a BYE");
        let late_s = bye_s - final_end_s - HANG_UP_S;
        assert!(
            late_s.abs() <= script::DUE_TOLERANCE_S,
            "BYE to the {who}: {late_s:+.3} s from its time"
        );
    }
}

/// `prompt_to = "both"`: the agent hears the prompts too, a little lower.
fn assert_agent_hears_it_lower(call: &Call) {
    let heard = script::find_all(&AFTER_SALES, &call.agent_media.heard());
    let level = |packets: &[crate::rtp_end::Packet], at: &script::Heard| {
        rms(&sound(&packets[at.first..at.first + at.packets]))
    };
    let (caller, agent) = (call.caller_media.heard(), call.agent_media.heard());
    let at_caller = &script::find_all(&AFTER_SALES, &caller)[0];
    let ratio = level(&agent, &heard[0]) / level(&caller, at_caller);
    assert!(
        ratio < 0.95 && ratio > 0.2,
        "the agent hears the prompt at {ratio:.2} of the caller's level"
    );
}

/// Goal: the whole script for a caller who sends nothing, while the agent sends nothing either:
/// all that comes is prompts, each begun by a marker, its time stamps at elapsed time.
#[test]
fn a_caller_without_rtp_hears_the_whole_script() {
    let stage = Stage::shared("no-rtp");
    let mut call = Call::until_hung_up(&stage);
    call.must_end_well(STORY);
    let packets = call.caller_media.heard();
    let heard = script::find_all(&AFTER_SALES, &packets);
    stream::assert_unbroken(&packets, &[]);
    stream::assert_clock(&packets);
    let firsts: Vec<usize> = heard.iter().map(|prompt| prompt.first).collect();
    assert_eq!(
        stream::markers(&packets),
        firsts,
        "a marker at the beginning of each prompt only"
    );
    let prompts: usize = AFTER_SALES.iter().map(|id| Prompt::of(id).packets()).sum();
    assert_eq!(packets.len(), prompts, "nothing but prompts");
    assert_whole_script(call);
}

/// Goal: RTP full of digital silence is silence.
#[test]
fn a_caller_who_sends_silence_hears_the_whole_script() {
    let stage = Stage::shared("rtp-silence");
    let call = Call::until_hung_up(&stage);
    let _silent = call.caller_speaks(Between::Silence);
    assert_whole_script(call);
}

/// Goal: the caller's stream stays one stream where prompts replace what the agent sends.
/// Method: the agent sends silence all the time and loses three packets before the first prompt.
#[test]
fn prompts_are_spliced_into_the_agents_stream() {
    let stage = Stage::shared("splice");
    let mut call = Call::until_hung_up(&stage);
    let _caller = call.caller_speaks(Between::Silence);
    let agent = call.agent_speaks(Between::Silence);
    std::thread::sleep(Duration::from_secs(2));
    agent.lose(3);
    call.must_end_well(STORY);
    let packets = call.caller_media.heard();
    let heard = script::find_all(&AFTER_SALES, &packets);
    let gap = 1 + packets
        .windows(2)
        .position(|pair| pair[1].sequence.wrapping_sub(pair[0].sequence) == 4)
        .expect("the agent's gap of three packets stays a gap");
    assert!(gap < heard[0].first, "the gap is where the agent made it");
    stream::assert_unbroken(&packets, &[(gap, 3)]);
    stream::assert_clock(&packets);
    let mut splices: Vec<usize> = heard
        .iter()
        .flat_map(|prompt| [prompt.first, prompt.first + prompt.packets])
        .collect();
    if agent.sent()[0].marker && packets[0].marker {
        splices.insert(0, 0);
    }
    assert_eq!(
        stream::markers(&packets),
        splices,
        "markers: the source's own, and after each splice"
    );
    for pair in packets.windows(2) {
        let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        assert!(
            (1..=320).contains(&step) || step == 640,
            "a step of {step} ticks"
        );
    }
    assert_whole_script(call);
}

/// Goal: the agent's greeting suspends the clock, which starts anew when it ends.
#[test]
fn the_clock_starts_when_the_agent_has_finished() {
    let stage = Stage::shared("greeting");
    let call = Call::until_hung_up(&stage);
    let agent = call.agent_speaks(Between::Silence);
    let greeting = prompt("zh-male", "fault-announcement");
    agent.say(&greeting);
    agent.finish(Duration::from_secs(20));
    let ended_s = now_s();
    let first = Prompt::of(AFTER_SALES[0]);
    let begin = wait_for("prompt 1", SOON, || {
        let packets = call.caller_media.heard();
        let from = packets
            .iter()
            .position(|packet| packet.at_s > ended_s + 0.5)?;
        let is_whole = packets[from..].len() > 150 + first.packets();
        is_whole.then(|| packets[first.begin(&packets, from)].at_s)
    });
    // The file may end with some quiet; the detector's frames are 20 ms, its hangover is not counted.
    let quiet = greeting
        .rchunks(160)
        .take_while(|frame| !crate::audio::is_loud(frame))
        .count();
    let late_s = begin - (ended_s - quiet as f64 * FRAME_S) - GAP_S;
    assert!(
        (-0.1..=0.4).contains(&late_s),
        "prompt 1 {late_s:+.3} s from its time"
    );
}

/// Goal: speech stops a prompt within 500 ms of its onset, and the call goes on with no other.
fn assert_speech_stops_prompt_2(test: &str, speech: &[i16]) {
    let stage = Stage::shared(test);
    let mut call = Call::for_ms(&stage, 26_000, Setup::new);
    let voice = call.caller_speaks(Between::Silence);
    let (first, second) = (Prompt::of(AFTER_SALES[0]), Prompt::of(AFTER_SALES[1]));
    wait_for("the middle of prompt 2", Duration::from_secs(25), || {
        (call.caller_media.heard().len() >= first.packets() + second.packets() / 2).then_some(())
    });
    let onset_s = now_s();
    voice.say(&from_onset(speech)[..3 * 8000]);
    call.must_end_well(STORY);
    let packets = call.caller_media.heard();
    let last_s = packets.last().expect("packets").at_s + FRAME_S;
    assert!(
        last_s > onset_s,
        "the prompt had ended before the caller spoke"
    );
    assert!(
        last_s - onset_s <= 0.5,
        "the prompt went on for {:.3} s after the caller's onset",
        last_s - onset_s
    );
    assert!(
        packets.len() < first.packets() + second.packets(),
        "prompt 2 was not cut off"
    );
    let record = call.service.record();
    assert_eq!(prompts_of(&record), &AFTER_SALES[..2], "{record:#}");
    assert_eq!(record["prompts"][1]["how"], "speech", "{record:#}");
    assert_eq!(record["ended_by"], "caller", "{record:#}");
    assert!(record["first_speech_ms"].is_u64(), "{record:#}");
    let metrics = call.service.metrics();
    assert_eq!(
        metrics.sum("qingjiang_treatments_total", &[("outcome", "recovered")]),
        1.0
    );
    call.service.stop();
}

#[test]
fn a_human_voice_stops_a_prompt() {
    assert_speech_stops_prompt_2("voice", &clip("speech_level_009"));
}

#[test]
fn a_quieter_voice_stops_a_prompt() {
    assert_speech_stops_prompt_2("quieter", &clip("speech_level_015"));
}

#[test]
fn a_synthetic_voice_stops_a_prompt() {
    assert_speech_stops_prompt_2("synthetic", &prompt("zh-male", "weak-signal-move"));
}
