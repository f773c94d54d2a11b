//! The media threads: RTP sockets and the calls' anchors.
//!
//! All ports of the range are bound at the start, as far as descriptors go; a call that is opened has its four sockets
//! watched, a closed one not. Commands come in bounded rings, facts go out in one. What is
//! done with a packet is decided in [`crate::call::anchor`].
//!
//! Source: RFC 3550 §11 (even and odd ports); DSCP EF for media: RFC 4594 §4.1.

mod sockets;
mod thread;

use crate::base::ids::CallKey;
use crate::base::limits::{MEDIA_COMMANDS_MAX, MEDIA_FACTS_MAX};
use crate::call::doors::{Command, Fact, PortPair};
use crate::config::Media;
use crate::media::prompt::PromptLibrary;
use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use thread::{FactsOut, MediaThread, poll_with};

/// The running media threads, as the control thread holds them.
pub struct MediaThreads {
    threads: Vec<Handle>,
    facts: Receiver<(CallKey, Fact)>,
    facts_ready: Arc<OwnedFd>,
}

struct Handle {
    commands: SyncSender<Command>,
    wake: Arc<OwnedFd>,
    thread: JoinHandle<()>,
}

impl MediaThreads {
    /// Binds the ports and starts the threads. Gives the port pairs that could be bound.
    ///
    /// # Errors
    /// No thread or descriptor could be had.
    pub fn start(
        media: &Media,
        prompts: Arc<PromptLibrary>,
    ) -> io::Result<(MediaThreads, Vec<PortPair>)> {
        let count = media.threads.max(1);
        let bound = sockets::bind_all(media, count);
        let pairs: Vec<PortPair> = bound
            .iter()
            .flat_map(|pairs| pairs.keys().copied())
            .collect();
        let (out, facts) = sync_channel(MEDIA_FACTS_MAX);
        let facts_ready = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
        let mut threads = Vec::new();
        for (index, ports) in bound.into_iter().enumerate() {
            let out = FactsOut::new(out.clone(), Arc::clone(&facts_ready));
            threads.push(Handle::start(index, ports, out, Arc::clone(&prompts))?);
        }
        Ok((
            MediaThreads {
                threads,
                facts,
                facts_ready,
            },
            pairs,
        ))
    }

    /// Hands a command to a thread.
    ///
    /// # Errors
    /// The ring is full: the command comes back, to be handed over again.
    pub fn send(&self, thread: u16, command: Command) -> Result<(), Command> {
        let Some(handle) = self.threads.get(usize::from(thread)) else {
            return Ok(());
        };
        handle
            .commands
            .try_send(command)
            .map_err(|error| match error {
                std::sync::mpsc::TrySendError::Full(command)
                | std::sync::mpsc::TrySendError::Disconnected(command) => command,
            })?;
        ring(&handle.wake);
        Ok(())
    }

    /// Readable while facts may wait.
    pub fn facts_fd(&self) -> &OwnedFd {
        &self.facts_ready
    }

    /// Takes note of the descriptor; to be called before the facts are taken.
    pub fn rearm(&self) {
        let _ = rustix::io::read(&*self.facts_ready, &mut [0; 8]);
    }

    /// Makes the descriptor readable again: not all facts were taken.
    pub fn wake_again(&self) {
        ring(&self.facts_ready);
    }

    /// Takes the next fact.
    pub fn next_fact(&self) -> Option<(CallKey, Fact)> {
        self.facts.try_recv().ok()
    }

    /// Ends the threads; sockets are closed.
    pub fn stop(&mut self) {
        for Handle {
            commands,
            wake,
            thread,
        } in self.threads.drain(..)
        {
            drop(commands);
            ring(&wake);
            if thread.join().is_err() {
                tracing::error!("a media thread panicked");
            }
        }
    }
}

impl Handle {
    fn start(
        index: usize,
        ports: sockets::Ports,
        out: FactsOut,
        prompts: Arc<PromptLibrary>,
    ) -> io::Result<Handle> {
        let (commands, inbox) = sync_channel(MEDIA_COMMANDS_MAX);
        let wake = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
        let (poll, bell) = (poll_with(&wake)?, Arc::clone(&wake));
        let index = u16::try_from(index).map_err(|_| io::ErrorKind::InvalidInput)?;
        // Made on its own thread: a VAD is not Send.
        let run = move || MediaThread::new(index, ports, inbox, bell, out, prompts, poll).run();
        let thread = std::thread::Builder::new()
            .name(format!("media-{index}"))
            .spawn(run)?;
        Ok(Handle {
            commands,
            wake,
            thread,
        })
    }
}

fn ring(bell: &OwnedFd) {
    let _ = rustix::io::write(bell, &1_u64.to_ne_bytes());
}
