//! What is compared, and the frame in which it is: contenders that are up together, and take turns.

mod cores;
mod idle;
mod rate;
mod saturated;
mod start;
mod syscalls;

use std::path::PathBuf;

use tempfile::TempDir;

use crate::{
    contenders::{Contender, Kind, Plan, Prepared},
    failure::{Result, Trying},
    figure::Figure,
    load::{Done, Load, Run, Until},
    measure::{Cpu, Memory},
    options::{Extent, Options},
    process::{Cores, Pinned},
    upstream::{Form, Upstream},
    work::Work,
};

/// Keep-alive connections on which requests follow each other without a pause: enough that the proxy always has some.
const CONNECTIONS: usize = 64;

/// A kind of work, or of question.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    how: How,
}

#[derive(Debug, Clone, Copy)]
enum How {
    Saturated(Work, Form),
    Rate,
    Start,
    Idle,
    Syscalls,
    Cores,
}

/// What scenarios share.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    pub(crate) options: &'a Options,
    pub(crate) cores: Cores,
    pub(crate) upstream: Upstream,
    pub(crate) load: Load,
    pub(crate) dir: PathBuf,
}

/// Contenders that are up, each with a group of connections to it.
#[derive(Debug)]
struct Stage {
    contenders: Vec<Contender>,
    groups: Vec<usize>,
    _dir: TempDir,
}

/// A contender's turn.
#[derive(Debug, Clone, Copy)]
struct Slice {
    done: Done,
    /// CPU time of the contender, in seconds.
    cpu: f64,
}

// === impl Scenario ===

impl Scenario {
    pub(crate) const ALL: [Self; 13] = [
        Self { name: "get-plain", how: How::Saturated(Work::Get, Form::Plain) },
        Self { name: "get-tls", how: How::Saturated(Work::Get, Form::Tls) },
        Self { name: "get-h2", how: How::Saturated(Work::Get, Form::H2) },
        Self { name: "post-plain", how: How::Saturated(Work::Post, Form::Plain) },
        Self { name: "post-tls", how: How::Saturated(Work::Post, Form::Tls) },
        Self { name: "post-h2", how: How::Saturated(Work::Post, Form::H2) },
        Self { name: "download", how: How::Saturated(Work::Download, Form::Plain) },
        Self { name: "upload", how: How::Saturated(Work::Upload, Form::Plain) },
        Self { name: "rate", how: How::Rate },
        Self { name: "start", how: How::Start },
        Self { name: "idle", how: How::Idle },
        Self { name: "syscalls", how: How::Syscalls },
        Self { name: "cores", how: How::Cores },
    ];

    pub(crate) fn measure(self, bench: &mut Bench<'_>) -> Result<Vec<Figure>> {
        match self.how {
            How::Saturated(work, form) => saturated::measure(bench, self.name, work, form),
            How::Rate => rate::measure(bench, self.name),
            How::Start => start::measure(bench, self.name),
            How::Idle => idle::measure(bench, self.name),
            How::Syscalls => syscalls::measure(bench, self.name),
            How::Cores => cores::measure(bench, self.name),
        }
    }
}

// === impl Bench ===

impl Bench<'_> {
    /// Starts contenders, and looks whether they do their work.
    fn stage(&mut self, plans: &[(Kind, Form, Pinned)]) -> Result<Stage> {
        let dir = self.empty_dir()?;
        let mut contenders = Vec::new();
        for (number, (kind, form, pinned)) in plans.iter().enumerate() {
            let contender =
                self.prepare(*kind, *form, *pinned, dir.path().join(number.to_string()))?.start(self.cores)?;
            contender.prove()?;
            contenders.push(contender);
        }
        Ok(Stage { contenders, groups: Vec::new(), _dir: dir })
    }

    fn prepare(&self, kind: Kind, form: Form, pinned: Pinned, dir: PathBuf) -> Result<Prepared> {
        let (upstream, binary) = (&self.upstream, &*self.options.binary);
        Plan { kind, form, pinned, upstream, dir: &dir, binary }.prepare()
    }

    fn empty_dir(&self) -> Result<TempDir> {
        TempDir::new_in(&self.dir).trying(|| format!("a directory in {}", self.dir.display()))
    }

    /// Fewer, where nothing is to be measured.
    fn many(&self, full: usize, quick: usize) -> usize {
        match self.options.extent {
            Extent::Full => full,
            Extent::Quick => quick,
        }
    }

    /// A contender's turn: as many connections as it has, each with one request after the other, for the time of a slice.
    fn saturate(&mut self, stage: &Stage, index: usize) -> Result<Slice> {
        let until = Until::Seconds(self.options.seconds);
        self.slice(stage, index, Run { group: stage.groups[index], until, at_a_time: usize::MAX, per_second: None })
    }

    fn slice(&mut self, stage: &Stage, index: usize, run: Run) -> Result<Slice> {
        let contender = &stage.contenders[index];
        let before = Cpu::of(contender.process.id())?;
        let done = self.load.run(run).map_err(|failure| contender.explain(&failure))?;
        let cpu = Cpu::of(contender.process.id())?.since(&before).as_secs_f64();
        Ok(Slice { done, cpu })
    }

    /// Gives each contender its turn in each round; who begins changes from round to round. What the machine does besides
    /// falls on all of them, and ratios within a round know little of it.
    fn rounds(&mut self, stage: &Stage, turn: impl Fn(&mut Self, usize) -> Result<Slice>) -> Result<Vec<Vec<Slice>>> {
        let count = stage.contenders.len();
        let mut slices = vec![Vec::new(); count];
        for round in 0..self.options.rounds {
            for index in (0..count).map(|place| (round + place) % count) {
                slices[index].push(turn(self, index)?);
            }
        }
        Ok(slices)
    }
}

// === impl Stage ===

impl Stage {
    /// Opens connections to each contender, and warms it and them up.
    fn connect(&mut self, bench: &mut Bench<'_>, work: Work, connections: usize) -> Result<()> {
        for contender in &self.contenders {
            self.groups.push(bench.load.open(contender.target(work, connections))?);
        }
        for index in 0..self.contenders.len() {
            bench.saturate(self, index)?;
        }
        Ok(())
    }

    /// Closes the connections, then ends the contenders.
    fn leave(self, load: &mut Load) -> Result<()> {
        self.groups.iter().try_for_each(|group| load.close(*group))
    }

    fn kinds(&self) -> impl Iterator<Item = Kind> {
        self.contenders.iter().map(|contender| contender.kind)
    }

    fn memory(&self) -> Result<Vec<Memory>> {
        self.contenders.iter().map(Contender::memory).collect()
    }

    /// One number for each slice of each contender.
    fn samples(&self, slices: &[Vec<Slice>], number: impl Fn(&Slice) -> f64) -> Vec<(Kind, Vec<f64>)> {
        self.kinds().zip(slices).map(|(kind, slices)| (kind, slices.iter().map(&number).collect())).collect()
    }
}

// === impl Slice ===

impl Slice {
    fn cpu_per_request(&self) -> f64 {
        self.cpu / self.done.answered as f64
    }

    /// The part of its time in which it worked.
    fn busy(&self) -> f64 {
        self.cpu / self.done.seconds
    }
}

/// Each of them in front of the plain upstream, on the first core.
fn plain(kinds: &[Kind]) -> Vec<(Kind, Form, Pinned)> {
    kinds.iter().map(|kind| (*kind, Form::Plain, Pinned::First)).collect()
}
