//! `explain`

use std::fmt;

use anstyle::{AnsiColor, Style};
use http::StatusCode;

use super::{
    Failure, GlobalArgs, World,
    console::printable,
    overrides::AdminOverrides,
    running::{Running, block_on},
};
use crate::{
    admin::client::TraceDocument,
    config::{Config, ServiceSecrets},
    model::RequestId,
};

/// Tell what became of a recent request, from the running sidecar
///
/// The id stands in the header Flexslot-Proxy-Request-Id, in `request_id` of an error, and in the access log. A sidecar
/// keeps the traces of its last 10,000 requests, and of the last 1,000 before them that failed.
#[derive(Debug, clap::Args)]
pub(super) struct ExplainArgs {
    /// Such as d067bdbd-1f
    #[arg(value_name = "REQUEST_ID")]
    request: RequestId,
    /// Print the document of GET /v1/requests/{request_id} as it is
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    overrides: AdminOverrides,
}

/// A trace as a story: what the request was, what was done in order of time, and what to do.
struct Story<'a>(&'a TraceDocument);

const TITLE: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const NEXT: Style = AnsiColor::Cyan.on_default().bold();

// === impl ExplainArgs ===

impl ExplainArgs {
    pub(super) fn run(self, global: &GlobalArgs, world: &mut World<'_>) -> Result<(), Failure> {
        let source = global.source(world.environment);
        let config = Config::load_with(ServiceSecrets::OfAdmin, &source, &self.overrides.into(), world.environment)?;
        let running = Running::of(&config)?;
        let answer = block_on(running.get(&format!("/v1/requests/{}", self.request)))?;
        if answer.status == StatusCode::NOT_FOUND {
            let what = answer.detail().unwrap_or_else(|| "it knows of no traces".to_owned());
            return Err(Failure::new(format!("the sidecar cannot explain {}: {what}", self.request))
                .hint("ask the sidecar that the request went through; its log line has the id, too"));
        }
        let answer = answer.granted()?;
        if self.json {
            world.console.data(answer.body())?;
            return world.console.data(b"\n");
        }
        world.console.data_line(Story(&answer.document()?))
    }
}

// === impl Story ===

impl fmt::Display for Story<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trace = self.0;
        let (method, path) = (printable(&trace.method), printable(&trace.path));
        writeln!(f, "{TITLE}{method} {path}{TITLE:#}  {}", printable(&trace.request_id))?;
        write!(f, "{}, {}", printable(&trace.time), printable(&trace.protocol))?;
        match (&trace.tenant, &trace.tenant_by) {
            (Some(tenant), Some(by)) => writeln!(f, ", for {}, named by the {}\n", printable(tenant), printable(by))?,
            _ => writeln!(f, ", for no tenant that could be told\n")?,
        }
        for step in &trace.steps {
            line(f, step.at_ms, &step.text)?;
        }
        if trace.steps_left_out > 0 {
            writeln!(f, "{:>15}{} more steps that a trace has no room for", "", trace.steps_left_out)?;
        }
        if let Some(problem) = &trace.problem {
            line(
                f,
                trace.timings.overhead_ms + trace.timings.upstream_ms,
                &format!("answered by the sidecar itself: {}", problem.code),
            )?;
        }
        self.end(f)?;
        self.times(f)?;
        if let Some(cause) = &trace.cause {
            write!(f, "\ncause: {}", printable(cause))?;
        }
        if let Some(next) = &trace.next_step {
            write!(f, "\n{NEXT}next:{NEXT:#} {}", printable(next))?;
        }
        Ok(())
    }
}

impl Story<'_> {
    fn end(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trace = self.0;
        let colour = if trace.next_step.is_none() { GOOD } else { BAD };
        let status = trace.status.map_or_else(String::new, |status| format!("{colour}{status}{colour:#}, "));
        let bytes = trace.bytes_sent;
        let end = match trace.state.as_str() {
            "complete" => format!("{status}handed over whole, {bytes} bytes"),
            "broken_off" => format!("{status}broken off after {bytes} bytes"),
            "client_gone" => format!("{BAD}the client went away before there was a response{BAD:#}"),
            _ => format!("{status}its body is still on its way"),
        };
        writeln!(f, "{:>12.1} ms  {end}", trace.timings.duration_ms)
    }

    fn times(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = &self.0.timings;
        write!(f, "\n{:.1} ms were Flexslot's, and {:.1} ms the sidecar's", times.upstream_ms, times.overhead_ms)?;
        if times.refresh_wait_ms > 0.0 {
            write!(f, ", {:.1} ms of them waiting for a refresh", times.refresh_wait_ms)?;
        }
        f.write_str(".")?;
        match self.0.replay.as_deref() {
            Some("kept") => f.write_str(" The request's body could have been sent again."),
            Some("overflowed") => {
                f.write_str(" The request's body was larger than what is kept, and could not be sent again.")
            }
            Some("rewound") => f.write_str(" The request's body was sent again."),
            _ => Ok(()),
        }
    }
}

fn line(f: &mut fmt::Formatter<'_>, at_ms: f64, text: &str) -> fmt::Result {
    writeln!(f, "{at_ms:>12.1} ms  {}", printable(text))
}

#[cfg(test)]
mod tests;
