//! Callers who must say who they are: the gate, its challenges, and what it keeps of whom.

use super::scene::{CALLER, Scene, TARGETS, sdp};
use crate::hotline::figures::Refusal;
use crate::sip::auth::credentials::Counted;
use crate::sip::auth::{Challenge, Credentials};
use crate::sip::wire::{Message, Method, Uri};
use std::time::Duration;

/// Nobody's address.
const ANYWHERE: &str = "203.0.113.7:5060";
/// A network that a trunk with a password calls from.
const BOTH: &str = "198.51.100.7:5060";

const TRUNKS: &str = "[[trunk]]\nname = \"phones\"\nauth = { user = \"caller\", password = \"secret\" }\n\
    [[trunk]]\nname = \"both\"\nfrom = [\"198.51.100.0/24\"]\nauth = { user = \"both\", password = \"other\" }\n";

fn scene() -> Scene {
    let mut scene = Scene::with(&format!("targets = [\"sip:desk@{}\"]", TARGETS[0]), TRUNKS);
    scene.packets = [50, 50];
    scene
}

/// A request outside of any dialog, a new one for each number.
fn request(from: &str, method: &str, number: u32) -> Message {
    let uri = Uri::parse("sip:hotline@192.0.2.1").expect("a URI");
    let mut request = Message::request(Method::from(method), uri);
    for (name, value) in [
        ("Via", format!("SIP/2.0/UDP {from};branch=z9hG4bK{number}")),
        ("From", "<sip:a@203.0.113.7>;tag=a".to_owned()),
        ("To", "<sip:hotline@192.0.2.1>".to_owned()),
        ("Call-ID", "logs-in".to_owned()),
        ("CSeq", format!("{number} {method}")),
        ("Contact", format!("<sip:a@{from}>")),
        ("Content-Type", "application/sdp".to_owned()),
    ] {
        request.headers.push(name, &value);
    }
    if method == "INVITE" {
        request.body = sdp("203.0.113.7", "sendrecv").into_bytes();
    }
    request
}

/// The challenges of the last 401 to a request of this method.
fn challenges(scene: &Scene, to: &str, method: &str) -> Vec<Challenge> {
    let refusal = &scene.last(to, &format!("401 {method}")).message;
    assert!(refusal.to().expect("To").tag().is_some());
    let value = |line: &str| {
        let mut one = Message::response(401, None);
        one.headers.push("WWW-Authenticate", line);
        Challenge::of_response(&one).remove(0)
    };
    refusal.headers.all("WWW-Authenticate").map(value).collect()
}

fn sign(request: &mut Message, challenge: &Challenge, user: &str, password: &str, count: u32) {
    let method = request.method().expect("a request").clone();
    let asked = (&method, "sip:hotline@192.0.2.1");
    let cnonce = "c".to_owned();
    let counted = Some(Counted { count, cnonce });
    let credentials = Credentials::answering(challenge, user, password, asked, counted);
    request
        .headers
        .set("Authorization", &credentials.to_value());
}

fn statuses(scene: &Scene, to: &str) -> Vec<u16> {
    let to_it = scene.sent.iter().filter(|sent| sent.to.to_string() == to);
    to_it.filter_map(|sent| sent.message.status()).collect()
}

fn unauthorized(scene: &Scene) -> u64 {
    scene.engine.figures().refused[Refusal::Unauthorized.index()]
}

/// Sends an INVITE, and another with credentials for one of its challenges.
fn call(scene: &mut Scene, from: &str, which: usize, user: &str, password: &str) {
    scene.receive(from, &request(from, "INVITE", 1));
    let challenge = challenges(scene, from, "INVITE").remove(which);
    let mut again = request(from, "INVITE", 2);
    sign(&mut again, &challenge, user, password, 1);
    scene.receive(from, &again);
}

#[test]
fn a_caller_with_the_password_is_put_through_by_either_algorithm() {
    for (which, name) in [(0, "MD5"), (1, "SHA-256")] {
        let mut scene = scene();
        scene.receive(ANYWHERE, &request(ANYWHERE, "INVITE", 1));
        let offered = challenges(&scene, ANYWHERE, "INVITE");
        assert_eq!(offered.len(), 2);
        assert_eq!(offered[which].algorithm.name(), name);
        assert_eq!(offered[which].realm, "qingjiang");
        assert!(offered[which].counts && !offered[which].stale);
        assert!(scene.engine.desk.transactions.is_empty(), "nothing is kept");
        call(&mut scene, ANYWHERE, which, "caller", "secret");
        assert_eq!(statuses(&scene, ANYWHERE), [401, 401, 100]);
        let invite = &scene.last(TARGETS[0], "INVITE").message;
        assert_eq!(invite.headers.first("Authorization"), None, "ours is ours");
        let offered = &scene.engine.figures().hotlines[0].offered;
        assert_eq!(offered, &[0, 1, 0], "counted for the trunk phones");
        assert_eq!(unauthorized(&scene), 0);
    }
}

