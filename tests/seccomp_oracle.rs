use libseccomp::*;
#[test]
fn links() {
    let f = ScmpFilterContext::new(ScmpAction::Allow).unwrap();
    println!("{:?} {:?}", ScmpVersion::current(), f.get_act_default());
}
