//! A target that wants to know who we are: 401 and 407 to our INVITE and our BYE.

use super::scene::{CALLER, Scene, TARGETS, sdp};
use crate::base::time::Instant;
use crate::hotline::record::AttemptOutcome;
use crate::sip::auth::{Credentials, Side};
use crate::sip::wire::Message;
use std::time::Duration;

const PCMA: &str = "qop=\"auth\", algorithm=MD5";

/// Two targets; the first has an account.
fn scene() -> Scene {
    let [first, second] = TARGETS;
    let auth = "auth = { user = \"b2bua\", password = \"secret\" }";
    let keys = format!(
        "targets = [{{ uri = \"sip:desk@{first}\", name = \"first\", {auth} }}, \"sip:desk@{second}\"]\n\
         ring_timeout = \"30s\""
    );
    let mut scene = Scene::with(&keys, "");
    scene.packets = [50, 50];
    scene
}

fn challenge(scene: &mut Scene, method: &str, status: u16, fields: &str) {
    let asked = scene.last(TARGETS[0], method).message.clone();
    let mut response = asked.reply(status, None);
    let side = side_of(status);
    let value = format!("Digest realm=\"up.example\", {fields}");
    response.headers.push(side.challenges_in(), &value);
    scene.receive(TARGETS[0], &response);
}

fn side_of(status: u16) -> Side {
    if status == 401 {
        Side::End
    } else {
        Side::Proxy
    }
}

/// User, nonce and count of a request's credentials, which must be right.
fn credentials(request: &Message, side: Side) -> Option<(String, String, u32)> {
    let all = Credentials::of_request(request, side);
    assert!(all.len() <= 1, "{all:?}");
    let method = request.method().expect("a request");
    all.into_iter().next().map(|one| {
        assert!(one.is_right(method, "secret"));
        let count = one.counted.map_or(0, |one| one.count);
        (one.user, one.nonce, count)
    })
}

fn right(nonce: &str, count: u32) -> Option<(String, String, u32)> {
    Some(("b2bua".to_owned(), nonce.to_owned(), count))
}

fn invited() -> Scene {
    let mut scene = scene();
    scene.invite(&sdp("192.0.2.9", "sendrecv"));
    scene
}

#[test]
fn a_challenged_invite_is_sent_again_with_credentials_and_is_one_attempt() {
    for status in [401, 407] {
        let mut scene = invited();
        let began = scene.now;
        scene.run_for(Duration::from_secs(1));
        challenge(
            &mut scene,
            "INVITE",
            status,
            &format!("nonce=\"1\", {PCMA}"),
        );
        let invites = scene.all(TARGETS[0], "INVITE");
        // The first was repeated once before the challenge came.
        let (first, again) = (&invites[0].message, &invites[invites.len() - 1].message);
        assert_eq!(credentials(first, side_of(status)), None);
        assert_eq!(credentials(again, side_of(status)), right("1", 1));
        let number = |message: &Message| message.cseq().expect("CSeq").number;
        assert_eq!((number(first), number(again)), (1, 2));
        assert_eq!(first.call_id(), again.call_id());
        let tag = |message: &Message| message.from().expect("From").tag().map(str::to_owned);
        assert_eq!(tag(first), tag(again));
        let branch =
            |message: &Message| message.top_via().expect("Via").branch().map(str::to_owned);
        assert_ne!(branch(first), branch(again));
        assert_eq!(
            (again.vias().expect("Vias").len(), &again.body),
            (1, &first.body)
        );
        for once in ["Contact", "User-Agent", "Max-Forwards", "X-Qingjiang-Call"] {
            assert_eq!(again.headers.all(once).count(), 1, "{once}");
        }
        assert_eq!(
            number(&scene.last(TARGETS[0], "ACK").message),
            1,
            "of the refusal"
        );
        scene.answer(0, &sdp("192.0.2.5", "sendrecv"));
        let ack = &scene.last(TARGETS[0], "ACK").message;
        assert_eq!(number(ack), 2);
        let of_invite = again_value(&scene, status);
        assert_eq!(
            ack.headers.first(side_of(status).answers_in()),
            Some(of_invite.as_str())
        );
        scene.ack();
        scene.caller_hangs_up();
        let bye = &scene.last(TARGETS[0], "BYE").message;
        assert_eq!(number(bye), 3);
        assert_eq!(credentials(bye, side_of(status)), right("1", 2), "at once");
        scene.must_come_to_rest();
        assert_eq!(scene.times(TARGETS[1], "INVITE"), []);
        assert_eq!(scene.records[0].attempts.len(), 1);
        assert_eq!(
            scene.records[0].attempts[0].outcome,
            AttemptOutcome::Answered
        );
        assert_eq!(scene.times(CALLER, "401 INVITE"), []);
        assert_eq!(scene.times(CALLER, "100 INVITE"), [began]);
    }
}

fn again_value(scene: &Scene, status: u16) -> String {
    let invite = &scene.last(TARGETS[0], "INVITE").message;
    let value = invite.headers.first(side_of(status).answers_in());
    value.expect("credentials").to_owned()
}

