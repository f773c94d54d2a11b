//! We register at a registrar: when, again, and no more.

use super::scene::{Scene, TARGETS};
use crate::base::time::Instant;
use crate::engine::Input;
use crate::hotline::figures::RegistrationState;
use crate::sip::auth::{Credentials, Side};
use crate::sip::wire::{Message, Method};
use std::time::Duration;

const REGISTRAR: &str = "192.0.2.20:5060";
const ONE: &str = "[[registration]]\nname = \"carrier\"\nregistrar = \"sip:192.0.2.20\"\nuser = \"400\"\n\
    contact = \"line-1\"\npassword = \"secret\"\nexpires = \"1h\"\n";

fn targets() -> String {
    format!("targets = [\"sip:desk@{}\"]", TARGETS[0])
}

/// After the first REGISTER.
fn scene() -> Scene {
    let mut scene = Scene::with(&targets(), ONE);
    scene.run_for(Duration::ZERO);
    scene
}

fn asked(scene: &Scene) -> &Message {
    &scene.last(REGISTRAR, "REGISTER").message
}

fn count(scene: &Scene) -> usize {
    scene.times(REGISTRAR, "REGISTER").len()
}

fn number(message: &Message) -> u32 {
    message.cseq().expect("CSeq").number
}

/// The registrar's answer to the last REGISTER.
fn answer(scene: &mut Scene, status: u16, headers: &[(&str, &str)]) {
    let mut response = asked(scene).reply(status, None);
    for (name, value) in headers {
        response.headers.push(name, value);
    }
    scene.receive(REGISTRAR, &response);
}

fn state(scene: &Scene) -> Option<RegistrationState> {
    let states = scene.engine.gauges(scene.now).registrations;
    assert!(states.iter().all(|(name, _)| name == "carrier"));
    states.first().map(|(_, state)| *state)
}

