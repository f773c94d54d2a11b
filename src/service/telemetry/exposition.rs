//! A snapshot as text for Prometheus: names, help, labels.
//!
//! Names and label sets are the contract's. Counters end in `_total`, times are seconds. Two forms:
//! OpenMetrics 1.0, and the older text form 0.0.4 for who does not ask for OpenMetrics (there a
//! counter's `_total` belongs to the family's name too).

use super::Snapshot;
use super::process::Process;
use crate::base::ids::Leg;
use crate::hotline::figures::{
    Abandon, Direction, DropReason, Figures, Gauges, Histogram, HotlineFigures, Refusal,
    RegistrationState, SipKind, TargetGauge,
};
use crate::hotline::record::AttemptOutcome;
use crate::service::trace::Watched;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::fmt::{Result, Write as _};
use std::sync::Arc;

/// The two text forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus text 0.0.4.
    Text,
}

impl Format {
    /// The form that an `Accept` header asks for; without a word about OpenMetrics, the older one.
    pub fn accepted(accept: Option<&str>) -> Format {
        match accept {
            Some(types) if types.contains("application/openmetrics-text") => Format::OpenMetrics,
            _ => Format::Text,
        }
    }

    /// Its media type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The whole page.
pub fn render(snapshot: Arc<Snapshot>, format: Format) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Page {
        snapshot,
        process: Process::now(),
    }));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)
        .expect("a String takes everything");
    match format {
        Format::OpenMetrics => text,
        Format::Text => older_form(&text),
    }
}

/// OpenMetrics text in the form 0.0.4: the family is named as its samples are, and the types `info`
/// and `unknown`, units and the end mark are not known there.
fn older_form(text: &str) -> String {
    let mut older = String::with_capacity(text.len());
    let mut help = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some((name, kind)) = type_line(line) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                other => ("", other),
            };
            let _ = writeln!(older, "# HELP {name}{suffix} {help}");
            let _ = writeln!(older, "# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with('#') {
            older.push_str(line);
            older.push('\n');
        }
    }
    older
}

fn type_line(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("# TYPE ")?.split_once(' ')
}

/// What is rendered at one request.
#[derive(Debug)]
struct Page {
    snapshot: Arc<Snapshot>,
    process: Process,
}

/// Label names and values of one series.
type Labels<'a> = Vec<(&'static str, &'a str)>;

impl Collector for Page {
    fn encode(&self, encoder: DescriptorEncoder) -> Result {
        let mut families = Families(encoder);
        let figures = &self.snapshot.figures;
        families.calls(figures)?;
        families.gauges(figures, &self.snapshot.gauges)?;
        families.targets(&self.snapshot.gauges.targets)?;
        families.times(figures)?;
        families.treatment(figures)?;
        families.packets(figures)?;
        families.watched(&self.snapshot.watched)?;
        families.program(figures)?;
        families.process(&self.process)
    }
}

struct Families<'e>(DescriptorEncoder<'e>);

