//! The figures: counters and histograms of the hotlines, moved by the call's events.
//!
//! Plain data with closed label sets: names come from the configuration or from an enum, never from
//! a peer, so that no caller can make a new series. Decides nothing, and publishes nothing by
//! itself: `service::telemetry` renders a copy. Gauges are not counted here but computed from the
//! calls when a copy is made ([`Gauges`]). Source: the contract's list of metrics; formulas of the
//! figures' definitions.

mod histogram;
mod labels;

pub use histogram::{Histogram, Scale};
pub use labels::{Abandon, Direction, DropReason, Refusal, RegistrationState, SipKind};

use super::finding::{Cause, FindingKind};
use super::record::AttemptOutcome;
use super::treat::TreatmentOutcome;
use crate::base::ids::Leg;
use crate::config::{Config, Hotline};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Place of a hotline in the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HotlineIndex(pub u16);

/// Place of a trunk in the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TrunkIndex(pub u16);

/// Everything that is counted. An index outside the configuration counts nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Names of the trunks, in the order of [`TrunkIndex`].
    pub trunks: Vec<String>,
    /// In the order of [`HotlineIndex`].
    pub hotlines: Vec<HotlineFigures>,
    /// By [`Refusal::index`].
    pub refused: Vec<u64>,
    /// When a prompt was due → its first frame.
    pub treatment_delay: Histogram,
    /// RTP packets, by [`Direction::index`].
    pub rtp_packets: Vec<u64>,
    /// RTP packets that went nowhere, by [`DropReason::index`].
    pub rtp_dropped: Vec<u64>,
    /// SIP messages, by [`Direction::index`] and [`SipKind::index`].
    pub sip_messages: Vec<Vec<u64>>,
    /// Broken assumptions of our own, by the place in the code that noticed.
    pub bugs: Vec<(String, u64)>,
}

/// What is counted for one hotline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HotlineFigures {
    /// The hotline's name.
    pub name: String,
    /// Calls that passed admission, by [`TrunkIndex`].
    pub offered: Vec<u64>,
    /// Offered calls that were rung, queued or answered.
    pub connected: u64,
    /// Answered calls.
    pub answered: u64,
    /// Calls that the caller gave up, by [`Abandon::index`].
    pub abandoned: Vec<u64>,
    /// Offer → answer.
    pub wait: Histogram,
    /// Offer → first 18x or final response.
    pub post_dial_delay: Histogram,
    /// Answer → end.
    pub talk: Histogram,
    /// Ringing by agent: the targets' names, each once.
    pub agents: Vec<AgentFigures>,
    /// Prompts that were heard: the names of the profile's prompts, each once.
    pub prompts: Vec<(String, u64)>,
    /// What was found; see [`HotlineFigures::findings`].
    findings: Vec<u64>,
    /// What was treated; see [`HotlineFigures::treatments`].
    treatments: Vec<u64>,
}

/// Ringing of one agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentFigures {
    /// The target's name.
    pub name: String,
    /// First ringing response → answer or the end of the attempt, by [`AttemptOutcome::index`].
    pub ring: Vec<Histogram>,
}

/// What holds now, computed from the calls.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gauges {
    /// In the order of [`HotlineIndex`].
    pub hotlines: Vec<HotlineGauges>,
    /// By name, in the order of the configuration.
    pub registrations: Vec<(String, RegistrationState)>,
    /// Each target of the configuration that runs, by hotline and name.
    pub targets: Vec<TargetGauge>,
}

/// Whether a target gets new calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetGauge {
    /// The hotline's name.
    pub hotline: String,
    /// The target's name.
    pub agent: String,
    /// It does; of several of one name: all do.
    pub up: bool,
}

/// What holds now for one hotline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HotlineGauges {
    /// Calls that ring, or are being set up.
    pub ringing: u32,
    /// Calls in a queue.
    pub waiting: u32,
    /// Answered calls.
    pub talking: u32,
    /// How long the oldest caller without an answer has waited; zero if nobody waits.
    pub longest_wait: Duration,
}

impl Figures {
    /// All at zero, with the label sets of this configuration.
    pub fn new(config: &Config) -> Self {
        let mut figures = Figures {
            hotlines: Vec::new(),
            trunks: Vec::new(),
            refused: vec![0; Refusal::ALL.len()],
            treatment_delay: Histogram::new(Scale::Delay),
            rtp_packets: vec![0; Direction::ALL.len()],
            rtp_dropped: vec![0; DropReason::ALL.len()],
            sip_messages: vec![vec![0; SipKind::ALL.len()]; Direction::ALL.len()],
            bugs: Vec::new(),
        };
        figures.renew(config);
        figures
    }

    /// Takes in the names of a renewed configuration. What was counted stays where it is, also under names that
    /// are gone: a counter that vanishes would look like a restart.
    pub fn renew(&mut self, config: &Config) {
        for trunk in &config.trunks {
            if !self.trunks.contains(&trunk.name) {
                self.trunks.push(trunk.name.clone());
            }
        }
        for hotline in &config.hotlines {
            if !self.hotlines.iter().any(|line| line.name == hotline.name) {
                self.hotlines.push(HotlineFigures::new(&hotline.name));
            }
            let line = self
                .hotlines
                .iter_mut()
                .find(|line| line.name == hotline.name);
            if let Some(line) = line {
                line.renew(hotline);
            }
        }
        for line in &mut self.hotlines {
            line.offered.resize(self.trunks.len(), 0);
        }
    }

