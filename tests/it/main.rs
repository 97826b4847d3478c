//! The sidecar from outside, one test binary.

#[cfg(test)]
mod process;
#[cfg(test)]
mod support {
    pub(crate) mod process;
}
