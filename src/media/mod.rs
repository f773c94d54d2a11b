//! RTP: packets, codecs, the relay between two legs, prompts. Knows no SIP and hears nothing.
