//! The media threads: sockets, epoll, deadlines. What a packet means is decided in
//! [`crate::call::anchor`].
//!
//! Each thread has its share of the bound ports and the calls that lease them. Commands come and
//! facts go by bounded rings; an eventfd on either side says that there is something in them.

mod bind;
mod thread;
mod wake;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use crate::base::ids::CallKey;
use crate::base::limits::{MEDIA_COMMANDS_MAX, MEDIA_FACTS_MAX};
use crate::call::doors::{Command, Fact, PortPair};
use crate::config::Media;
use crate::media::prompt::PromptLibrary;
use thread::{MediaThread, Rings};
use wake::Wake;

/// All media threads, as the control thread sees them. Dropping it ends and joins them.
#[derive(Debug)]
pub struct MediaThreads {
    bound: Vec<PortPair>,
    threads: Vec<Thread>,
    facts: Receiver<(CallKey, Fact)>,
    facts_wake: Arc<Wake>,
    stop: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Thread {
    commands: SyncSender<Command>,
    wake: Arc<Wake>,
    join: Option<JoinHandle<()>>,
}

/// A thread's ring of commands is full, or its thread is gone: the command comes back.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("the ring of commands is full")]
pub struct Full(pub Command);

impl MediaThreads {
    /// Raises the limit of descriptors, binds the range of ports and starts the threads. Ports in
    /// use are skipped.
    ///
    /// # Errors
    /// `AddrInUse` if no pair of ports is free; else what the system said of the first one.
    pub fn start(settings: &Media, prompts: Arc<PromptLibrary>) -> io::Result<Self> {
        Self::start_with(settings, prompts, MEDIA_FACTS_MAX)
    }

    fn start_with(
        settings: &Media,
        prompts: Arc<PromptLibrary>,
        facts_max: usize,
    ) -> io::Result<Self> {
        let pairs = bind::bind_range(settings, bind::pairs_allowed())?;
        let count = usize::from(settings.threads.max(1));
        let mut shares: Vec<Vec<bind::Pair>> = (0..count).map(|_| Vec::new()).collect();
        let mut bound = Vec::with_capacity(pairs.len());
        for (n, pair) in pairs.into_iter().enumerate() {
            bound.push(PortPair {
                thread: (n % count) as u16,
                rtp: pair.port,
            });
            shares[n % count].push(pair);
        }
        let (told, facts) = sync_channel(facts_max);
        let facts_wake = Arc::new(Wake::new()?);
        let mut media = MediaThreads {
            bound,
            threads: Vec::with_capacity(count),
            facts,
            facts_wake,
            stop: Arc::new(AtomicBool::new(false)),
        };
        for (n, share) in shares.into_iter().enumerate() {
            media.spawn(n, share, told.clone(), prompts.clone())?;
        }
        Ok(media)
    }

    /// The ports that were bound, and by which thread. A call's two pairs must be of one thread.
    pub fn bound(&self) -> &[PortPair] {
        &self.bound
    }

    /// Sends a command to the thread that bound the call's ports.
    pub fn send(&self, thread: u16, command: Command) -> Result<(), Full> {
        let Some(thread) = self.threads.get(usize::from(thread)) else {
            return Err(Full(command));
        };
        thread.commands.try_send(command).map_err(|error| {
            let (TrySendError::Full(command) | TrySendError::Disconnected(command)) = error;
            Full(command)
        })?;
        thread.wake.wake();
        Ok(())
    }

    /// Whether a thread has ended though nobody told it to.
    pub fn has_lost_a_thread(&self) -> bool {
        let lost = |thread: &Thread| thread.join.as_ref().is_some_and(JoinHandle::is_finished);
        self.threads.iter().any(lost)
    }

    /// Readable while facts wait that [`MediaThreads::facts`] has not looked at.
    pub fn facts_fd(&self) -> BorrowedFd<'_> {
        self.facts_wake.as_fd()
    }

    /// Takes the facts that are there; it never waits.
    pub fn facts(&self) -> impl Iterator<Item = (CallKey, Fact)> + '_ {
        self.facts_wake.clear();
        self.facts.try_iter()
    }

    fn spawn(
        &mut self,
        number: usize,
        pairs: Vec<bind::Pair>,
        facts: SyncSender<(CallKey, Fact)>,
        prompts: Arc<PromptLibrary>,
    ) -> io::Result<()> {
        let (commands, received) = sync_channel(MEDIA_COMMANDS_MAX);
        let wake = Arc::new(Wake::new()?);
        let rings = Rings {
            commands: received,
            wake: wake.clone(),
            facts,
            facts_wake: self.facts_wake.clone(),
            stop: self.stop.clone(),
        };
        let epoll = thread::epoll_with(&wake)?;
        // The thread's VADs cannot leave it: it is made where it lives.
        let join = std::thread::Builder::new()
            .name(format!("media-{number}"))
            .spawn(move || MediaThread::new(epoll, pairs, rings, prompts).run())?;
        self.threads.push(Thread {
            commands,
            wake,
            join: Some(join),
        });
        Ok(())
    }
}

impl Drop for MediaThreads {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        for thread in &mut self.threads {
            thread.wake.wake();
            if thread.join.take().is_some_and(|join| join.join().is_err()) {
                tracing::error!("a media thread had panicked");
            }
        }
    }
}

#[cfg(test)]
mod tests;
