#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| flexslot_proxy_fuzz::target_check::run(input));
