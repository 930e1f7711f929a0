#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nskit_fuzz::dbus::check(data));
