//! The pod's containers as the supervisor holds them: making and starting each. [`super::ending`] is what follows.
//!
//! ```text
//! make ──> Making: init sets itself up ──> Made ──> go, or release and later start ──> Run ──> reap ──> remove
//! ```

use super::ending::End;
use super::event_loop::{Supervisor, now};
use super::last_words;
use super::output::{self, Output, Place, TheirEnds};
use super::poll::{Source, Trigger};
use super::runtime_spec::{self, Built, Facts};
use crate::cgroup::Cgroup;
use crate::container::record::{self, Status};
use crate::container::{
    self, Begin, ConfigSource, CreateRequest, Made, Making, OverlayRoot, PodToJoin, Record, RootSource,
    Runner, Streams, Terminal,
};
use crate::error::{Error, Kind, Result};
use crate::image::{self, Image, Lease};
use crate::lifecycle::Event;
use crate::model::ids::{ContainerId, PodUid};
use crate::model::podspec::{ContainerSpec, ImagePullPolicy};
use crate::model::sandbox::Sandbox;
use crate::model::signal::Signal;
use crate::model::status::EventKind;
use crate::pod::Held;
use crate::report;
use crate::state::process::ProcessRef;
use crate::sys::clone::Child;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Annotation of a container's spec that tells its stop signal's number to later supervisors, as the image
/// specification names it.
pub(super) const STOP_SIGNAL: &str = "org.opencontainers.image.stopSignal";

/// What the supervisor holds of one container of the manifest.
#[derive(Debug, Default)]
pub struct Member {
    /// While it is being made.
    pub(super) making: Option<Pending>,
    /// Once its init is on record.
    pub(super) run: Option<Run>,
    /// Its streams and log, as long as there is a container.
    pub(super) output: Option<Output>,
    /// The number of the present run, or of the last.
    pub(super) restart: u32,
    /// What its probes and hooks need to run commands in it, once one does.
    pub(super) runner: Option<Runner>,
    /// What its image wants it to be stopped by; 0 before it is known.
    pub(super) stop_signal: i32,
    /// How its init ended, while its last output is awaited.
    pub(super) end: Option<End>,
}

/// A container that is being made.
#[derive(Debug)]
pub struct Pending {
    making: Making,
    id: ContainerId,
    image_id: String,
    at_once: bool,
    /// Keeps the image's layers until the container is on record.
    _lease: Lease,
}

/// A container with a process.
#[derive(Debug)]
pub struct Run {
    id: ContainerId,
    pub(super) process: ProcessRef,
    pidfd: OwnedFd,
    pub(super) cgroup: Option<Cgroup>,
}

impl Run {
    /// Its id.
    pub fn id(&self) -> &ContainerId {
        &self.id
    }

    /// Its init.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Pid of its init.
    pub fn pid(&self) -> i32 {
        self.process.pid
    }

    /// Lets a frozen container that was killed go on, so that it can die.
    ///
    /// # Errors
    /// Those of the freezer.
    pub fn thaw_killed(&self) -> Result<()> {
        self.cgroup.as_ref().map_or(Ok(()), Cgroup::thaw_killed)
    }

    /// A container whose init is on record.
    pub(super) fn of(record: &Record, child: Child) -> Result<Self> {
        let process = record.init.clone();
        let process = process.ok_or_else(|| Error::host("the container's init is not on record"))?;
        Ok(Self { id: record.id.clone(), process, pidfd: child.pidfd, cgroup: record.cgroup.clone() })
    }
}

impl Member {
    /// What asks its program to end: its image's choice, unknown after an adoption by another supervisor.
    pub fn stop_signal(&self) -> i32 {
        if self.stop_signal > 0 { self.stop_signal } else { libc::SIGTERM }
    }

    /// The container's process, where it has one.
    pub fn run(&self) -> Option<&Run> {
        self.run.as_ref()
    }
}

/// Why a container cannot be made, in Kubernetes' word and ours.
struct Refusal {
    reason: &'static str,
    error: Error,
}

trait Refuse<T> {
    fn refuse(self, reason: &'static str) -> Result<T, Refusal>;
}

impl<T> Refuse<T> for Result<T> {
    fn refuse(self, reason: &'static str) -> Result<T, Refusal> {
        self.map_err(|error| Refusal { reason, error })
    }
}

/// The pod for containers to join, as its supervisor holds it.
struct Joining<'a>(&'a Held);

impl PodToJoin for Joining<'_> {
    fn open(&self) -> Result<Sandbox> {
        self.0.sandbox()
    }

    fn confirm(&self, _: &PodUid) -> Result<()> {
        self.0.confirm()
    }
}

/// Making and starting.
impl Supervisor {
    pub(super) fn make(&mut self, index: usize, restart: u32, at_once: bool) {
        let (begun, warnings) = report::collect(|| self.begin(index, restart, at_once));
        self.pass_on(index, warnings);
        if let Err(refusal) = begun {
            self.not_made(index, refusal.reason, &refusal.error);
        }
    }

    fn not_made(&mut self, index: usize, reason: &'static str, error: &Error) {
        self.close_output(index);
        let message = self.words(index, error);
        self.news.push_back(Event::NotMade { index, reason, message });
    }