    /// Where a hotline of the configuration is counted.
    pub fn hotline_index(&self, name: &str) -> HotlineIndex {
        HotlineIndex(place(
            self.hotlines.iter().position(|line| line.name == name),
        ))
    }

    /// Where a trunk of the configuration is counted.
    pub fn trunk_index(&self, name: &str) -> TrunkIndex {
        TrunkIndex(place(self.trunks.iter().position(|trunk| trunk == name)))
    }

    /// A call passed admission.
    pub fn offered(&mut self, hotline: HotlineIndex, trunk: TrunkIndex) {
        let offered = self.hotline(hotline).map(|line| &mut line.offered);
        add(offered.and_then(|of| of.get_mut(usize::from(trunk.0))), 1);
    }

    /// An offered call was rung, queued or answered; told once a call.
    pub fn connected(&mut self, hotline: HotlineIndex) {
        add(self.hotline(hotline).map(|line| &mut line.connected), 1);
    }

    /// A call was answered.
    pub fn answered(&mut self, hotline: HotlineIndex) {
        add(self.hotline(hotline).map(|line| &mut line.answered), 1);
    }

    /// The caller gave up before an answer.
    pub fn abandoned(&mut self, hotline: HotlineIndex, kind: Abandon) {
        let line = self.hotline(hotline);
        add(
            line.and_then(|line| line.abandoned.get_mut(kind.index())),
            1,
        );
    }

    /// A call was not admitted.
    pub fn refused(&mut self, reason: Refusal) {
        add(self.refused.get_mut(reason.index()), 1);
    }

    /// An attempt that rang is over. `agent` is the target's name.
    pub fn ring(
        &mut self,
        hotline: HotlineIndex,
        agent: &str,
        outcome: AttemptOutcome,
        ring: Duration,
    ) {
        let agents = self.hotline(hotline).map(|line| &mut line.agents);
        let agent = agents.and_then(|agents| agents.iter_mut().find(|one| one.name == agent));
        observe(
            agent.and_then(|one| one.ring.get_mut(outcome.index())),
            ring,
        );
    }

    /// A call was answered after this wait.
    pub fn wait(&mut self, hotline: HotlineIndex, wait: Duration) {
        observe(self.hotline(hotline).map(|line| &mut line.wait), wait);
    }

    /// A call's first 18x came, or the final response where none came.
    pub fn post_dial_delay(&mut self, hotline: HotlineIndex, delay: Duration) {
        observe(
            self.hotline(hotline).map(|line| &mut line.post_dial_delay),
            delay,
        );
    }

    /// An answered call ended.
    pub fn talk(&mut self, hotline: HotlineIndex, talk: Duration) {
        observe(self.hotline(hotline).map(|line| &mut line.talk), talk);
    }

    /// A finding was raised.
    pub fn finding(&mut self, hotline: HotlineIndex, kind: FindingKind, leg: Leg, cause: Cause) {
        let place = finding_place(kind, leg, cause);
        add(
            self.hotline(hotline)
                .and_then(|line| line.findings.get_mut(place)),
            1,
        );
    }

    /// A prompt's first frame left.
    pub fn prompt(&mut self, hotline: HotlineIndex, prompt: &str) {
        let prompts = self.hotline(hotline).map(|line| &mut line.prompts);
        let known = prompts.and_then(|all| all.iter_mut().find(|(name, _)| name == prompt));
        add(known.map(|(_, count)| count), 1);
    }

    /// A treatment has its outcome.
    pub fn treatment(
        &mut self,
        hotline: HotlineIndex,
        kind: FindingKind,
        outcome: TreatmentOutcome,
    ) {
        let place = treatment_place(kind, outcome);
        add(
            self.hotline(hotline)
                .and_then(|line| line.treatments.get_mut(place)),
            1,
        );
    }

    /// How late a prompt's first frame left after it was due.
    pub fn treatment_delay(&mut self, delay: Duration) {
        self.treatment_delay.observe(delay);
    }

    /// RTP packets went one way, as seen from us.
    pub fn rtp_packets(&mut self, direction: Direction, packets: u64) {
        add(self.rtp_packets.get_mut(direction.index()), packets);
    }

    /// RTP packets went nowhere.
    pub fn rtp_dropped(&mut self, reason: DropReason, packets: u64) {
        add(self.rtp_dropped.get_mut(reason.index()), packets);
    }

    /// A SIP message was received or sent, retransmissions included.
    pub fn sip_message(&mut self, direction: Direction, kind: SipKind) {
        let way = self.sip_messages.get_mut(direction.index());
        add(way.and_then(|kinds| kinds.get_mut(kind.index())), 1);
    }

