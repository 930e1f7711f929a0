use super::*;

fn card(place: usize, title: &str) -> Card {
    let marks = vec![(Kind::Net, Mark::Own), (Kind::Pid, Mark::Exposed)];
    Card { place, title: title.into(), about: "pid 7".into(), marks, warning: "host pid".into() }
}

fn picture(cards: Vec<Card>) -> Picture {
    let end = End { title: "web".into(), place: Some(0), lines: vec!["eth0 ⇄ veth1".into(), "10.0.0.2/24".into()] };
    let band = Band { name: "docker0".into(), lines: vec!["10.0.0.1/24".into()], ends: vec![end] };
    let range = Range { outer: 100_000, inner: 0, count: 65_536, is_shared: true };
    let map = Map { title: "web".into(), ids: "uids and gids", ranges: vec![range], overlaps: vec!["db".into()] };
    Picture {
        host: "host <1>".into(),
        date: "today".into(),
        scope: String::new(),
        kinds: Kind::ALL.to_vec(),
        sections: vec![Section {
            title: "docker".into(),
            groups: vec![
                Group { name: "pod \"p\"".into(), shared: "share net".into(), cards: vec![card(1000, "a")] },
                Group { cards, ..Group::default() },
            ],
        }],
        count: 104,
        undrawn: 3,
        networks: Some(Networks { host: vec!["eth0 192.0.2.1/24".into()], bands: vec![band], ..Networks::default() }),
        maps: Some(Maps { rows: vec![map], more: 0 }),
        strays: vec![Stray { name: "sleep".into(), counts: vec![(Kind::Uts, 300)], processes: 300 }],
        more_strays: 2,
    }
}

/// Names that would be more than names in one of the languages.
const HOSTILE: &str = "web \"1\" <b>&amp;</b> \\n ]]> </title><script>x</script> \u{202e}\u{0}'";

#[test]
fn names_are_escaped_in_every_language() {
    let picture = picture(vec![card(0, HOSTILE)]);
    let svg = picture.svg(Dress::Page);
    assert!(!svg.contains("<script") && !svg.contains("<b>") && !svg.contains('\u{202e}'), "{svg}");
    assert!(svg.contains("&lt;b&gt;") && svg.ends_with("</svg>\n"));
    let dot = picture.dot();
    let quotes = |line: &str| line.replace("\\\\", "").replace("\\\"", "").matches('"').count();
    assert!(dot.contains("web \\\"1\\\" <b>") && dot.lines().all(|line| quotes(line) % 2 == 0), "{dot}");
    let mermaid = picture.mermaid();
    assert!(mermaid.contains("web #34;1#34; #60;b#62;") && !mermaid.contains("<script"), "{mermaid}");
}

#[test]
fn what_is_not_drawn_is_told() {
    let picture = picture(vec![card(0, "web")]);
    for text in [picture.svg(Dress::File), picture.dot(), picture.mermaid()] {
        for told in ["3 more containers", "300 ", "and 2 more", "docker0", "share net", "100000-165535"] {
            assert!(text.contains(told), "{told}: {text}");
        }
    }
}

/// The numbers of an attribute, of all elements that begin so.
fn numbers(svg: &str, element: &str, name: &str) -> Vec<f64> {
    let elements = svg.match_indices(element).map(|(at, _)| &svg[at..]);
    let value = |element: &str| element.split_once(&format!(" {name}=\""))?.1.split('"').next()?.parse().ok();
    elements.filter_map(value).collect()
}

#[test]
fn a_hundred_containers_are_about_as_wide_as_high_and_nothing_is_drawn_outside() {
    let picture = picture((0..100).map(|number| card(number, &format!("web-{number:03}"))).collect());
    let svg = picture.svg(Dress::File);
    let (wide, high) = (numbers(&svg, "<svg", "width")[0], numbers(&svg, "<svg", "height")[0]);
    assert!(wide < 2.5 * high && high < 2.0 * wide, "{wide}x{high}");
    let places: Vec<usize> =
        (0..100).map(|number| svg.find(&format!(">web-{number:03}<")).expect("the name")).collect();
    assert!(places.is_sorted());
    for class in ["card", "pod", "frame", "bridge", "machine"] {
        let element = format!("<rect class=\"{class}\"");
        for (at, size, whole) in [("x", "width", wide), ("y", "height", high)] {
            let ends = numbers(&svg, &element, at).into_iter().zip(numbers(&svg, &element, size));
            let furthest = ends.map(|(at, size)| at + size).fold(0.0, f64::max);
            assert!(furthest > 0.0 && furthest <= whole - 10.0, "{class} {at}: {furthest} of {whole}");
        }
    }
}
