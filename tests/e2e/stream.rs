//! What an RTP stream must keep to, whoever spoke in it.

use crate::rtp_end::Packet;

/// How far time stamps may be from elapsed time, in seconds.
const CLOCK_TOLERANCE_S: f64 = 0.020;

/// A run of packets whose time stamps follow each other without a pause.
pub struct Spurt {
    /// Index of the first packet.
    pub first: usize,
    /// Index after the last.
    pub end: usize,
}

/// The spurts of a stream.
pub fn spurts(packets: &[Packet]) -> Vec<Spurt> {
    let mut spurts = Vec::new();
    let mut first = 0;
    for n in 1..=packets.len() {
        let follows =
            n < packets.len() && timestamp_step(&packets[n - 1], &packets[n]).abs() <= 320;
        if !follows {
            spurts.push(Spurt { first, end: n });
            first = n;
        }
    }
    spurts
}

/// One source (address and SSRC), each packet one number after the last but where `gaps` names the lost ones
/// (index of the packet after the gap, packets lost).
pub fn assert_unbroken(packets: &[Packet], gaps: &[(usize, u16)]) {
    assert!(!packets.is_empty(), "nothing was heard");
    for (n, pair) in packets.windows(2).enumerate() {
        let n = n + 1;
        let source = |packet: &Packet| (packet.from, packet.ssrc);
        assert_eq!(
            source(&pair[0]),
            source(&pair[1]),
            "packet {n}: another source"
        );
        let lost = gaps.iter().find(|gap| gap.0 == n).map_or(0, |gap| gap.1);
        let step = pair[1].sequence.wrapping_sub(pair[0].sequence);
        assert_eq!(
            step,
            1 + lost,
            "packet {n} of {}: step in sequence",
            packets.len()
        );
    }
}

/// Time stamps equal elapsed time: of each spurt, its quickest packet compared with the quickest
/// packet of the first one, so that a late wake-up of the listening thread is not blamed on the stream.
pub fn assert_clock(packets: &[Packet]) {
    let Some(start) = packets.first() else { return };
    let late_s = |packet: &Packet| {
        let media_s = f64::from(packet.timestamp.wrapping_sub(start.timestamp)) / 8000.0;
        packet.at_s - start.at_s - media_s
    };
    let quickest = |spurt: &Spurt| {
        packets[spurt.first..spurt.end]
            .iter()
            .map(late_s)
            .min_by(f64::total_cmp)
            .unwrap_or(0.0)
    };
    let spurts = spurts(packets);
    let anchor = quickest(&spurts[0]);
    for spurt in &spurts {
        let off = quickest(spurt) - anchor;
        assert!(
            off.abs() <= CLOCK_TOLERANCE_S,
            "packet {}: time stamp {:.1} ms off elapsed time",
            spurt.first,
            off * 1000.0
        );
    }
}

/// Indices of the packets that carry the marker.
pub fn markers(packets: &[Packet]) -> Vec<usize> {
    packets
        .iter()
        .enumerate()
        .filter(|(_, packet)| packet.marker)
        .map(|(n, _)| n)
        .collect()
}

fn timestamp_step(before: &Packet, after: &Packet) -> i32 {
    after.timestamp.wrapping_sub(before.timestamp) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    /// A second of packets, a pause of a second, a second of packets.
    fn stream() -> Vec<Packet> {
        let packet = |n: u32| {
            let pause_s = if n < 50 { 0.0 } else { 1.0 };
            let at_s = f64::from(n) * 0.02 + pause_s;
            Packet {
                at_s: 1000.0 + at_s,
                from: crate::service::local(9),
                marker: n == 0 || n == 50,
                payload_type: 8,
                sequence: (65_530 + n) as u16,
                timestamp: (at_s * 8000.0).round() as u32,
                ssrc: 7,
                payload: Vec::new(),
            }
        };
        (0..100).map(packet).collect()
    }

    #[test]
    fn a_good_stream_passes() {
        let packets = stream();
        assert_unbroken(&packets, &[]);
        assert_clock(&packets);
        assert_eq!(markers(&packets), [0, 50]);
        assert_eq!(spurts(&packets).len(), 2);
    }

    #[test]
    fn a_lost_packet_a_new_source_and_a_wrong_clock_are_seen() {
        let mut lost = stream();
        lost.remove(60);
        assert!(catch_unwind(|| assert_unbroken(&lost, &[])).is_err());
        assert_unbroken(&lost, &[(60, 1)]);
        let mut source = stream();
        source[70].ssrc = 8;
        assert!(catch_unwind(|| assert_unbroken(&source, &[])).is_err());
        let mut clock = stream();
        clock[50..]
            .iter_mut()
            .for_each(|packet| packet.timestamp -= 240);
        assert!(catch_unwind(|| assert_clock(&clock)).is_err());
    }
}