    /// An assumption of our own did not hold. Sites are words in our code, so the set is closed.
    pub fn bug(&mut self, site: &'static str) {
        match self.bugs.iter_mut().find(|(known, _)| known == site) {
            Some((_, count)) => *count += 1,
            None => self.bugs.push((site.to_owned(), 1)),
        }
    }

    fn hotline(&mut self, index: HotlineIndex) -> Option<&mut HotlineFigures> {
        self.hotlines.get_mut(usize::from(index.0))
    }
}

impl HotlineFigures {
    fn new(name: &str) -> Self {
        HotlineFigures {
            name: name.to_owned(),
            offered: Vec::new(),
            connected: 0,
            answered: 0,
            abandoned: vec![0; Abandon::ALL.len()],
            wait: Histogram::new(Scale::Wait),
            post_dial_delay: Histogram::new(Scale::Delay),
            talk: Histogram::new(Scale::Talk),
            agents: Vec::new(),
            prompts: Vec::new(),
            findings: vec![0; FindingKind::ALL.len() * Leg::BOTH.len() * Cause::ALL.len()],
            treatments: vec![0; FindingKind::ALL.len() * TreatmentOutcome::ALL.len()],
        }
    }

    /// Takes in the agents and prompts that are not counted yet: two series with the same labels would be one
    /// too many.
    fn renew(&mut self, hotline: &Hotline) {
        for target in &hotline.targets {
            if !self.agents.iter().any(|agent| agent.name == target.name) {
                self.agents.push(AgentFigures::new(target.name.clone()));
            }
        }
        let script = &hotline.profile;
        for prompt in script.steps.iter().chain([&script.r#final]) {
            if !self.prompts.iter().any(|(name, _)| name == prompt) {
                self.prompts.push((prompt.clone(), 0));
            }
        }
    }

    /// Findings raised so far. The ones that are watched for in every call are there at zero too,
    /// so that a rate over the first of them is right; others once they were found.
    pub fn findings(&self) -> impl Iterator<Item = (FindingKind, Leg, Cause, u64)> + '_ {
        let of_leg = |kind, leg| Cause::ALL.iter().map(move |cause| (kind, leg, *cause));
        let of_kind = move |kind| Leg::BOTH.iter().flat_map(move |leg| of_leg(kind, *leg));
        let all = FindingKind::ALL.iter().flat_map(move |kind| of_kind(*kind));
        all.zip(&self.findings)
            .filter(|((kind, leg, cause), count)| **count > 0 || is_watched(*kind, *leg, *cause))
            .map(|((kind, leg, cause), count)| (kind, leg, cause, *count))
    }

    /// Treatments that ended so far; R1's are there at zero too.
    pub fn treatments(&self) -> impl Iterator<Item = (FindingKind, TreatmentOutcome, u64)> + '_ {
        let of_kind = |kind| {
            TreatmentOutcome::ALL
                .iter()
                .map(move |outcome| (kind, *outcome))
        };
        let all = FindingKind::ALL.iter().flat_map(move |kind| of_kind(*kind));
        all.zip(&self.treatments)
            .filter(|((kind, _), count)| **count > 0 || *kind == FindingKind::SilentCaller)
            .map(|((kind, outcome), count)| (kind, outcome, *count))
    }
}

impl AgentFigures {
    fn new(name: String) -> Self {
        AgentFigures {
            name,
            ring: vec![Histogram::new(Scale::Wait); AttemptOutcome::ALL.len()],
        }
    }
}

/// Findings that every call is watched for.
fn is_watched(kind: FindingKind, leg: Leg, cause: Cause) -> bool {
    use Cause::*;
    match (kind, leg) {
        (FindingKind::SilentCaller, Leg::Caller) => {
            matches!(cause, NeverSent | DigitalSilence | NoiseWithoutSpeech)
        }
        (FindingKind::OneWay, _) => matches!(cause, NeverSent | Stopped),
        _ => false,
    }
}

/// Kind by kind, leg by leg, cause by cause: the order of [`HotlineFigures::findings`].
fn finding_place(kind: FindingKind, leg: Leg, cause: Cause) -> usize {
    (kind.index() * Leg::BOTH.len() + leg.index()) * Cause::ALL.len() + cause.index()
}

/// Kind by kind, outcome by outcome: the order of [`HotlineFigures::treatments`].
fn treatment_place(kind: FindingKind, outcome: TreatmentOutcome) -> usize {
    kind.index() * TreatmentOutcome::ALL.len() + outcome.index()
}

/// A name that is not there counts nothing.
fn place(index: Option<usize>) -> u16 {
    index
        .and_then(|index| u16::try_from(index).ok())
        .unwrap_or(u16::MAX)
}

fn add(counter: Option<&mut u64>, by: u64) {
    debug_assert!(counter.is_some(), "a label outside the configuration");
    if let Some(counter) = counter {
        *counter = counter.saturating_add(by);
    }
}

fn observe(histogram: Option<&mut Histogram>, duration: Duration) {
    debug_assert!(histogram.is_some(), "a label outside the configuration");
    if let Some(histogram) = histogram {
        histogram.observe(duration);
    }
}

#[cfg(test)]
pub(crate) mod tests;
