//! We register at a real registrar, Kamailio, and its calls come to us.

use crate::http::Metrics;
use crate::peer::{Peer, find};
use crate::ports;
use crate::rtp_end::RtpEnd;
use crate::service::{STOP_LIMIT, Service, Setup, local};
use crate::sipp::{Plan, Sipp, scenario};
use crate::stage::{Stage, wait_for};
use std::path::Path;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);

/// Kamailio, which grants 12 seconds.
struct Registrar {
    _peer: Peer,
    port: u16,
}

impl Registrar {
    fn start(stage: &Stage) -> Registrar {
        let port = ports::one();
        let template =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/kamailio/registrar.cfg");
        let template = std::fs::read_to_string(template).expect("a template");
        let file = stage.path("kamailio.cfg");
        std::fs::write(&file, template.replace("PORT", &port.to_string())).expect("a file");
        let folder = stage.path("").display().to_string();
        let arguments = [
            "-f",
            &file.display().to_string(),
            "-DD",
            "-E",
            "-m",
            "32",
            "-M",
            "4",
            "-w",
            &folder,
            "-Y",
            &folder,
        ]
        .map(str::to_owned);
        let peer = Peer::start(stage, "kamailio", &find("kamailio"), &arguments);
        wait_for("Kamailio's socket", SOON, || {
            ports::is_bound(port).then_some(())
        });
        Registrar { _peer: peer, port }
    }

    /// `[[registration]]` at it.
    fn registration(&self, password: &str) -> String {
        format!(
            "[[registration]]\nname = \"kamailio\"\nregistrar = \"sip:127.0.0.1:{}\"\nuser = \"hotline\"\n\
             password = \"{password}\"\n",
            self.port
        )
    }

    /// Somebody calls the hotline's user there.
    fn call(&self, stage: &Stage, name: &str, file: &str, media: &RtpEnd) -> Sipp {
        let plan = Plan::caller(stage, name, &scenario(file), local(self.port));
        plan.media(media).talk_ms(500).start(20)
    }
}

fn is(metrics: &Metrics, state: &str) -> bool {
    let labels = [("registrar", "kamailio"), ("state", state)];
    metrics.sum("qingjiang_registrations", &labels) == 1.0
}

fn await_state(service: &Service, state: &str) {
    wait_for(state, SOON, || is(&service.metrics(), state).then_some(()));
}

fn registers_sent(service: &Service) -> f64 {
    let labels = [("direction", "out"), ("method_or_class", "REGISTER")];
    service
        .metrics()
        .sum("qingjiang_sip_messages_total", &labels)
}

/// Goal: the registrar's calls come while we run, across a renewal, and no longer when we have gone.
#[test]
fn a_registrars_calls_come_until_we_leave() {
    let stage = Stage::shared("registers");
    let registrar = Registrar::start(&stage);
    let agent_port = ports::one();
    let (caller_media, agent_media) = (RtpEnd::open(), RtpEnd::open());
    let setup = Setup::new(&[agent_port]).more(&registrar.registration("secret"));
    let mut service = setup.start(&stage);
    await_state(&service, "registered");
    assert_eq!(registers_sent(&service), 2.0, "one challenge");
    // Renewed after six of its twelve seconds, with the nonce that we have.
    wait_for("a renewal", SOON, || {
        (registers_sent(&service) >= 3.0).then_some(())
    });
    let mut agent = Plan::agent(&stage, "agent", &scenario("basic_call_uas"), agent_port)
        .media(&agent_media)
        .start(30);
    let mut caller = registrar.call(&stage, "caller", "own/caller_hangs_up_uac", &caller_media);
    caller.must_succeed(Duration::from_secs(25));
    agent.must_succeed(SOON);
    assert_eq!(service.record()["outcome"], "answered");
    assert!(is(&service.metrics(), "registered"));
    service.terminate();
    service.must_end(STOP_LIMIT);
    let mut late = registrar.call(&stage, "late", "callee_404_uac", &caller_media);
    late.must_succeed(Duration::from_secs(25));
}

#[test]
fn a_wrong_password_is_said_in_the_metrics_and_not_tried_on_and_on() {
    let stage = Stage::shared("registers-wrongly");
    let registrar = Registrar::start(&stage);
    let setup = Setup::new(&[ports::one()]).more(&registrar.registration("wrong"));
    let service = setup.start(&stage);
    await_state(&service, "failed");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(registers_sent(&service), 2.0);
    service.stop();
}
