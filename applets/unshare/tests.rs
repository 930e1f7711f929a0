use nskit::namespace::Kinds;

use super::options::BINFMT;
use super::ranges::range;
use super::*;

fn options(args: &[&str]) -> Options {
    let args: Vec<OsString> = std::iter::once(&"unshare").chain(args).map(OsString::from).collect();
    match parse(&args) {
        Ok(Asked::Run(options)) => *options,
        Ok(_) => panic!("{args:?} asks for help or version"),
        Err(Refused::Grammar(complaint)) => panic!("{args:?}: {complaint}"),
        Err(Refused::Value(error)) => panic!("{args:?}: {error}"),
    }
}

fn refusal(args: &[&str]) -> String {
    let args: Vec<OsString> = std::iter::once(&"unshare").chain(args).map(OsString::from).collect();
    match parse(&args) {
        Err(Refused::Grammar(complaint)) => complaint,
        Err(Refused::Value(error)) => error.to_string(),
        Ok(_) => panic!("{args:?} is taken"),
    }
}

#[test]
fn options_imply_others() {
    assert_eq!(options(&["-r"]).new, Kinds::only(Kind::User));
    assert_eq!(options(&["--mount-proc"]).new, Kinds::only(Kind::Mount));
    assert!(options(&["--kill-child"]).fork && options(&["--forward-signals"]).fork);
    let binfmt = options(&["-l", ":x:"]);
    assert_eq!(binfmt.new, Kinds::only(Kind::User) | Kind::Mount);
    assert_eq!((binfmt.proc, binfmt.binfmt), (Some("/proc".into()), Some(BINFMT.into())));
    let elsewhere = options(&["--mount-binfmt=/b"]);
    assert_eq!((elsewhere.proc, elsewhere.binfmt), (None, Some("/b".into())));
}

#[test]
fn the_last_of_several_values_counts() {
    let given = options(&["-r", "--map-user=7", "-S1", "-S", "2", "--net=/a", "--net=/b", "--net"]);
    assert_eq!((given.map_user, given.map_group, given.uid), (Some(7), Some(0), Some(2)));
    assert_eq!(given.files[Kind::Net as usize], Some("/b".into()));
}

#[test]
fn ranges_are_read_in_both_orders_and_nothing_else() {
    let range = |text: &str| range(text.as_ref()).map(|r| (r.inside, r.outside, r.count));
    assert_eq!(range("0:100:5"), Some((0, 100, 5)));
    assert_eq!(range("100,0,5"), Some((0, 100, 5)));
    for wrong in ["", "1", "1:2", "1:2:3:4", "1:2,3", "a:b:c", "-1:0:1", "4294967296:0:1", "1:2:3 "] {
        assert_eq!(range(wrong), None, "{wrong:?}");
    }
}

#[test]
fn values_are_refused_in_util_linuxs_words() {
    for (args, message) in [
        (&["-S", "4294967301"][..], "failed to parse uid: '4294967301': Numerical result out of range"),
        (&["-G", "x"], "failed to parse gid: 'x'"),
        (&["--map-user=no-such-user"], "failed to parse uid 'no-such-user': Invalid argument"),
        (&["--map-users=1:2"], "invalid mapping '1:2'"),
        (&["--owner", "1"], "failed to parse owner"),
        (&["--setgroups", "x"], "unsupported --setgroups argument 'x'"),
        (&["--propagation", "x"], "unsupported propagation mode: x"),
        (&["--kill-child=9"], "unknown signal: 9"),
        (&["--monotonic", "x"], "failed to parse monotonic offset: 'x'"),
        (&["--boottime=1"], "options --monotonic and --boottime require unsharing of a time namespace (-T)"),
        (&["-m/x"], "invalid option -- '/'"),
    ] {
        assert_eq!(refusal(args), message, "{args:?}");
    }
}
