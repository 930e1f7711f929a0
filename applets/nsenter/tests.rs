use super::*;

fn options(args: &[&str]) -> Options {
    let args: Vec<OsString> = std::iter::once(&"nsenter").chain(args).map(OsString::from).collect();
    match parse(&args) {
        Ok(Asked::Run(options)) => *options,
        Ok(_) => panic!("{args:?} asks for help or version"),
        Err(Refused::Grammar(complaint)) => panic!("{args:?}: {complaint}"),
        Err(Refused::Value(failure)) => panic!("{args:?}: {}", failure.error),
    }
}

fn refusal(args: &[&str]) -> String {
    let args: Vec<OsString> = std::iter::once(&"nsenter").chain(args).map(OsString::from).collect();
    match parse(&args) {
        Err(Refused::Grammar(complaint)) => complaint,
        Err(Refused::Value(failure)) => failure.error.to_string(),
        Ok(_) => panic!("{args:?} is taken"),
    }
}

#[test]
fn a_file_is_attached_with_or_without_an_equals_sign() {
    for args in [&["-n/proc/self/ns/net"][..], &["-n=/proc/self/ns/net"], &["--net=/proc/self/ns/net"]] {
        let given = options(args);
        assert!(given.namespaces.file(Kind::Net).is_some(), "{args:?}");
        assert!(given.namespaces.of_target().is_empty(), "{args:?}");
    }
    assert_eq!(refusal(&["-Ump"]), "cannot open mp: No such file or directory");
}

#[test]
fn the_inner_directory_is_taken_attached_or_as_the_next_word() {
    for args in [&["-W/x"][..], &["-W=/x"], &["-W", "/x"], &["--wdns=/x"], &["--wdns", "/x"]] {
        let given = options(args);
        assert_eq!(given.inner_directory.as_deref(), Some(OsStr::new("/x")), "{args:?}");
        assert!(given.program.is_empty(), "{args:?}");
    }
}

#[test]
fn values_are_refused_in_util_linuxs_words() {
    for (args, message) in [
        (&["-t", "1", "-t", "1"][..], "option --target may be given only once"),
        (&["-t", "x"], "failed to parse PID argument 'x': Invalid argument"),
        (&["-t", "0"], "failed to parse PID argument '0': Numerical result out of range"),
        (&["-t", "-1"], "failed to parse PID argument '-1': Numerical result out of range"),
        (&["-t", "1:0"], "failed to parse PID argument '1:0': Numerical result out of range"),
        (&["-t", "1:x"], "failed to parse PID argument '1:x': Invalid argument"),
        (&["-t", "1:1"], "failed to obtain a valid file descriptor for PID 1: No such process"),
        (&["-w", "-W", "x"], "options --wd and --wdns cannot be combined"),
        (&["-Wx", "-w"], "options --wdns and --wd cannot be combined"),
        (&["-S", "x"], "failed to parse uid: 'x'"),
        (&["-N", "x"], "failed to parse file descriptor: 'x'"),
        (&["--mount=:x"], "failed to parse nsid: x"),
        (&["--user=/nonexistent"], "cannot open /nonexistent: No such file or directory"),
        (&["--us"], "option '--us' is ambiguous; possibilities: '--user' '--user-parent'"),
    ] {
        assert_eq!(refusal(args), message, "{args:?}");
    }
}
