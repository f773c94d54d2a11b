//! Audio frames → who speaks, and since when. Knows no packets and no calls.