/// Goal: what a request that was let in needs for its life passes without a password: its repetition, its CANCEL, the
/// ACK of its end. What only looks like it does not.
#[test]
fn what_belongs_to_a_call_is_not_challenged() {
    let mut scene = scene();
    call(&mut scene, ANYWHERE, 0, "caller", "secret");
    let challenge = challenges(&scene, ANYWHERE, "INVITE").remove(0);
    let mut again = request(ANYWHERE, "INVITE", 2);
    sign(&mut again, &challenge, "caller", "secret", 1);
    scene.receive(ANYWHERE, &again);
    assert_eq!(
        statuses(&scene, ANYWHERE),
        [401, 100, 100],
        "a repetition is no replay"
    );
    let mut stray = request(ANYWHERE, "CANCEL", 3);
    stray.headers.set("Call-ID", "another");
    scene.receive(ANYWHERE, &stray);
    assert_eq!(statuses(&scene, ANYWHERE).pop(), Some(481));
    let ringing = scene.last(TARGETS[0], "INVITE").message.reply(180, None);
    scene.receive(TARGETS[0], &ringing);
    let kept = scene.engine.desk.transactions.len();
    scene.receive(ANYWHERE, &request(ANYWHERE, "CANCEL", 2));
    assert_eq!(scene.times(ANYWHERE, "200 CANCEL"), [scene.now]);
    assert_eq!(scene.times(ANYWHERE, "487 INVITE"), [scene.now]);
    assert!(scene.engine.desk.transactions.len() > kept);
    let refusal = scene.last(ANYWHERE, "487 INVITE").message.clone();
    let mut ack = request(ANYWHERE, "ACK", 2);
    let to = refusal.headers.first("To").expect("To");
    ack.headers.set("To", to);
    scene.receive(ANYWHERE, &ack);
    scene.run_for(Duration::from_secs(20));
    assert_eq!(scene.times(ANYWHERE, "487 INVITE").len(), 1, "acknowledged");
    scene.receive(ANYWHERE, &request(ANYWHERE, "ACK", 9));
    assert_eq!(scene.times(ANYWHERE, "401 ACK"), [], "an ACK has no answer");
}

#[test]
fn wrong_credentials_are_challenged_again_and_counted_and_leave_nothing() {
    for (user, password) in [("caller", "wrong"), ("nobody", "secret"), ("both", "other")] {
        let mut scene = scene();
        call(&mut scene, ANYWHERE, 0, user, password);
        assert_eq!(statuses(&scene, ANYWHERE), [401, 401], "{user}");
        assert!(
            challenges(&scene, ANYWHERE, "INVITE")
                .iter()
                .all(|one| !one.stale)
        );
        assert_eq!(unauthorized(&scene), 1);
        assert!(scene.engine.desk.transactions.is_empty());
        assert_eq!(scene.engine.next_deadline(), None);
    }
}

/// A trunk that is known by address and password needs both: here its own password or that of a trunk for all.
#[test]
fn an_address_alone_does_not_open_a_trunk_with_a_password() {
    let mut scene = scene();
    call(&mut scene, BOTH, 0, "both", "secret");
    assert_eq!(statuses(&scene, BOTH), [401, 401]);
    let mut scene = self::scene();
    call(&mut scene, BOTH, 0, "both", "other");
    assert_eq!(statuses(&scene, BOTH), [401, 100]);
    assert_eq!(scene.engine.figures().hotlines[0].offered, [0, 0, 1]);
}

