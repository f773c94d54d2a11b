//! Offers and answers as phones, PBXs and browsers write them.

use super::*;
use proptest::prelude::*;

const LOCAL: LocalMedia = LocalMedia {
    address: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)),
    port: 20_000,
    session_id: 7,
    version: 1,
};

fn body(lines: &str) -> Vec<u8> {
    format!("v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n{lines}")
        .into_bytes()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// An offer with one audio line of these formats and attributes.
fn audio(formats: &str, attributes: &str) -> Result<AudioOffer, OfferFault> {
    offer(&body(&format!(
        "m=audio 4000 RTP/AVP {formats}\r\n{attributes}"
    )))
}

#[test]
fn an_offer_keeps_the_order_of_its_codecs_and_its_event_type() {
    let offer = audio(
        "18 0 8 96 0 97",
        "a=rtpmap:96 telephone-event/16000\r\na=rtpmap:97 telephone-event/8000\r\n\
         a=fmtp:97 0-15\r\na=ptime:30\r\na=sendonly\r\n",
    )
    .unwrap();
    assert_eq!(offer.codecs, [Codec::Pcmu, Codec::Pcma]);
    assert_eq!(
        (offer.event, offer.event_fmtp.as_deref()),
        (Some(97), Some("0-15"))
    );
    assert_eq!(
        (offer.direction, offer.ptime),
        (Direction::SendOnly, Some(30))
    );
    assert_eq!(offer.remote, Some("192.0.2.7:4000".parse().unwrap()));
}

#[test]
fn an_event_type_counts_only_if_its_format_is_listed() {
    let unlisted = audio("8", "a=rtpmap:101 telephone-event/8000\r\n").unwrap();
    assert_eq!(unlisted.event, None);
    let loud = audio(
        "8 101",
        "a=rtpmap:101 TELEPHONE-EVENT/8000/1\r\na=fmtp:101 0-9;x=1\r\n",
    )
    .unwrap();
    assert_eq!((loud.event, loud.event_fmtp), (Some(101), None));
}

#[test]
fn a_dynamic_payload_type_is_no_g711_and_a_static_one_must_mean_it() {
    let dynamic = audio("97", "a=rtpmap:97 PCMA/8000\r\n");
    assert_eq!(dynamic, Err(OfferFault::NoCommonCodec));
    let remapped = audio("0 8", "a=rtpmap:0 L16/8000\r\na=rtpmap:8 pcma/8000/1\r\n");
    assert_eq!(remapped.unwrap().codecs, [Codec::Pcma]);
}

#[test]
fn what_we_cannot_take_is_refused_with_488_and_what_we_cannot_read_with_400() {
    let status = |lines: &str| offer(&body(lines)).unwrap_err();
    for (lines, fault) in [
        ("", OfferFault::NoAudio),
        ("m=image 4000 udptl t38\r\n", OfferFault::NoAudio),
        ("m=audio 0 RTP/AVP 8\r\n", OfferFault::NoAudio),
        (
            "m=audio 4000 RTP/SAVP 8\r\na=crypto:1 x\r\n",
            OfferFault::NoCommonTransport,
        ),
        ("m=audio 4000 RTP/AVPF 8\r\n", OfferFault::NoCommonTransport),
        ("m=audio 4000 RTP/AVP 9 18\r\n", OfferFault::NoCommonCodec),
        (
            "m=audio 4000 RTP/AVP 9\r\nm=audio 4002 RTP/SAVP 8\r\n",
            OfferFault::NoCommonCodec,
        ),
        (
            &"m=video 4000 RTP/AVP 31\r\n".repeat(17),
            OfferFault::TooManyMedia,
        ),
    ] {
        assert_eq!(status(lines), fault, "{lines}");
        assert_eq!(fault.status(), 488);
    }
    assert_eq!(offer(b"hello").unwrap_err().status(), 400);
    assert_eq!(status("m=audio -1 RTP/AVP 8\r\n").status(), 400);
}

#[test]
fn a_hold_by_address_is_a_peer_that_does_not_receive() {
    for (said, meant) in [
        ("sendrecv", Direction::SendOnly),
        ("recvonly", Direction::Inactive),
    ] {
        let lines = format!("m=audio 4000 RTP/AVP 8\r\nc=IN IP4 0.0.0.0\r\na={said}\r\n");
        let held = offer(&body(&lines)).unwrap();
        assert_eq!((held.remote, held.direction), (None, meant));
    }
}

#[test]
fn nothing_is_sent_to_a_multicast_address_or_a_host_name() {
    for address in ["224.2.1.1/127", "255.255.255.255", "pbx.example"] {
        let lines = format!("m=audio 4000 RTP/AVP 8\r\nc=IN IP4 {address}\r\n");
        let offer = offer(&body(&lines)).unwrap();
        assert_eq!(
            (offer.remote, offer.direction),
            (None, Direction::SendRecv),
            "{address}"
        );
    }
}

#[test]
fn ipv6_is_read_written_and_told_from_ipv4() {
    let lines = "m=audio 4000 RTP/AVP 8\r\nc=IN IP6 2001:db8::7\r\n";
    let offer = offer(&body(lines)).unwrap();
    assert_eq!(offer.remote, Some("[2001:db8::7]:4000".parse().unwrap()));
    assert!(!offer.reachable_from(LOCAL.address));
    let local = LocalMedia {
        address: "2001:db8::1".parse().unwrap(),
        ..LOCAL
    };
    assert!(offer.reachable_from(local.address));
    let written = text(write_offer(&local, &offer));
    assert!(
        written.contains("o=- 7 1 IN IP6 2001:db8::1\r\n"),
        "{written}"
    );
    assert!(written.contains("c=IN IP6 2001:db8::1\r\n"), "{written}");
}

#[test]
fn an_offer_to_the_agent_has_one_line_and_nothing_of_the_callers_extras() {
    let offer = offer(&body(
        "a=ice-ufrag:abcd\r\nm=video 5000 RTP/AVP 96\r\nm=audio 4000 RTP/AVP 3 8 0 100\r\n\
         a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\na=rtcp-mux\r\na=candidate:1 1 UDP 1 10.0.0.1 4000 typ host\r\n\
         a=rtpmap:100 telephone-event/8000\r\na=ptime:20\r\n",
    ))
    .unwrap();
    assert_eq!(
        text(write_offer(&LOCAL, &offer)),
        "v=0\r\no=- 7 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n\
         m=audio 20000 RTP/AVP 8 0 100\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:100 telephone-event/8000\r\na=fmtp:100 0-16\r\na=ptime:20\r\na=sendrecv\r\n"
    );
}

#[test]
fn an_answer_has_the_offers_lines_in_order_and_refuses_the_others() {
    let offer = offer(&body(
        "m=audio 4998 RTP/SAVP 8\r\nm=audio 4000 RTP/AVP 0 8 100\r\na=rtpmap:100 telephone-event/8000\r\n\
         a=fmtp:100 0-11\r\na=rtcp-mux\r\na=sendonly\r\nm=video 5000/2 RTP/AVP 96 97\r\nm=image 5002 udptl t38\r\n\
         m=audio 5004 RTP/AVP 8\r\nm=message 5006 TCP/MSRP\r\n",
    ))
    .unwrap();
    assert_eq!(offer.media_index, 1);
    let choice = Choice {
        codec: Codec::Pcma,
        event: true,
        direction: Direction::SendRecv,
        ptime: None,
    };
    let written = text(write_answer(&LOCAL, &offer, &choice));
    let media = written.split_once("t=0 0\r\n").unwrap().1;
    assert_eq!(
        media,
        "m=audio 0 RTP/SAVP 8\r\n\
         m=audio 20000 RTP/AVP 8 100\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:100 telephone-event/8000\r\n\
         a=fmtp:100 0-11\r\na=recvonly\r\n\
         m=video 0 RTP/AVP 96 97\r\nm=image 0 udptl t38\r\nm=audio 0 RTP/AVP 8\r\nm=message 0 TCP/MSRP 0\r\n"
    );
}

#[test]
fn events_are_answered_only_when_both_want_them() {
    let with = audio("8 101", "a=rtpmap:101 telephone-event/8000\r\n").unwrap();
    let without = audio("8", "").unwrap();
    for (offer, event, found) in [
        (&with, true, true),
        (&with, false, false),
        (&without, true, false),
    ] {
        let choice = Choice {
            codec: Codec::Pcma,
            event,
            direction: Direction::SendRecv,
            ptime: Some(20),
        };
        let answer = text(write_answer(&LOCAL, offer, &choice));
        assert_eq!(answer.contains("telephone-event"), found, "{answer}");
    }
}

#[test]
fn an_answer_is_read_against_what_was_offered() {
    let offered = AudioOffer {
        codecs: vec![Codec::Pcma],
        direction: Direction::SendOnly,
        ..AudioOffer::ours(vec![])
    };
    let answer = read_answer(
        &body("m=audio 4000 RTP/AVP 0 8 96\r\na=rtpmap:96 telephone-event/8000\r\na=ptime:20\r\n"),
        &offered,
    )
    .unwrap();
    assert_eq!(
        answer,
        AudioAnswer {
            remote: Some("192.0.2.7:4000".parse().unwrap()),
            codec: Codec::Pcma,
            event: Some(96),
            direction: Direction::RecvOnly,
            ptime: Some(20),
        }
    );
    let silent = AudioOffer {
        event: None,
        ..offered
    };
    let lines = "m=audio 4000 RTP/AVP 8 96\r\na=rtpmap:96 telephone-event/8000\r\n";
    assert_eq!(read_answer(&body(lines), &silent).unwrap().event, None);
}

#[test]
fn an_answer_of_no_use_says_why() {
    let offered = AudioOffer::ours(vec![Codec::Pcma]);
    for (lines, fault) in [
        ("", AnswerFault::NotOurs),
        ("m=audio 0 RTP/AVP 8\r\n", AnswerFault::Refused),
        ("m=video 4000 RTP/AVP 31\r\n", AnswerFault::NotOurs),
        ("m=audio 4000 RTP/SAVP 8\r\n", AnswerFault::NotOurs),
        ("m=audio 4000 RTP/AVP 0\r\n", AnswerFault::NoCommonCodec),
        ("m=audio\r\n", AnswerFault::Unreadable),
    ] {
        assert_eq!(read_answer(&body(lines), &offered), Err(fault), "{lines}");
    }
}

#[test]
fn what_the_engine_keeps_survives_being_stored() {
    let offer = audio("8 0 101", "a=rtpmap:101 telephone-event/8000\r\n").unwrap();
    let stored = postcard::to_stdvec(&offer).unwrap();
    assert_eq!(postcard::from_bytes::<AudioOffer>(&stored).unwrap(), offer);
}

fn directions() -> impl Strategy<Value = Direction> {
    (any::<bool>(), any::<bool>()).prop_map(|(sends, receives)| Direction::new(sends, receives))
}

fn codec_lists() -> impl Strategy<Value = Vec<Codec>> {
    prop_oneof![
        Just(vec![Codec::Pcma]),
        Just(vec![Codec::Pcmu]),
        Just(vec![Codec::Pcma, Codec::Pcmu]),
        Just(vec![Codec::Pcmu, Codec::Pcma]),
    ]
}

prop_compose! {
    fn offers()(
        codecs in codec_lists(),
        event in proptest::option::of(96u8..=127),
        direction in directions(),
        ptime in proptest::option::of(1u8..=60),
    ) -> AudioOffer {
        AudioOffer { event, direction, ptime, ..AudioOffer::ours(codecs) }
    }
}

proptest! {
    #[test]
    fn a_written_offer_reads_back_and_its_answer_too(
        ours in offers(),
        theirs in directions(),
        event in any::<bool>(),
        port in 1u16..,
        v6 in any::<bool>(),
    ) {
        let address: IpAddr = if v6 { "2001:db8::9".parse().unwrap() } else { LOCAL.address };
        let local = LocalMedia { address, port, ..LOCAL };
        let read = offer(&write_offer(&local, &ours)).unwrap();
        prop_assert_eq!(read.remote, Some(SocketAddr::new(address, port)));
        prop_assert_eq!((&read.codecs, read.event), (&ours.codecs, ours.event));
        prop_assert_eq!((read.direction, read.ptime), (ours.direction, ours.ptime));

        let choice = Choice { codec: *ours.codecs.last().unwrap(), event, direction: theirs, ptime: None };
        let answer = read_answer(&write_answer(&local, &read, &choice), &ours).unwrap();
        prop_assert_eq!(answer.codec, choice.codec);
        prop_assert_eq!(answer.event, ours.event.filter(|_| event));
        prop_assert_eq!(answer.direction, theirs.within(ours.direction.reversed()));
    }

    #[test]
    fn no_bytes_make_us_panic(
        body in proptest::collection::vec(any::<u8>(), 0..300),
        lines in "(m=audio [0-9]{1,6} RTP/AVP [0-9 ]{0,20}(\r\n|\n)(a=(rtpmap|fmtp|ptime):?[ -~]{0,20}\r\n){0,3}){0,4}",
    ) {
        let ours = AudioOffer::ours(vec![Codec::Pcma]);
        for bytes in [&body[..], lines.as_bytes()] {
            let _ = read_answer(bytes, &ours);
            if let Ok(offer) = offer(bytes) {
                let choice = Choice { codec: offer.codecs[0], event: true, direction: Direction::SendRecv, ptime: None };
                let answer = sdp::read(&write_answer(&LOCAL, &offer, &choice)).unwrap();
                prop_assert_eq!(answer.medias.len(), offer.lines.len());
            }
        }
    }
}
