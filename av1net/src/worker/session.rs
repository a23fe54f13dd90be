//! The worker's loop: what happens, what becomes of it, what is said about it.

mod contact;
mod crew;
mod ending;
mod mode;
#[cfg(test)]
mod tests;

use std::future::pending;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use self::contact::Contact;
use self::crew::Crew;
use self::ending::Ending;
use self::mode::mode;

use super::control::{Wanted, Wish};
use super::identity::{self, Identity};
use super::link::{Link, LinkEvent, Means, Transport};
use super::mounts::Mounts;
use super::pace::{Due, Pace};
use super::priority;
use super::process::{Conduct, Told};
use super::runner::{Place, Run, RunEvent};
use super::tasks::{Effect, Event, Key, Tasks};
use super::temp::TempFolder;
use super::{WorkerConfig, WorkerControl, WorkerError, WorkerEvent, WorkerSummary, system};
use crate::client::Client;
use crate::clock;
use crate::config::{Hours, Zone};
use crate::proto::{Grant, Load, MasterReply, PROTOCOL, WorkerMode, WorkerReport, WorkerSettings};
use crate::units::SessionId;

/// Hours begin and end on the minute.
const LOOK_AT_HOURS: Duration = Duration::from_secs(10);

/// Runs a worker until it is told to end, by [`WorkerControl`] or by its master.
///
/// # Errors
///
/// [`WorkerError`] where it cannot start, or where a master that was never reached
/// refuses it. A connection that is lost later comes back by itself, and whatever fails
/// about a task is the task's end.
pub async fn run(
    config: WorkerConfig,
    transport: Transport,
    control: WorkerControl,
) -> Result<WorkerSummary, WorkerError> {
    let identity = Identity::take(&config.state_directory)?;
    let mut session = Session::new(identity, config, transport, &control)?;
    let ended = session.work().await;
    session.crew.end().await;
    ended.map(|()| session.farewell())
}

struct Session {
    config: WorkerConfig,
    identity: Identity,
    id: SessionId,
    sequence: u64,
    temp: TempFolder,
    /// For films over HTTP; `None` where there is no network.
    client: Option<Client>,
    link: Link,
    pace: Pace,
    tasks: Tasks,
    crew: Crew,
    mounts: Mounts,
    load: watch::Receiver<Load>,
    niceness: watch::Sender<u8>,
    wanted: watch::Receiver<Wanted>,
    settings: WorkerSettings,
    /// Set from the master, in place of the worker's own.
    hours: Option<Hours>,
    zone: Zone,
    mode: WorkerMode,
    summary: WorkerSummary,
    contact: Contact,
    ending: Ending,
}

impl Session {
    fn new(
        identity: Identity,
        config: WorkerConfig,
        transport: Transport,
        control: &WorkerControl,
    ) -> Result<Self, WorkerError> {
        let worker = identity.worker().clone();
        let temp = TempFolder::open(&config.temp_directory, &worker);
        let temp = temp.map_err(|source| WorkerError::Temp {
            path: config.temp_directory.clone(),
            source,
        })?;
        let client = match &transport {
            Transport::Master(client) => Some(client.clone()),
            Transport::Local(_) => None,
        };
        Ok(Self {
            id: identity::new_session()?,
            sequence: 0,
            client,
            link: Link::start(transport, &worker),
            pace: Pace::new(Instant::now()),
            tasks: Tasks::new(config.tuning.slots as usize),
            crew: Crew::new(),
            mounts: Mounts::new(config.probe_mounts.clone(), config.path_map.clone()),
            load: system::watch_load(temp.path().to_owned()),
            niceness: watch::Sender::new(config.tuning.niceness),
            wanted: control.watch(),
            settings: WorkerSettings::default(),
            hours: None,
            zone: Zone::system(),
            mode: WorkerMode::default(),
            summary: WorkerSummary::new(worker),
            contact: Contact::default(),
            ending: Ending::default(),
            temp,
            config,
            identity,
        })
    }

