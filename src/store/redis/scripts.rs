//! The scripts that do the work on the server, each in one step that nobody else comes between.

use redis::{Script, ScriptInvocation};

/// What all keys begin with. The braces make it the part by which a cluster places a key: all lie together.
pub(super) const PREFIX: &str = "{flexslot-proxy}:";

/// The store's own record, and the key that each script names, for whatever routes commands by their keys.
const STORE: &str = "{flexslot-proxy}:store";

/// `now()` by the server's clock.
pub(super) const SERVER_TIME: &str = "
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
";

/// The scripts, under the names of the files they come from.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) enter: Script,
    pub(super) pulse: Script,
    pub(super) rights: Script,
    pub(super) now: Script,
    pub(super) get: Script,
    pub(super) write: Script,
    pub(super) list: Script,
    pub(super) changes: Script,
    pub(super) bid: Script,
    pub(super) release: Script,
    pub(super) touch: Script,
    pub(super) purge: Script,
}

// === impl Scripts ===

impl Scripts {
    /// Scripts whose function `now` is the one that `time` defines.
    pub(super) fn new(time: &str) -> Self {
        let script = |body: &str| {
            let lib = include_str!("lua/lib.lua");
            Script::new(&format!("local prefix = '{PREFIX}'\n{time}\n{lib}\n{body}"))
        };
        Self {
            enter: script(include_str!("lua/enter.lua")),
            pulse: script(include_str!("lua/pulse.lua")),
            rights: script(include_str!("lua/rights.lua")),
            now: script(include_str!("lua/now.lua")),
            get: script(include_str!("lua/get.lua")),
            write: script(include_str!("lua/write.lua")),
            list: script(include_str!("lua/list.lua")),
            changes: script(include_str!("lua/changes.lua")),
            bid: script(include_str!("lua/bid.lua")),
            release: script(include_str!("lua/release.lua")),
            touch: script(include_str!("lua/touch.lua")),
            purge: script(include_str!("lua/purge.lua")),
        }
    }
}

/// `script` with its key and no arguments yet.
pub(super) fn call(script: &Script) -> ScriptInvocation<'_> {
    script.key(STORE)
}