impl Families<'_> {
    fn calls(&mut self, figures: &Figures) -> Result {
        let lines = &figures.hotlines;
        self.counter(
            "qingjiang_calls_offered",
            "Calls that passed admission.",
            lines.iter().flat_map(|line| {
                let by_trunk = figures.trunks.iter().zip(&line.offered);
                by_trunk.map(|(trunk, count)| (labels(line, [("trunk", trunk.as_str())]), *count))
            }),
        )?;
        self.counter(
            "qingjiang_calls_connected",
            "Offered calls that were rung, queued or answered.",
            lines.iter().map(|line| (labels(line, []), line.connected)),
        )?;
        self.counter(
            "qingjiang_calls_answered",
            "Calls that were answered.",
            lines.iter().map(|line| (labels(line, []), line.answered)),
        )?;
        self.counter(
            "qingjiang_calls_abandoned",
            "Calls that the caller gave up before an answer; short ones are below the hotline's limit.",
            lines.iter().flat_map(|line| {
                let by_kind = Abandon::ALL.iter().zip(&line.abandoned);
                by_kind.map(|(kind, count)| (labels(line, [("kind", kind.name())]), *count))
            }),
        )?;
        let refused = Refusal::ALL.iter().zip(&figures.refused);
        self.counter(
            "qingjiang_calls_refused",
            "Calls that were not admitted.",
            refused.map(|(reason, count)| (vec![("reason", reason.name())], *count)),
        )
    }

    fn gauges(&mut self, figures: &Figures, gauges: &Gauges) -> Result {
        let now = |place: usize| gauges.hotlines.get(place).copied().unwrap_or_default();
        let lines = || {
            figures
                .hotlines
                .iter()
                .enumerate()
                .map(|(place, line)| (line, now(place)))
        };
        self.gauge(
            "qingjiang_calls_active",
            "Calls that are up now.",
            lines().flat_map(|(line, now)| {
                let states = [
                    ("ringing", now.ringing),
                    ("waiting", now.waiting),
                    ("talking", now.talking),
                ];
                states.map(|(state, calls)| (labels(line, [("state", state)]), f64::from(calls)))
            }),
        )?;
        self.gauge(
            "qingjiang_longest_wait_seconds",
            "How long the oldest caller without an answer has waited.",
            lines().map(|(line, now)| (labels(line, []), now.longest_wait.as_secs_f64())),
        )?;
        self.gauge(
            "qingjiang_registrations",
            "Whether we are registered: 1 for the state that holds, 0 for the others.",
            gauges.registrations.iter().flat_map(|(name, held)| {
                RegistrationState::ALL.iter().map(move |state| {
                    let own = vec![("registrar", name.as_str()), ("state", state.name())];
                    (own, if state == held { 1.0 } else { 0.0 })
                })
            }),
        )
    }

    fn targets(&mut self, targets: &[TargetGauge]) -> Result {
        self.gauge(
            "qingjiang_target_up",
            "Whether a target gets new calls; of several of one name, whether all do.",
            targets.iter().map(|target| {
                let own = vec![
                    ("hotline", target.hotline.as_str()),
                    ("agent", target.agent.as_str()),
                ];
                (own, f64::from(u8::from(target.up)))
            }),
        )
    }

    fn times(&mut self, figures: &Figures) -> Result {
        let lines = &figures.hotlines;
        self.histogram(
            "qingjiang_ring_seconds",
            "First ringing response to answer or to the end of the attempt.",
            lines.iter().flat_map(|line| {
                line.agents.iter().flat_map(|agent| {
                    let by_outcome = AttemptOutcome::ALL.iter().zip(&agent.ring);
                    by_outcome.map(|(outcome, ring)| {
                        let own = [("agent", agent.name.as_str()), ("outcome", outcome.name())];
                        (labels(line, own), ring)
                    })
                })
            }),
        )?;
        self.histogram(
            "qingjiang_wait_seconds",
            "INVITE to answer, of answered calls.",
            lines.iter().map(|line| (labels(line, []), &line.wait)),
        )?;
        self.histogram(
            "qingjiang_post_dial_delay_seconds",
            "INVITE to the first 18x, or to the final response where none came.",
            lines
                .iter()
                .map(|line| (labels(line, []), &line.post_dial_delay)),
        )?;
        self.histogram(
            "qingjiang_talk_seconds",
            "Answer to the end, of answered calls.",
            lines.iter().map(|line| (labels(line, []), &line.talk)),
        )
    }

    fn treatment(&mut self, figures: &Figures) -> Result {
        let lines = &figures.hotlines;
        self.counter(
            "qingjiang_findings",
            "What was found wrong with calls.",
            lines.iter().flat_map(|line| {
                line.findings().map(|(kind, leg, cause, count)| {
                    let own = [
                        ("kind", kind.name()),
                        ("leg", Leg::name(leg)),
                        ("cause", cause.name()),
                    ];
                    (labels(line, own), count)
                })
            }),
        )?;
        self.counter(
            "qingjiang_prompts",
            "Prompts that were begun.",
            lines.iter().flat_map(|line| {
                let prompts = line.prompts.iter();
                prompts.map(|(prompt, count)| (labels(line, [("prompt", prompt.as_str())]), *count))
            }),
        )?;
        self.counter(
            "qingjiang_treatments",
            "Treatments that ended, by how they did.",
            lines.iter().flat_map(|line| {
                line.treatments().map(|(kind, outcome, count)| {
                    let own = [("kind", kind.name()), ("outcome", outcome.name())];
                    (labels(line, own), count)
                })
            }),
        )?;
        self.histogram(
            "qingjiang_treatment_delay_seconds",
            "When a prompt was due to its first frame.",
            [(Vec::new(), &figures.treatment_delay)].into_iter(),
        )
    }

    fn packets(&mut self, figures: &Figures) -> Result {
        let directions = || Direction::ALL.iter();
        self.counter(
            "qingjiang_rtp_packets",
            "RTP packets, as seen from here.",
            directions()
                .zip(&figures.rtp_packets)
                .map(|(way, count)| (vec![("direction", way.name())], *count)),
        )?;
        let dropped = DropReason::ALL.iter().zip(&figures.rtp_dropped);
        self.counter(
            "qingjiang_rtp_dropped",
            "RTP packets that were received and not passed on.",
            dropped.map(|(reason, count)| (vec![("reason", reason.name())], *count)),
        )?;
        self.counter(
            "qingjiang_sip_messages",
            "SIP messages, retransmissions included, as seen from here.",
            directions()
                .zip(&figures.sip_messages)
                .flat_map(|(way, kinds)| {
                    SipKind::ALL.iter().zip(kinds).map(|(kind, count)| {
                        let own = vec![("direction", way.name()), ("method_or_class", kind.name())];
                        (own, *count)
                    })
                }),
        )
    }

    fn watched(&mut self, watched: &Watched) -> Result {
        for (name, help, count) in [
            (
                "qingjiang_trace_dropped",
                "SIP messages that are in no ladder because the thread that keeps them was behind.",
                watched.trace_dropped,
            ),
            (
                "qingjiang_hep_sent",
                "SIP messages sent to the HEP collector.",
                watched.hep_sent,
            ),
            (
                "qingjiang_hep_dropped",
                "SIP messages that could not be sent to the HEP collector.",
                watched.hep_dropped,
            ),
        ] {
            self.counter(name, help, [(Vec::new(), count)].into_iter())?;
        }
        Ok(())
    }

    fn program(&mut self, figures: &Figures) -> Result {
        self.counter(
            "qingjiang_bugs",
            "Assumptions of the program that did not hold, by place in the code.",
            figures
                .bugs
                .iter()
                .map(|(site, count)| (vec![("site", site.as_str())], *count)),
        )?;
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        self.0
            .encode_descriptor("qingjiang_build", "The program.", None, MetricType::Info)?
            .encode_info(&version)
    }

    fn process(&mut self, process: &Process) -> Result {
        self.0
            .encode_descriptor(
                "process_cpu_seconds",
                "CPU time of the process, user and system.",
                None,
                MetricType::Counter,
            )?
            .encode_counter::<NoLabelSet, _, f64>(&process.cpu_seconds, None)?;
        let bytes = |value: Option<u64>| value.map(|bytes| bytes as f64);
        for (name, help, value) in [
            (
                "process_resident_memory_bytes",
                "Memory in use.",
                bytes(process.resident_bytes),
            ),
            (
                "process_virtual_memory_bytes",
                "Memory that is mapped.",
                bytes(process.virtual_bytes),
            ),
            (
                "process_open_fds",
                "Open descriptors.",
                bytes(process.open_fds),
            ),
            (
                "process_max_fds",
                "Limit of open descriptors.",
                bytes(process.max_fds),
            ),
            (
                "process_start_time_seconds",
                "When the process began, since 1970.",
                process.started_at,
            ),
        ] {
            self.gauge(
                name,
                help,
                value.into_iter().map(|value| (Vec::new(), value)),
            )?;
        }
        Ok(())
    }

    /// `name` is without `_total`, which the encoder adds.
    fn counter<'a>(
        &mut self,
        name: &str,
        help: &str,
        series: impl Iterator<Item = (Labels<'a>, u64)>,
    ) -> Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, count) in series {
            if labels.is_empty() {
                family.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            } else {
                let mut one = family.encode_family(&labels)?;
                one.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        Ok(())
    }

    fn gauge<'a>(
        &mut self,
        name: &str,
        help: &str,
        series: impl Iterator<Item = (Labels<'a>, f64)>,
    ) -> Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in series {
            if labels.is_empty() {
                family.encode_gauge(&value)?;
            } else {
                family.encode_family(&labels)?.encode_gauge(&value)?;
            }
        }
        Ok(())
    }

    fn histogram<'a>(
        &mut self,
        name: &str,
        help: &str,
        series: impl Iterator<Item = (Labels<'a>, &'a Histogram)>,
    ) -> Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, histogram) in series {
            let buckets: Vec<(f64, u64)> = histogram.buckets().collect();
            let (sum, count) = (histogram.sum_seconds(), histogram.count());
            if labels.is_empty() {
                family.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
            } else {
                let mut one = family.encode_family(&labels)?;
                one.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
            }
        }
        Ok(())
    }
}