    async fn work(&mut self) -> Result<(), WorkerError> {
        self.wanted.mark_changed();
        let mut hours = tokio::time::interval(LOOK_AT_HOURS);
        loop {
            self.settle();
            if self.is_over() {
                return Ok(());
            }
            self.speak_if_due();
            let due = match self.pace.due(Instant::now()) {
                Due::At(moment) => Some(moment),
                // Now: the last report is not taken yet.
                Due::Now | Due::Later => None,
            };
            let ends = self.ending.at(self.pace.is_up());
            tokio::select! {
                event = self.link.events.recv() => match event {
                    Some(event) => self.heard(event)?,
                    // It ends with its owner alone.
                    None => return Err(WorkerError::Lost {
                        address: "the master".to_owned(),
                        why: "its task ended".to_owned(),
                    }),
                },
                (key, event) = self.crew.next() => self.happened(key, event),
                Ok(()) = self.wanted.changed() => self.wished(),
                () = self.mounts.changed() => self.pace.urgent(),
                () = at(due) => {}
                () = at(ends) => {}
                _ = hours.tick() => {}
            }
        }
    }

    // --- What happens --------------------------------------------------------------

    fn heard(&mut self, event: LinkEvent) -> Result<(), WorkerError> {
        match event {
            LinkEvent::Up(means) => {
                self.contact.up(means);
                self.pace.up(means != Means::Post);
            }
            LinkEvent::Poked => self.pace.urgent(),
            LinkEvent::Reply(reply) => self.replied(*reply),
            LinkEvent::Down(error) => {
                self.pace.down();
                if let Some(event) = self.contact.lost(error, self.crew.len())? {
                    self.observe(&event);
                }
            }
        }
        Ok(())
    }

    fn replied(&mut self, reply: MasterReply) {
        self.pace.heard(Instant::now(), reply.next_sync_ms);
        if let Some(event) = self.contact.answered() {
            self.observe(&event);
        }
        let schedule = reply.settings.schedule.as_deref();
        self.hours = schedule.and_then(|spans| Hours::parse(spans).ok());
        self.settings = reply.settings;
        self.mounts.set(&reply.roots);
        // Before the grants: whoever drains takes none.
        self.settle();
        for order in reply.orders {
            self.apply(Event::Ordered(order));
        }
        for grant in reply.grants {
            self.apply(Event::Granted(Box::new(grant)));
        }
    }

    fn happened(&mut self, key: Key, event: RunEvent) {
        let task = key.task;
        match event {
            RunEvent::Moved(phase) => {
                self.observe(&WorkerEvent::TaskMoved {
                    task,
                    phase: phase.clone(),
                });
                self.apply(Event::Moved(key, phase));
            }
            RunEvent::Progress(progress) => {
                self.observe(&WorkerEvent::Progress { task, progress });
                self.apply(Event::Progressed(key, progress));
            }
            RunEvent::Warning(message) => {
                tracing::info!(%task, message, "a warning of the encode");
                self.observe(&WorkerEvent::Warning { task, message });
            }
            RunEvent::Unmounted(root) => self.mounts.lost(&root),
            RunEvent::Ended(end) => self.apply(Event::Ended(key, end)),
        }
    }

    fn wished(&mut self) {
        let wanted = self.wanted.borrow_and_update().clone();
        if let Some(tuning) = wanted.tuning {
            self.config.tuning = tuning;
            self.pace.urgent();
        }
        if wanted.wish == Wish::Abort && self.ending.abort(Instant::now()) {
            self.apply(Event::Abort);
        }
    }

    // --- What becomes of it --------------------------------------------------------

    /// Brings what is set, here or from the master, to where it has an effect.
    fn settle(&mut self) {
        let now = clock::now();
        let is_open = match &self.hours {
            Some(hours) => hours.is_open_at(now, &self.zone),
            None => (self.config.tuning.is_open)(now),
        };
        let mode = mode(self.wanted.borrow().wish, &self.settings, is_open);
        if mode != self.mode {
            tracing::info!(?mode, "the worker is in another mode");
            if mode == WorkerMode::Draining {
                self.observe(&WorkerEvent::Draining);
            }
            self.mode = mode;
            self.pace.urgent();
        }
        let niceness = self
            .settings
            .niceness
            .unwrap_or(self.config.tuning.niceness);
        self.niceness
            .send_if_modified(|set| std::mem::replace(set, niceness) != niceness);
        let (slots, new_work) = (self.slots() as usize, mode == WorkerMode::Running);
        self.apply(Event::Takes { slots, new_work });
    }

    fn slots(&self) -> u32 {
        self.settings.slots.unwrap_or(self.config.tuning.slots)
    }