/// Goal: who logs in as one trunk cannot call as another by naming it in a second header.
#[test]
fn of_several_credentials_the_first_count() {
    let (right, wrong) = (("caller", "secret"), ("both", "wrong"));
    for (order, status) in [([right, wrong], 100), ([wrong, right], 401)] {
        let mut scene = scene();
        scene.receive(BOTH, &request(BOTH, "INVITE", 1));
        let challenge = challenges(&scene, BOTH, "INVITE").remove(0);
        let mut again = request(BOTH, "INVITE", 2);
        let mut values = Vec::new();
        for (user, password) in order {
            sign(&mut again, &challenge, user, password, 1);
            values.extend(again.headers.first("Authorization").map(str::to_owned));
        }
        again.headers.remove("Authorization");
        for value in values {
            again.headers.push("Authorization", &value);
        }
        scene.receive(BOTH, &again);
        assert_eq!(statuses(&scene, BOTH), [401, status]);
        let phones = u64::from(status == 100);
        assert_eq!(scene.engine.figures().hotlines[0].offered, [0, phones, 0]);
    }
}

#[test]
fn what_is_offered_and_its_order_can_be_chosen() {
    let more = format!("{TRUNKS}[auth]\nrealm = \"hotline.example\"\nalgorithms = [\"SHA-256\"]\n");
    let mut scene = Scene::with(&format!("targets = [\"sip:desk@{}\"]", TARGETS[0]), &more);
    scene.receive(ANYWHERE, &request(ANYWHERE, "INVITE", 1));
    let [offered] = &challenges(&scene, ANYWHERE, "INVITE")[..] else {
        panic!("one challenge");
    };
    assert_eq!(
        (offered.realm.as_str(), offered.algorithm.name()),
        ("hotline.example", "SHA-256")
    );
    let mut weaker = offered.clone();
    weaker.algorithm = crate::sip::auth::Algorithm::Md5;
    let mut again = request(ANYWHERE, "INVITE", 2);
    sign(&mut again, &weaker, "caller", "secret", 1);
    scene.receive(ANYWHERE, &again);
    assert_eq!(
        statuses(&scene, ANYWHERE),
        [401, 401],
        "not what was offered"
    );
}

#[test]
fn a_trunk_that_is_known_by_its_address_is_not_asked() {
    let mut scene = scene();
    scene.invite(&sdp("192.0.2.9", "sendrecv"));
    assert_eq!(statuses(&scene, CALLER), [100]);
    assert_eq!(scene.engine.figures().hotlines[0].offered, [1, 0, 0]);
}

#[test]
fn a_target_may_ask_how_we_are_but_must_log_in_to_call() {
    let mut scene = scene();
    scene.receive(TARGETS[0], &request(TARGETS[0], "OPTIONS", 1));
    scene.receive(TARGETS[0], &request(TARGETS[0], "INVITE", 2));
    assert_eq!(statuses(&scene, TARGETS[0]), [200, 401]);
}

#[test]
fn other_requests_from_anywhere_are_challenged_too() {
    let mut scene = scene();
    for (number, method) in (10..).zip(["OPTIONS", "REGISTER", "MESSAGE", "BYE", "NEW"]) {
        scene.receive(ANYWHERE, &request(ANYWHERE, method, number));
        let challenge = challenges(&scene, ANYWHERE, method).remove(1);
        assert!(scene.engine.desk.transactions.is_empty());
        if method == "OPTIONS" {
            let mut again = request(ANYWHERE, method, 100 + number);
            sign(&mut again, &challenge, "caller", "secret", 1);
            scene.receive(ANYWHERE, &again);
            assert_eq!(scene.times(ANYWHERE, "200 OPTIONS"), [scene.now]);
            scene.run_for(Duration::from_secs(40));
        }
    }
    assert_eq!(unauthorized(&scene), 0, "none of them is a call");
}

#[test]
fn a_replay_and_an_old_nonce_are_told_that_they_are_stale() {
    let mut scene = scene();
    scene.receive(ANYWHERE, &request(ANYWHERE, "OPTIONS", 1));
    let challenge = challenges(&scene, ANYWHERE, "OPTIONS").remove(0);
    let mut send = |number, count, wait_s| {
        scene.run_for(Duration::from_secs(wait_s));
        let mut one = request(ANYWHERE, "OPTIONS", number);
        sign(&mut one, &challenge, "caller", "secret", count);
        scene.receive(ANYWHERE, &one);
        let status = statuses(&scene, ANYWHERE).pop().expect("an answer");
        let stale = challenges(&scene, ANYWHERE, "OPTIONS")[0].stale;
        (status, stale)
    };
    assert_eq!(send(2, 1, 0), (200, false));
    assert_eq!(send(3, 1, 0), (401, true), "the same count again");
    assert_eq!(send(4, 2, 299).0, 200);
    assert_eq!(send(5, 3, 2), (401, true), "too old");
}