fn due(scene: &Scene) -> Duration {
    scene
        .engine
        .registrations
        .next_deadline()
        .expect("a deadline")
        - scene.now
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_first_request_says_who_we_are_and_where() {
    let scene = scene();
    assert_eq!(
        scene.times(REGISTRAR, "REGISTER"),
        [Instant::from_millis(1_000)]
    );
    let register = asked(&scene);
    let text = String::from_utf8(register.to_bytes()).expect("UTF-8");
    assert!(text.starts_with("REGISTER sip:192.0.2.20 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060"));
    let header = |name| register.headers.first(name).expect("a header");
    assert_eq!(header("To"), "<sip:400@192.0.2.20>");
    assert!(header("From").starts_with("<sip:400@192.0.2.20>;tag="));
    assert_eq!(header("Contact"), "<sip:line-1@192.0.2.1:5060>");
    assert_eq!((header("Expires"), header("Max-Forwards")), ("3600", "70"));
    assert_eq!(state(&scene), Some(RegistrationState::Trying));
}

#[test]
fn a_challenge_is_answered_and_what_is_granted_is_renewed_at_half_of_it() {
    let mut scene = scene();
    let value = "Digest realm=\"r\", nonce=\"1\", algorithm=SHA-256, qop=\"auth\"";
    answer(&mut scene, 401, &[("WWW-Authenticate", value)]);
    assert_eq!((count(&scene), number(asked(&scene))), (2, 2));
    let sent = Credentials::of_request(asked(&scene), Side::End).remove(0);
    assert!(sent.is_right(&Method::Register, "secret"));
    assert_eq!(
        (sent.user.as_str(), sent.uri.as_str()),
        ("400", "sip:192.0.2.20")
    );
    let granted = [
        (
            "Contact",
            "<sip:other@192.0.2.99>;expires=7000, <sip:line-1@192.0.2.1>;expires=600;q=0.5",
        ),
        ("Expires", "3000"),
    ];
    answer(&mut scene, 200, &granted);
    assert_eq!(state(&scene), Some(RegistrationState::Registered));
    let first = asked(&scene).clone();
    scene.run_for(secs(299));
    assert_eq!(count(&scene), 2);
    scene.run_for(secs(1));
    assert_eq!((count(&scene), number(asked(&scene))), (3, 3));
    assert_eq!(asked(&scene).call_id(), first.call_id());
    let again = Credentials::of_request(asked(&scene), Side::End).remove(0);
    assert_eq!(
        again.counted.map(|one| one.count),
        Some(2),
        "without another round"
    );
    answer(&mut scene, 200, &[("Expires", "100")]);
    assert_eq!(due(&scene), secs(50), "of all, where ours is not named");
    scene.run_for(secs(50));
    answer(&mut scene, 200, &[]);
    assert_eq!(due(&scene), secs(1_800), "what was asked for");
    scene.run_for(secs(1_800));
    answer(&mut scene, 200, &[("Expires", "0")]);
    assert_eq!(due(&scene), secs(5), "never faster than that");
}

#[test]
fn a_registrar_that_wants_longer_gets_longer_once() {
    let mut scene = scene();
    answer(&mut scene, 423, &[("Min-Expires", "7200")]);
    assert_eq!(asked(&scene).headers.first("Expires"), Some("7200"));
    answer(&mut scene, 423, &[("Min-Expires", "7200")]);
    assert_eq!(count(&scene), 2, "the same again is a refusal");
    assert_eq!(state(&scene), Some(RegistrationState::Failed));
    for wanted in ["60", "x", "99999999999"] {
        let mut scene = self::scene();
        answer(&mut scene, 423, &[("Min-Expires", wanted)]);
        assert_eq!(count(&scene), 1, "{wanted}");
    }
}

#[test]
fn failures_are_tried_again_after_pauses_that_grow_and_differ() {
    let mut scene = scene();
    let mut pauses = Vec::new();
    for _ in 0..6 {
        answer(&mut scene, 403, &[]);
        assert_eq!(state(&scene), Some(RegistrationState::Failed));
        let pause = due(&scene);
        pauses.push(pause);
        scene.run_for(pause);
    }
    assert_eq!(count(&scene), 7);
    for (pause, most) in pauses.iter().zip([30, 60, 120, 240, 300, 300]) {
        assert!((secs(most) / 2..=secs(most)).contains(pause), "{pauses:?}");
    }
    assert_ne!(pauses[4], pauses[5]);
    answer(&mut scene, 503, &[("Retry-After", "1800 (later)")]);
    assert_eq!(due(&scene), secs(1_800));
    scene.run_for(secs(1_800));
    answer(&mut scene, 200, &[]);
    assert_eq!(state(&scene), Some(RegistrationState::Registered));
    scene.run_for(secs(1_800));
    answer(&mut scene, 500, &[]);
    assert!(due(&scene) <= secs(30), "a success ends the growing");
    assert_eq!(
        state(&scene),
        Some(RegistrationState::Registered),
        "for now"
    );
}

#[test]
fn a_wrong_password_is_not_tried_twice_at_once() {
    let mut scene = scene();
    let value = |nonce| format!("Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\"");
    answer(&mut scene, 401, &[("WWW-Authenticate", &value(1))]);
    answer(&mut scene, 401, &[("WWW-Authenticate", &value(2))]);
    assert_eq!(count(&scene), 2);
    assert!(due(&scene) >= secs(15));
}

#[test]
fn a_dead_registrar_is_asked_again_and_what_it_granted_runs_out() {
    let mut scene = scene();
    answer(&mut scene, 200, &[("Expires", "200")]);
    scene.run_for(secs(199));
    assert_eq!(state(&scene), Some(RegistrationState::Registered));
    scene.run_for(secs(2));
    assert_eq!(state(&scene), Some(RegistrationState::Failed));
    let numbers: std::collections::BTreeSet<u32> = scene
        .all(REGISTRAR, "REGISTER")
        .iter()
        .map(|sent| number(&sent.message))
        .collect();
    assert!(numbers.len() >= 3, "{numbers:?}");
}

#[test]
fn a_drain_takes_the_registration_back() {
    let mut scene = scene();
    answer(&mut scene, 200, &[]);
    scene.handle(Input::Drain);
    assert_eq!(asked(&scene).headers.first("Expires"), Some("0"));
    assert!(!scene.engine.is_idle(), "the answer may be a challenge");
    let value = "Digest realm=\"r\", nonce=\"1\", qop=\"auth\"";
    answer(&mut scene, 401, &[("WWW-Authenticate", value)]);
    let register = asked(&scene).clone();
    assert_eq!(register.headers.first("Expires"), Some("0"));
    assert_eq!(Credentials::of_request(&register, Side::End).len(), 1);
    answer(&mut scene, 200, &[]);
    assert!(scene.engine.is_idle());
    assert_eq!(state(&scene), None);
    scene.handle(Input::ShutDown);
    scene.must_come_to_rest();
    assert_eq!(count(&scene), 3);
}

/// One request at a time (RFC 3261 §10.2), and one that was never answered is not waited for beyond its time.
#[test]
fn a_drain_waits_for_the_request_that_is_under_way() {
    for granted in [true, false] {
        let mut scene = scene();
        scene.handle(Input::Drain);
        assert_eq!(count(&scene), 1);
        answer(&mut scene, if granted { 200 } else { 403 }, &[]);
        assert_eq!(count(&scene), 1 + usize::from(granted));
        scene.run_for(secs(33));
        assert!(scene.engine.is_idle());
        scene.must_come_to_rest();
    }
}

#[test]
fn a_renewed_configuration_leaves_one_and_begins_another() {
    let mut scene = scene();
    answer(&mut scene, 200, &[]);
    let other = ONE.replace("400", "401");
    let renewed = Scene::with(&targets(), &other).engine.desk.config.clone();
    scene.handle(Input::Renew(Box::new(renewed)));
    assert_eq!(asked(&scene).headers.first("Expires"), Some("0"));
    assert_eq!(
        asked(&scene).headers.first("To"),
        Some("<sip:400@192.0.2.20>")
    );
    answer(&mut scene, 200, &[]);
    scene.run_for(Duration::ZERO);
    assert_eq!(
        asked(&scene).headers.first("To"),
        Some("<sip:401@192.0.2.20>")
    );
    assert_eq!(count(&scene), 3);
    answer(&mut scene, 200, &[]);
    let same = Scene::with(&targets(), &other).engine.desk.config.clone();
    scene.handle(Input::Renew(Box::new(same)));
    assert_eq!(count(&scene), 3, "nothing has changed");
    let password = other.replace("secret", "another");
    let changed = Scene::with(&targets(), &password)
        .engine
        .desk
        .config
        .clone();
    scene.handle(Input::Renew(Box::new(changed)));
    scene.run_for(Duration::ZERO);
    assert_eq!(count(&scene), 4, "the new password is tried at once");
    assert_eq!(asked(&scene).headers.first("Expires"), Some("3600"));
}

#[test]
fn a_registration_survives_being_written_down() {
    let mut scene = scene();
    let bytes = serde_json::to_vec(&scene.engine.registrations).expect("JSON");
    scene.engine.registrations = serde_json::from_slice(&bytes).expect("registrations");
    answer(&mut scene, 200, &[]);
    assert_eq!(state(&scene), Some(RegistrationState::Registered));
}
