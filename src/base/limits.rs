//! Every limit that the network can meet: its value, and the act when it is met.

use std::time::Duration;

/// Longest SIP datagram read. UDP cannot carry more; what is longer is cut by the kernel and
/// then refused for its Content-Length with 400 (RFC 3261 §18.3).
pub const SIP_MESSAGE_BYTES_MAX: usize = 65_535;

/// Headers in one SIP message; a comma-joined line counts once. Above it: 400.
pub const SIP_HEADERS_MAX: usize = 256;

/// Longest head of a message on a stream: the start line and the headers. Above it the connection is closed,
/// with 513 where the head can be read.
pub const SIP_STREAM_HEAD_BYTES_MAX: usize = 32 * 1024;

/// Connections of SIP over TCP and TLS at once, both ways together. Above it a new one of a peer is closed at once, and
/// what would need one of our own cannot be sent.
pub const SIP_CONNECTIONS_MAX: usize = 4_096;

/// The same, from and to one address: a trunk with a connection for each call has room, and no single host takes all.
pub const SIP_CONNECTIONS_PER_ADDRESS_MAX: usize = 512;

/// How long a connection may be without a whole message or keep-alive before it is closed. A keep-alive comes at least every two
/// minutes (RFC 5626 §4.4.1); a trunk without them may be quiet for as long as its calls last.
pub const SIP_CONNECTION_IDLE_MAX: Duration = Duration::from_secs(3_600);

/// How long one message may take from its first byte to its last, and the first one from the beginning of the
/// connection. Above it the connection is closed.
pub const SIP_STREAM_MESSAGE_TIME_MAX: Duration = Duration::from_secs(30);

/// How long a connection of ours may take to stand, TLS included, and a peer's to agree on TLS. Above it what was to be sent over
/// it cannot be sent: well below timer B, so that another target can be tried.
pub const SIP_CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a peer may read nothing of what we send on a connection. Above it the connection is closed.
pub const SIP_STREAM_WRITE_TIME_MAX: Duration = Duration::from_secs(10);

/// Bytes of messages that wait to be written to one connection. Above it the connection is closed, and what waited was not
/// sent. It is the BYEs of as many calls as one machine takes on, all over one connection of a trunk.
pub const SIP_STREAM_UNSENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Messages from all connections on the way to the control thread. Above it no connection is read from until there is
/// room: the peers' own send buffers fill.
pub const SIP_STREAM_QUEUE_MAX: usize = 1_024;

/// Via values in one SIP message. Above it: 400. RFC 4475 §3.1.1.7 has 34.
pub const SIP_VIAS_MAX: usize = 128;

/// Media descriptions in one SDP body. Above it: 488.
pub const SDP_MEDIA_MAX: usize = 16;

/// SIP transactions alive at once. Above it a new request gets a stateless 503 with Retry-After;
/// ACK, BYE and CANCEL go on, within [`TRANSACTIONS_HEADROOM_PERCENT`].
pub const TRANSACTIONS_MAX: usize = 200_000;

/// Bytes that all SIP transactions may keep: requests, last responses, keys. The act is that of
/// [`TRANSACTIONS_MAX`]. It is so many transactions of some 2,600 bytes, and eight thousand of the largest datagrams.
pub const TRANSACTION_BYTES_MAX: usize = 512 * 1024 * 1024;

/// What may be taken above [`TRANSACTIONS_MAX`] and [`TRANSACTION_BYTES_MAX`] for a peer's BYE and CANCEL and for our
/// own requests, which all make room soon. Above that too, a peer's request is dropped without an answer: RFC 3261
/// §21.5.4 allows it in place of a 503, and it is the kinder act, for a BYE that was dropped comes again for 32 s
/// and one that got a 503 never would. Of our own, a BYE or CANCEL is sent once and not repeated; an INVITE is not sent.
pub const TRANSACTIONS_HEADROOM_PERCENT: usize = 10;

/// Seconds in the Retry-After of a 503 for want of capacity (RFC 3261 §20.33).
pub const RETRY_AFTER_SECONDS: u32 = 5;

/// RTP packets longer than this are dropped and counted; G.711 at 60 ms has 492 bytes.
pub const RTP_PACKET_BYTES_MAX: usize = 1_500;

/// Commands on the way to one media thread. Above it: new calls get 503.
pub const MEDIA_COMMANDS_MAX: usize = 16_384;

/// Facts on the way from the media threads to the control thread. Above it the media thread
/// keeps a fact and offers it again on its next turn; counters are merged.
pub const MEDIA_FACTS_MAX: usize = 65_536;

/// Facts of one call that its media thread keeps while the way to the control thread is full.
/// Above it only ends of prompts, counters and the end of the call are kept.
pub const MEDIA_FACTS_KEPT_MAX: usize = 256;

/// Records on the way to the store thread. Above it they wait in the control thread and
/// new calls get 503: a record is never dropped.
pub const STORE_QUEUE_MAX: usize = 4_096;

/// How long a call may stay in its ending: the longest transaction (64 × T1) and a little.
/// After it the call is forgotten, whatever a peer still owes. Its ports go back when the media thread has closed them.
pub const ENDING_MAX: Duration = Duration::from_secs(40);

/// Nonces of ours that were answered rightly and are remembered, so that no answer counts twice. Above it the oldest
/// become too old before their time: whoever uses one is challenged again.
pub const NONCES_MAX: usize = 10_000;

/// SIP messages that the ladder of one call keeps. Above it the middle is left out: of the kept ones, half are the
/// call's first and half its newest.
pub const TRACE_MESSAGES_MAX: usize = 256;

/// Bytes of all ladders together, whatever `trace.calls` says. Above it the oldest ladder goes, one that never became a call first.
pub const TRACE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Of all ladders, the part that may be of INVITEs that never became a call, in percent. Above it the oldest of these
/// goes: a flood of refused ones does not push out the calls.
pub const TRACE_REFUSED_PERCENT: usize = 25;

/// Call-IDs of calls that are over, by which late messages are known. Above it the oldest is forgotten: what still comes
/// for it is in no ladder.
pub const TRACE_PARTED_MAX: usize = 10_000;

/// Bytes of SIP messages on the way from the control thread to the one that keeps ladders, and to the one that sends HEP.
/// Above it messages are left out there, and counted.
pub const TRACE_QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;
