//! A [`Message`] is stored as its bytes on the wire, so that a snapshot needs no second form of it.

use super::message::Message;
use super::parse::read;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use std::fmt;

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.to_bytes())
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Message, D::Error> {
        deserializer.deserialize_bytes(Wire)
    }
}

struct Wire;

impl<'de> Visitor<'de> for Wire {
    type Value = Message;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes of a SIP message")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Message, E> {
        read(bytes)
            .map(|reading| reading.message)
            .map_err(E::custom)
    }

    /// Formats without bytes, such as JSON, give a list of numbers.
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Message, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = list.next_element()? {
            bytes.push(byte);
        }
        self.visit_bytes(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use crate::sip::wire::{Message, Method, Uri};

    fn bare() -> Message {
        let uri = Uri::parse("sip:a@192.0.2.1").expect("a URI");
        let mut message = Message::request(Method::Bye, uri);
        message.headers.push("X-Own", " \u{10ff00}x 张 ");
        message.headers.push("Supported", "");
        message.body = b"\r\n\0\xff".to_vec();
        message
    }

    #[test]
    fn a_message_without_mandatory_headers_is_stored_and_read_back() {
        let bytes = postcard::to_stdvec(&bare()).expect("bytes");
        let mut expected = bare();
        expected
            .headers
            .set("X-Own", &crate::sip::wire::text::read(b"\0x \xe5\xbc\xa0"));
        assert_eq!(
            postcard::from_bytes::<Message>(&bytes).expect("a message"),
            expected
        );
    }

    #[test]
    fn a_format_without_bytes_stores_it_too() {
        let json = serde_json::to_string(&Message::response(183, None)).expect("JSON");
        let read: Message = serde_json::from_str(&json).expect("a message");
        assert_eq!(read, Message::response(183, None));
    }
}
