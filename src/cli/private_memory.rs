//! What the system is told to keep of this process's memory away from others: it holds secrets, whichever command runs.

use rustix::process::{Resource, Rlimit, setrlimit};

/// From here on a crash leaves no core file, no other process of the same user reads this one's memory or environment
/// through `/proc`, and none attaches to it as a debugger. Root still can.
///
/// To be called before anything secret is read. What the system refuses stays as it was: it is no reason not to serve.
pub(super) fn keep() {
    // Children inherit this limit, and no command has one that should leave a core.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        // A core that is piped to a collector, such as systemd-coredump, knows no limit of size; this it obeys.
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Resource, getrlimit};

    /// That `main` calls it is shown by `it::process::private_memory`.
    #[test]
    fn nothing_of_this_process_is_left_or_shown() {
        super::keep();
        let core = getrlimit(Resource::Core);
        assert_eq!((core.current, core.maximum), (Some(0), Some(0)));
        #[cfg(target_os = "linux")]
        {
            use rustix::process::{DumpableBehavior, dumpable_behavior};
            assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
        }
    }
}