    /// What the user should know of a container, as events: the supervisor has no terminal.
    fn pass_on(&mut self, index: usize, warnings: Vec<String>) {
        let now = now();
        for warning in warnings {
            self.machine.note(EventKind::Warning, "Warning", Some(index), warning, now);
        }
    }

    fn begin(&mut self, index: usize, restart: u32, at_once: bool) -> Result<(), Refusal> {
        const CONFIG: &str = "CreateContainerConfigError";
        const CREATE: &str = "CreateContainerError";
        let Some(spec) = self.spec.container_at(index) else { return Ok(()) };
        let id = self.id(index, restart).refuse(CONFIG)?;
        let lease = self.store.lease().refuse(CREATE)?;
        let image = self.image(spec)?;
        let scratch = self.identity.layout.scratch(&self.identity.uid, &spec.name, restart);
        let mut built = self.built(spec, &image).refuse(CONFIG)?;
        let annotations = built.spec.annotations_mut().get_or_insert_default();
        let wanted =
            spec.lifecycle.stop_signal.as_deref().map(str::parse::<Signal>).transpose().refuse(CONFIG)?;
        let stop_signal = wanted.map_or(built.stop_signal, |Signal(number)| number);
        annotations.insert(STOP_SIGNAL.to_owned(), stop_signal.to_string());
        let place = self.place(index, restart);
        let last_words = last_words::mount(&place, &spec.termination_message_path).refuse(CREATE)?;
        built.spec.mounts_mut().get_or_insert_default().push(last_words);
        let (output, theirs) = Output::make(&place, spec, self.limits).refuse(CREATE)?;
        let request = CreateRequest {
            root: RootSource::Overlay(OverlayRoot { layers: image.layers, scratch }),
            streams: match theirs {
                TheirEnds::Stdio(stdio) => Streams::Given(stdio),
                TheirEnds::Terminal(socket) => Streams::Terminal(Terminal { socket, size: None }),
            },
            cgroup: Some(spec.name.clone()),
            volumes: spec.volume_mounts.clone(),
            ..CreateRequest::new(
                id.clone(),
                ConfigSource::Spec { spec: Box::new(built.spec), seccomp: built.seccomp },
            )
        };
        let when = if at_once { Begin::AtOnce } else { Begin::WhenStarted };
        let member = &mut self.members[index];
        (member.restart, member.stop_signal, member.output) = (restart, stop_signal, Some(output));
        let making =
            container::begin(&self.host, request, Some(&Joining(&self.held)), when).refuse(CREATE)?;
        if let Some(link) = making.link() {
            self.poll.add(link, Source::Making(number(index)), Trigger::Level).refuse(CREATE)?;
        }
        let image_id = image.id;
        self.members[index].making = Some(Pending { making, id, image_id, at_once, _lease: lease });
        self.pass_on(index, built.warnings);
        Ok(())
    }

    fn image(&self, spec: &ContainerSpec) -> Result<Image, Refusal> {
        let find = || -> Result<Option<Image>> { self.store.find(&spec.image.parse()?) };
        let reason = match spec.image_pull_policy {
            Some(ImagePullPolicy::Never) => "ErrImageNeverPull",
            _ => "ErrImagePull",
        };
        let absent = || {
            Error::user(format!("Container image {:?} is not present on this machine", spec.image))
                .hint(format!("podrun image import FILE {}", spec.image))
        };
        find().refuse(reason)?.ok_or_else(|| Refusal { reason, error: absent() })
    }

    fn built(&self, spec: &ContainerSpec, image: &Image) -> Result<Built> {
        let user = runtime_spec::user_to_resolve(&spec.security, &image.config);
        let user = image::user::resolve(&image.layers, &user)?;
        let with_devices = || -> Result<Facts> {
            Ok(Facts { devices: runtime_spec::host_devices()?, ..self.facts.clone() })
        };
        let facts = if spec.security.privileged { &with_devices()? } else { &self.facts };
        runtime_spec::build(&runtime_spec::Request {
            pod: &self.spec,
            container: spec,
            hostname: &self.held.sandbox()?.hostname,
            image: &image.config,
            user: &user,
            facts,
        })
    }

    /// The init of a container that is being made has spoken.
    pub(super) fn finish_making(&mut self, index: usize) {
        let Some(pending) = self.members.get_mut(index).and_then(|member| member.making.take()) else {
            return;
        };
        let Pending { making, id, image_id, at_once, _lease } = pending;
        if let Some(link) = making.link() {
            self.poll.remove(link).unwrap_or_else(|error| report::warn(&error.to_string()));
        }
        let (made, warnings) = report::collect(|| making.finish(Some(&Joining(&self.held))));
        self.pass_on(index, warnings);
        match made {
            // It was found wrong before it was to run, and nothing is left; to Kubernetes it is a start that failed.
            Err(error) if matches!(error.kind(), Kind::NoProgram | Kind::NotExecutable) => {
                self.tell(Event::Made { index, container_id: id.to_string(), image_id });
                self.not_started(index, &error);
            }
            Err(error) => self.not_made(index, "CreateContainerError", &error),
            // A supervisor that comes after us must know the container once its program may run, and not before it
            // outlives us.
            Ok(made) if at_once => {
                self.tell(Event::Made { index, container_id: id.to_string(), image_id });
                self.publish();
                self.let_go(index, made, at_once);
            }
            Ok(made) => {
                self.let_go(index, made, at_once);
                self.tell(Event::Made { index, container_id: id.to_string(), image_id });
                self.publish();
            }
        }
    }