    fn apply(&mut self, event: Event) {
        for effect in self.tasks.apply(event) {
            match effect {
                Effect::Start(grant) => self.start(grant),
                Effect::Tell(key, answer) => self.crew.tell(key, Told::Answer(answer)),
                Effect::Stop(key) => self.crew.tell(key, Told::Stop),
                Effect::Over(grant, end) => {
                    tracing::info!(task = %grant.task, path = %grant.path, ?end, "over");
                    self.over(&grant, Some(*end));
                }
                Effect::Dropped(grant) => {
                    tracing::info!(task = %grant.task, path = %grant.path, "taken back");
                    self.over(&grant, None);
                }
                Effect::Speak => self.pace.urgent(),
                Effect::Numbers => self.pace.numbers(),
            }
        }
    }

    fn over(&mut self, grant: &Grant, end: Option<crate::proto::TaskEnd>) {
        self.summary.count(end.as_ref());
        self.observe(&WorkerEvent::TaskEnded {
            task: grant.task,
            path: grant.path.clone(),
            end,
        });
    }

    fn start(&mut self, grant: Box<Grant>) {
        let key = Key::from(&*grant);
        tracing::info!(task = %key, path = %grant.path, bytes = grant.bytes, "begins");
        self.observe(&WorkerEvent::TaskStarted {
            task: grant.task,
            epoch: grant.epoch,
            path: grant.path.clone(),
            bytes: grant.bytes,
        });
        let place = self.place_of(&grant);
        let asked = self.settings.threads.or(self.config.tuning.threads);
        let run = Run {
            conduct: Conduct {
                program: self.config.program.clone(),
                niceness: self.niceness.subscribe(),
                io_class: self.config.io_class,
                patience: self.config.patience,
            },
            threads: priority::threads(asked, self.slots() as usize, system::processors()),
            events: self.crew.ear(),
            grant,
        };
        self.crew.begin(run, place);
    }

    /// Where a film is worked on; `None` where it is out of reach.
    fn place_of(&self, grant: &Grant) -> Option<Place> {
        if grant.ship {
            let client = self.client.clone().filter(|_| self.config.ships)?;
            return Some(Place::Shipped(client, self.temp.clone()));
        }
        let (root, is_mounted) = self.mounts.place(&grant.root)?;
        Some(Place::Here { root, is_mounted })
    }

    fn observe(&self, event: &WorkerEvent) {
        (self.config.observer)(event);
    }

    // --- What is said about it -----------------------------------------------------

    fn speak_if_due(&mut self) {
        let now = Instant::now();
        if self.pace.due(now) != Due::Now {
            return;
        }
        let report = self.report();
        // Full or closed where the connection is being lost; that is told, and the next
        // one begins with a report.
        if self.link.reports.try_send(report).is_ok() {
            self.sequence += 1;
            self.pace.spoke(now);
        }
    }

    fn report(&self) -> WorkerReport {
        WorkerReport {
            protocol: PROTOCOL,
            worker: self.identity.worker().clone(),
            session: self.id.clone(),
            sequence: self.sequence,
            name: self.config.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            encoder: self.config.encoder.clone(),
            warnings: self.config.warnings.clone(),
            slots: self.slots(),
            mode: self.mode,
            load: *self.load.borrow(),
            mounted: self.mounts.mounted(),
            ships: self.config.ships && self.client.is_some() && self.mounts.are_known(),
            tasks: self.tasks.reports(),
        }
    }

    // --- The end -------------------------------------------------------------------

    fn is_over(&mut self) -> bool {
        let now = Instant::now();
        let is_to_end = self.mode == WorkerMode::Draining;
        let is_done = is_to_end && self.tasks.is_idle();
        self.ending.is_done(is_done, now);
        let is_late = self
            .ending
            .at(self.pace.is_up())
            .is_some_and(|at| at <= now);
        is_late || is_to_end && self.tasks.is_empty()
    }

    fn farewell(mut self) -> WorkerSummary {
        self.summary.untold = self.tasks.untold().map(|key| key.task).collect();
        for task in &self.summary.untold {
            tracing::warn!(%task, "the master does not know yet how it ended");
        }
        if let Err(error) = std::fs::remove_dir_all(self.temp.path()) {
            tracing::debug!(%error, "the folder of temporary files stays");
        }
        self.summary
    }
}

pub(super) async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}