/// The hotline first, then the series' own labels.
fn labels<'a, const N: usize>(
    line: &'a HotlineFigures,
    own: [(&'static str, &'a str); N],
) -> Labels<'a> {
    let hotline = ("hotline", line.name.as_str());
    [hotline].into_iter().chain(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hotline::figures::tests::config;
    use crate::hotline::figures::{HotlineGauges, HotlineIndex, TrunkIndex};
    use crate::hotline::finding::{Cause, FindingKind};
    use crate::hotline::treat::TreatmentOutcome;
    use crate::service::telemetry::Readiness;
    use std::time::Duration;

    fn snapshot() -> Arc<Snapshot> {
        let mut figures = Figures::new(&config());
        let weather = HotlineIndex(0);
        figures.offered(weather, TrunkIndex(0));
        figures.ring(
            weather,
            "pbx",
            AttemptOutcome::Answered,
            Duration::from_millis(5_500),
        );
        figures.finding(
            weather,
            FindingKind::SilentCaller,
            Leg::Caller,
            Cause::DigitalSilence,
        );
        figures.treatment(
            weather,
            FindingKind::SilentCaller,
            TreatmentOutcome::Recovered,
        );
        figures.treatment_delay(Duration::from_millis(21));
        figures.sip_message(Direction::In, SipKind::Invite);
        figures.bug("dialog_gone");
        let waiting = HotlineGauges {
            ringing: 2,
            longest_wait: Duration::from_millis(7_500),
            ..HotlineGauges::default()
        };
        Arc::new(Snapshot {
            figures,
            gauges: Gauges {
                hotlines: vec![waiting],
                registrations: vec![("carrier".to_owned(), RegistrationState::Failed)],
                targets: vec![TargetGauge {
                    hotline: "weather".into(),
                    agent: "desk-1".into(),
                    up: true,
                }],
            },
            watched: Watched::default(),
            readiness: Readiness::Ready,
        })
    }

    fn has(text: &str, line: &str) {
        assert!(
            text.lines().any(|one| one == line),
            "{line}\nis not in\n{text}"
        );
    }

    const SAMPLES: &[&str] = &[
        r#"qingjiang_calls_offered_total{hotline="weather",trunk="carrier"} 1"#,
        r#"qingjiang_calls_offered_total{hotline="weather",trunk="second"} 0"#,
        r#"qingjiang_target_up{hotline="weather",agent="desk-1"} 1.0"#,
        r#"qingjiang_trace_dropped_total 0"#,
        r#"qingjiang_hep_sent_total 0"#,
        r#"qingjiang_hep_dropped_total 0"#,
        r#"qingjiang_calls_offered_total{hotline="sales \"A\"",trunk="carrier"} 0"#,
        r#"qingjiang_calls_connected_total{hotline="weather"} 0"#,
        r#"qingjiang_calls_answered_total{hotline="weather"} 0"#,
        r#"qingjiang_calls_abandoned_total{hotline="weather",kind="short"} 0"#,
        r#"qingjiang_calls_refused_total{reason="capacity"} 0"#,
        r#"qingjiang_calls_active{hotline="weather",state="ringing"} 2.0"#,
        r#"qingjiang_calls_active{hotline="sales \"A\"",state="talking"} 0.0"#,
        r#"qingjiang_longest_wait_seconds{hotline="weather"} 7.5"#,
        r#"qingjiang_registrations{registrar="carrier",state="failed"} 1.0"#,
        r#"qingjiang_registrations{registrar="carrier",state="registered"} 0.0"#,
        r#"qingjiang_ring_seconds_bucket{le="5.0",hotline="weather",agent="pbx",outcome="answered"} 0"#,
        r#"qingjiang_ring_seconds_bucket{le="6.0",hotline="weather",agent="pbx",outcome="answered"} 1"#,
        r#"qingjiang_ring_seconds_bucket{le="+Inf",hotline="weather",agent="pbx",outcome="answered"} 1"#,
        r#"qingjiang_ring_seconds_count{hotline="weather",agent="pbx",outcome="answered"} 1"#,
        r#"qingjiang_ring_seconds_sum{hotline="weather",agent="pbx",outcome="answered"} 5.5"#,
        r#"qingjiang_wait_seconds_count{hotline="weather"} 0"#,
        r#"qingjiang_post_dial_delay_seconds_count{hotline="weather"} 0"#,
        r#"qingjiang_talk_seconds_count{hotline="weather"} 0"#,
        r#"qingjiang_findings_total{hotline="weather",kind="silent_caller",leg="caller",cause="digital_silence"} 1"#,
        r#"qingjiang_prompts_total{hotline="weather",prompt="silent-redial"} 0"#,
        r#"qingjiang_treatments_total{hotline="weather",kind="silent_caller",outcome="recovered"} 1"#,
        r#"qingjiang_treatment_delay_seconds_bucket{le="0.05"} 1"#,
        r#"qingjiang_treatment_delay_seconds_count 1"#,
        r#"qingjiang_rtp_packets_total{direction="in"} 0"#,
        r#"qingjiang_rtp_dropped_total{reason="malformed"} 0"#,
        r#"qingjiang_sip_messages_total{direction="in",method_or_class="INVITE"} 1"#,
        r#"qingjiang_bugs_total{site="dialog_gone"} 1"#,
    ];

    #[test]
    fn every_name_of_the_contract_is_there_in_both_forms() {
        for format in [Format::OpenMetrics, Format::Text] {
            let text = render(snapshot(), format);
            for line in SAMPLES {
                has(&text, line);
            }
            let build = concat!(
                r#"qingjiang_build_info{version=""#,
                env!("CARGO_PKG_VERSION"),
                r#""} 1"#
            );
            has(&text, build);
            for name in [
                "process_cpu_seconds_total ",
                "process_resident_memory_bytes ",
                "process_open_fds ",
                "process_start_time_seconds ",
            ] {
                assert!(text.lines().any(|line| line.starts_with(name)), "{name}");
            }
        }
    }

    #[test]
    fn each_form_names_its_families_its_own_way() {
        let open = render(snapshot(), Format::OpenMetrics);
        has(&open, "# TYPE qingjiang_calls_offered counter");
        has(&open, "# TYPE qingjiang_build info");
        assert!(open.ends_with("# EOF\n"));
        let older = render(snapshot(), Format::Text);
        has(
            &older,
            "# HELP qingjiang_calls_offered_total Calls that passed admission.",
        );
        has(&older, "# TYPE qingjiang_calls_offered_total counter");
        has(&older, "# TYPE qingjiang_build_info gauge");
        has(&older, "# TYPE qingjiang_ring_seconds histogram");
        assert!(!older.contains("EOF"));
    }

    #[test]
    fn every_sample_belongs_to_a_family_that_was_announced_and_has_no_twin() {
        let text = render(snapshot(), Format::Text);
        let mut family = String::new();
        let mut seen = std::collections::BTreeSet::new();
        for line in text.lines() {
            if let Some((name, _)) = type_line(line) {
                family = name.to_owned();
            } else if !line.starts_with('#') {
                let series = line.rsplit_once(' ').unwrap().0;
                assert!(line.starts_with(&family), "{line} under {family}");
                assert!(seen.insert(series.to_owned()), "{series} twice");
            }
        }
    }

    #[test]
    fn who_asks_for_openmetrics_gets_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
        assert_eq!(Format::accepted(Some(prometheus)), Format::OpenMetrics);
        assert_eq!(Format::accepted(Some("*/*")), Format::Text);
        assert_eq!(Format::accepted(None), Format::Text);
    }
}