    fn let_go(&mut self, index: usize, made: Made, at_once: bool) {
        // What the program cannot do without is with the keeper before it runs.
        let going =
            self.prepare_streams(index).and_then(|()| if at_once { made.go() } else { made.release() });
        let held = going.and_then(|(record, child)| self.hold(index, Run::of(&record, child)?));
        match held {
            Ok(()) if at_once => self.news.push_back(Event::Started { index }),
            Ok(()) => {}
            Err(error) => self.not_started(index, &error),
        }
    }

    fn not_started(&mut self, index: usize, error: &Error) {
        self.fault = Some(error.kind()).filter(|kind| matches!(kind, Kind::NoProgram | Kind::NotExecutable));
        let message = self.words(index, error);
        self.news.push_back(Event::NotStarted { index, message });
    }

    /// An error and its remedy for the pod's status, in which containers and volumes go by their names.
    fn words(&self, index: usize, error: &Error) -> String {
        let remedy = error.remedy().map(|remedy| format!(" ({remedy})")).unwrap_or_default();
        let mut text = format!("{error}{remedy}");
        for (name, path) in self.held.sandbox().map(|sandbox| sandbox.volumes).unwrap_or_default() {
            // As whoever wrote the manifest calls it.
            text = text
                .replace(&format!("cannot mount {path:?} at"), &format!("cannot mount volume \"{name}\" at"));
        }
        match self.id(index, self.members[index].restart) {
            Ok(id) => text.replace(id.as_str(), self.spec_of(index).name.as_str()),
            Err(_) => text,
        }
    }

    fn prepare_streams(&mut self, index: usize) -> Result<()> {
        if let Some(output) = &mut self.members[index].output {
            output.take_terminal()?;
        }
        self.deposit(index)
    }

    /// Takes a container with a process into the supervisor's care.
    pub(super) fn hold(&mut self, index: usize, run: Run) -> Result<()> {
        self.poll.add(run.pidfd(), Source::Exit(number(index)), Trigger::Level)?;
        let tag = output::process_tag(&self.place(index, self.members[index].restart));
        self.keeper.put(&tag, run.pidfd())?;
        self.members[index].run = Some(run);
        self.watch(index)
    }

    /// Waits for a container's output.
    pub(super) fn watch(&mut self, index: usize) -> Result<()> {
        let place = self.place(index, self.members[index].restart);
        self.members[index].output.as_ref().map_or(Ok(()), |output| output.watch(&place, &self.poll))
    }

    /// Gives the keeper what it must hold of a container.
    pub(super) fn deposit(&mut self, index: usize) -> Result<()> {
        let place = self.place(index, self.members[index].restart);
        let member = &mut self.members[index];
        if let Some(run) = &member.run {
            self.keeper.put(&output::process_tag(&place), run.pidfd())?;
        }
        match &mut member.output {
            Some(output) => output.deposit(&place, &mut self.keeper),
            None => Ok(()),
        }
    }

    pub(super) fn start(&mut self, index: usize) {
        let Some(id) = self.members[index].run().map(|run| run.id().clone()) else { return };
        match container::start(&self.host, &id) {
            Ok(()) => self.news.push_back(Event::Started { index }),
            // A supervisor that was killed had told init to go on before us.
            Err(_) if self.runs(&id) => self.news.push_back(Event::Started { index }),
            Err(error) => self.not_started(index, &error),
        }
    }

    /// Whether a container's program runs; an init that could not execute it may not be dead yet.
    fn runs(&self, id: &ContainerId) -> bool {
        let look = || -> Result<bool> {
            let (directory, record) = record::load(&self.host, id)?;
            let Some(init) = &record.init else { return Ok(false) };
            let is_up = matches!(record.status(&directory)?, Status::Running | Status::Paused);
            Ok(is_up && record::has_executed(init)?)
        };
        look().unwrap_or(false)
    }

    /// What the manifest asks for of a container; `index` counts init containers, then containers.
    pub(super) fn spec_of(&self, index: usize) -> &ContainerSpec {
        let inits = &self.spec.init_containers;
        inits.get(index).unwrap_or_else(|| &self.spec.containers[index - inits.len()])
    }

    /// Where the streams and the log of a run lie.
    pub(super) fn place(&self, index: usize, restart: u32) -> Place {
        let name = &self.spec_of(index).name;
        Place {
            io: self.directory.join(crate::state::layout::pod::IO),
            etc: self.directory.join(crate::state::layout::pod::ETC),
            logs: self.logs.join(name.as_str()),
            name: name.clone(),
            restart,
            index: number(index),
        }
    }
}

fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
