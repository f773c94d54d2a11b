//! Phone lines: our own user agent on real sockets, one thread a line.
//!
//! The shell of [`crate::phone`]: it reads sockets and the clock, and decides nothing. A line has one SIP socket and one
//! RTP socket a call, and carries hundreds of calls: its thread waits for whatever is next. No tokio, so that the demo, the
//! load generator and tests can use it from plain code.
//!
//! RTCP's port is not bound: phones of this kind send none, and what comes is nobody's.

mod settings;
mod sockets;
mod turn;

pub use settings::{CallAudio, Calling, LineEvent, PhoneSettings, Recordings, What, write_wav};

use crate::base::random::Random;
use crate::phone::{CallId, Phone, Settings};
use crate::service::clock;
use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use turn::{Loop, Order};

/// Orders on the way to the thread. Above it, whoever gives one waits: the thread never stops taking them.
const ORDERS_MAX: usize = 1_024;

/// Events that wait to be fetched. Above it they are lost, and counted: nobody listens.
const EVENTS_MAX: usize = 65_536;

/// A running phone. Dropped, it hangs up as [`PhoneLine::stop`] does.
#[derive(Debug)]
pub struct PhoneLine {
    address: SocketAddr,
    orders: SyncSender<Order>,
    wake: OwnedFd,
    events: Receiver<LineEvent>,
    dialled: AtomicU32,
    thread: Option<JoinHandle<Recordings>>,
}

impl PhoneLine {
    /// Binds the SIP socket and starts the thread.
    ///
    /// # Errors
    /// The address cannot be bound or told to a peer, or no thread can be had.
    pub fn start(settings: PhoneSettings) -> io::Result<PhoneLine> {
        if settings.address.ip().is_unspecified() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let sip = sockets::bind_sip(settings.address)?;
        let address = sip.local_addr()?;
        let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        let (orders, inbox) = sync_channel(ORDERS_MAX);
        let (outbox, events) = sync_channel(EVENTS_MAX);
        let phone = Phone::new(Settings {
            sip: address,
            media_address: address.ip(),
            codecs: settings.codecs,
            behaviour: settings.behaviour,
            random: random()?,
        });
        let audio = turn::Audio::new(address.ip(), settings.sound, settings.record, random()?);
        let turn = Loop::new(phone, sip, audio, wake.try_clone()?, inbox, outbox)?;
        let thread = std::thread::Builder::new()
            .name("phone".to_owned())
            .spawn(move || turn.run())?;
        Ok(PhoneLine {
            address,
            orders,
            wake,
            events,
            dialled: AtomicU32::new(0),
            thread: Some(thread),
        })
    }

    /// Where SIP is heard, a free port filled in.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Calls. What becomes of it is in the events of this call.
    pub fn dial(&self, calling: Calling) -> CallId {
        let call = self.dialled.fetch_add(1, Ordering::Relaxed);
        self.order(Order::Dial {
            call,
            calling: Box::new(calling),
        });
        CallId::Out(call)
    }

    /// Ends a call, whatever it is doing; nothing happens if it has ended.
    pub fn hang_up(&self, call: CallId) {
        self.order(Order::HangUp(call));
    }

    /// What happens to all calls, in order.
    pub fn events(&self) -> &Receiver<LineEvent> {
        &self.events
    }

    /// Waits for an event that is wanted; those before it are passed over. `None` after `patience`.
    pub fn wait_for(
        &self,
        patience: Duration,
        wanted: impl Fn(&LineEvent) -> bool,
    ) -> Option<LineEvent> {
        let until = clock::now() + patience;
        loop {
            let left = until - clock::now();
            let event = self.events.recv_timeout(left).ok()?;
            if wanted(&event) {
                return Some(event);
            }
        }
    }

    /// Hangs up all calls, waits shortly for the last answers, and gives what was heard in all calls.
    pub fn stop(mut self) -> Recordings {
        self.end()
    }

    fn end(&mut self) -> Recordings {
        self.order(Order::Stop);
        let ended = self.thread.take().and_then(|thread| thread.join().ok());
        ended.unwrap_or_default()
    }

    fn order(&self, order: Order) {
        // A thread that is gone has no calls.
        if self.orders.send(order).is_ok() {
            let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
        }
    }
}

impl Drop for PhoneLine {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.end();
        }
    }
}

/// From the operating system.
fn random() -> io::Result<Random> {
    let mut seed = [0; 32];
    rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())?;
    Ok(Random::from_seed(seed))
}

#[cfg(test)]
mod tests;