/// Goal: a wrong password is an attempt that was refused, once, and the next target is called.
#[test]
fn a_rejection_is_the_attempts_result() {
    let mut scene = invited();
    challenge(&mut scene, "INVITE", 401, &format!("nonce=\"1\", {PCMA}"));
    challenge(&mut scene, "INVITE", 401, &format!("nonce=\"2\", {PCMA}"));
    assert_eq!(scene.times(TARGETS[0], "INVITE").len(), 2);
    assert_eq!(scene.times(TARGETS[1], "INVITE"), [scene.now]);
    let busy = scene.last(TARGETS[1], "INVITE").message.reply(486, None);
    scene.receive(TARGETS[1], &busy);
    assert_eq!(scene.times(CALLER, "486 INVITE"), [scene.now]);
    let outcomes: Vec<_> = scene_outcomes(scene);
    assert_eq!(outcomes, [AttemptOutcome::Refused, AttemptOutcome::Busy]);
}

fn scene_outcomes(mut scene: Scene) -> Vec<AttemptOutcome> {
    let Some(last) = scene
        .sent
        .iter()
        .rfind(|sent| sent.to.to_string() == CALLER)
    else {
        panic!("no answer to the caller");
    };
    assert!(last.message.status() >= Some(300));
    scene.ack_refusal();
    scene.must_come_to_rest();
    scene.records[0]
        .attempts
        .iter()
        .map(|one| one.outcome)
        .collect()
}

/// The challenge is for us, and says nothing to the caller.
#[test]
fn a_challenge_that_nobody_can_answer_is_480_for_the_caller() {
    for fields in [
        "nonce=\"1\", algorithm=SHA-512-256",
        "nonce=\"1\", qop=\"auth-int\"",
    ] {
        let mut scene = invited();
        challenge(&mut scene, "INVITE", 401, fields);
        // The second target has no account at all.
        let asked = scene.last(TARGETS[1], "INVITE").message.clone();
        let mut response = asked.reply(407, None);
        let value = format!("Digest realm=\"r\", nonce=\"1\", {PCMA}");
        response.headers.push("Proxy-Authenticate", &value);
        scene.receive(TARGETS[1], &response);
        assert_eq!(scene.times(TARGETS[1], "INVITE").len(), 1);
        assert_eq!(scene.times(CALLER, "480 INVITE"), [scene.now]);
        let outcomes = scene_outcomes(scene);
        assert_eq!(outcomes, [AttemptOutcome::Refused; 2]);
    }
}

#[test]
fn only_a_stale_nonce_is_worth_another_invite_and_not_for_ever() {
    let mut scene = invited();
    for nonce in 1..20 {
        let fields = format!("nonce=\"{nonce}\", {PCMA}, stale=true");
        challenge(&mut scene, "INVITE", 401, &fields);
    }
    assert_eq!(scene.times(TARGETS[0], "INVITE").len(), 5);
    let last = &scene.last(TARGETS[0], "INVITE").message;
    assert_eq!(credentials(last, Side::End), right("4", 1));
    assert_eq!(scene.times(TARGETS[1], "INVITE"), [scene.now]);
}

#[test]
fn the_ring_clock_runs_on_from_the_first_invite() {
    let mut scene = invited();
    let began = scene.now;
    scene.run_for(Duration::from_millis(400));
    challenge(&mut scene, "INVITE", 401, &format!("nonce=\"1\", {PCMA}"));
    scene.run_for(Duration::from_millis(100));
    let ringing = scene.last(TARGETS[0], "INVITE").message.reply(180, None);
    scene.receive(TARGETS[0], &ringing);
    scene.run_for(Duration::from_secs(40));
    let due: Instant = began + Duration::from_secs(30);
    assert_eq!(scene.times(TARGETS[0], "CANCEL")[0], due);
    let cancel = &scene.last(TARGETS[0], "CANCEL").message;
    assert_eq!(cancel.cseq().expect("CSeq").number, 2);
    assert_eq!(scene.times(TARGETS[1], "INVITE")[0], due);
}

#[test]
fn who_has_given_up_does_not_log_in() {
    let mut scene = invited();
    scene.caller_cancels();
    challenge(&mut scene, "INVITE", 401, &format!("nonce=\"1\", {PCMA}"));
    assert_eq!(scene.times(TARGETS[0], "INVITE").len(), 1);
    scene.ack_refusal();
    scene.must_come_to_rest();
}

#[test]
fn a_challenged_bye_is_sent_again_and_a_rejected_one_ends_the_leg() {
    for rejected in [false, true] {
        let mut scene = scene();
        scene.up();
        scene.byes_are_answered = false;
        scene.caller_hangs_up();
        challenge(&mut scene, "BYE", 401, &format!("nonce=\"1\", {PCMA}"));
        let byes = scene.all(TARGETS[0], "BYE");
        assert_eq!(byes.len(), 2);
        let numbers: Vec<u32> = byes
            .iter()
            .map(|sent| sent.message.cseq().expect("CSeq").number)
            .collect();
        assert_eq!(numbers, [2, 3]);
        assert_eq!(credentials(&byes[1].message, Side::End), right("1", 1));
        if rejected {
            challenge(&mut scene, "BYE", 401, &format!("nonce=\"2\", {PCMA}"));
            assert_eq!(scene.times(TARGETS[0], "BYE").len(), 2);
        } else {
            let ok = scene.last(TARGETS[0], "BYE").message.reply(200, None);
            scene.receive(TARGETS[0], &ok);
        }
        scene.run_for(Duration::from_secs(1));
        assert!(scene.engine.is_idle(), "nothing more is waited for");
        scene.must_come_to_rest();
    }
}
