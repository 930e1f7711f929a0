//! Rules with conditions on arguments: which of them decides, and the tests that find it.
//!
//! The rules for one number become a graph of tests on 32-bit words. A test whose result is known on the way to it is
//! jumped over, so that `personality` compared with five values loads its argument once.

use super::assemble::{Assembler, Label, Target, Test};
use super::{Action, Comparison};

/// The most arguments a system call has.
pub(super) const ARGUMENTS: usize = 6;

/// One rule for one number: all of its comparisons, by argument, must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Alternative {
    pub(super) comparisons: [Option<Comparison>; ARGUMENTS],
    pub(super) action: Action,
}

/// How an architecture passes arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Words {
    /// 64 bits, not 32.
    pub(super) wide: bool,
    /// The high half comes first.
    pub(super) big_endian: bool,
}

impl Words {
    /// The offset in `struct seccomp_data` of one half of an argument.
    fn offset(self, argument: usize, high: bool) -> u32 {
        16 + 8 * argument as u32 + if high == self.big_endian { 0 } else { 4 }
    }
}

impl Comparison {
    /// Whether it holds for every argument.
    pub(super) fn is_tautology(self, words: Words) -> bool {
        match self {
            Comparison::MaskedEqual { mask, .. } => mask == 0 || (!words.wide && mask as u32 == 0),
            _ => false,
        }
    }
}

/// The alternatives in the order in which they are tried, doubles left out.
///
/// It is the order that libseccomp's trees have, where it matters: when alternatives with different actions overlap.
/// On one level of such a tree, higher arguments come before lower ones, high halves before low ones, (masked) equality
/// before "less" before "greater", greater values before smaller ones (but for "less"); an alternative that is a
/// part of another comes first. Those that begin with the same test are tried together. (libseccomp refuses or drops
/// some rules that contradict earlier ones; here they keep their place.)
pub(super) fn in_order(alternatives: &[Alternative], words: Words) -> Vec<&Alternative> {
    let mut level = Vec::new();
    for alternative in alternatives {
        insert(&mut level, &keys(alternative, words), alternative);
    }
    let mut ordered = Vec::with_capacity(alternatives.len());
    flatten(level, &mut ordered);
    ordered
}

/// What places one test of an alternative among others.
#[derive(Clone, Copy)]
struct Key {
    /// The argument, and which half of it.
    word: usize,
    /// Equality, "less", "greater" as the rule has it.
    rank: u8,
    /// The comparison made: "less" is "greater or equal" turned round, "not equal" is "equal" turned round.
    made: u8,
    value: u32,
    mask: u32,
}

impl Key {
    /// The very same test.
    fn same(&self, other: &Key) -> bool {
        (self.word, self.made, self.value, self.mask) == (other.word, other.made, other.value, other.mask)
    }

    /// `other` belongs before this.
    fn yields(&self, other: &Key) -> bool {
        let smaller = if self.rank == LESS { self.value > other.value } else { self.value < other.value };
        (self.word, self.rank) < (other.word, other.rank)
            || (self.word, self.rank) == (other.word, other.rank) && smaller
    }
}

const GREATER: u8 = 1;
const LESS: u8 = 2;
const EQUALITY: u8 = 3;

fn keys(alternative: &Alternative, words: Words) -> Vec<Key> {
    let mut keys = Vec::with_capacity(2 * ARGUMENTS);
    for (argument, comparison) in alternative.comparisons.iter().enumerate() {
        let Some(comparison) = *comparison else { continue };
        // made: 0 equal, 1 masked equal, 2 greater, 3 greater or equal
        let (rank, high, low, value, mask) = match comparison {
            Comparison::Equal(value) | Comparison::NotEqual(value) => (EQUALITY, 0, 0, value, u64::MAX),
            Comparison::MaskedEqual { mask, value } => (EQUALITY, 1, 1, value & mask, mask),
            Comparison::Less(value) => (LESS, 2, 3, value, u64::MAX),
            Comparison::LessOrEqual(value) => (LESS, 2, 2, value, u64::MAX),
            Comparison::GreaterOrEqual(value) => (GREATER, 2, 3, value, u64::MAX),
            Comparison::Greater(value) => (GREATER, 2, 2, value, u64::MAX),
        };
        if words.wide {
            let (value, mask) = ((value >> 32) as u32, (mask >> 32) as u32);
            keys.push(Key { word: 2 * argument + 1, rank, made: high, value, mask });
        }
        keys.push(Key { word: 2 * argument, rank, made: low, value: value as u32, mask: mask as u32 });
    }
    keys
}

/// One test, the alternatives that end with it and those that go on.
struct Level<'a> {
    key: Key,
    ends: Vec<&'a Alternative>,
    goes_on: Vec<Level<'a>>,
}

fn insert<'a>(level: &mut Vec<Level<'a>>, keys: &[Key], alternative: &'a Alternative) {
    let Some((key, rest)) = keys.split_first() else {
        unreachable!("an alternative has a comparison, else its rule is unconditional");
    };
    let at = level.iter().position(|there| there.key.same(key) || there.key.yields(key)).unwrap_or(level.len());
    if !level.get(at).is_some_and(|there| there.key.same(key)) {
        level.insert(at, Level { key: *key, ends: Vec::new(), goes_on: Vec::new() });
    }
    let there = &mut level[at];
    if !rest.is_empty() {
        insert(&mut there.goes_on, rest, alternative);
    } else if there.ends.iter().all(|other| other.comparisons != alternative.comparisons) {
        there.ends.push(alternative);
    }
}

fn flatten<'a>(level: Vec<Level<'a>>, ordered: &mut Vec<&'a Alternative>) {
    for there in level {
        ordered.extend(there.ends);
        flatten(there.goes_on, ordered);
    }
}

/// Where to go on from a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Node(usize),
    Return(u32),
}

/// A test of the word at `offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Question {
    offset: u32,
    test: Test,
    /// Only these bits are compared ([`Test::Equal`]).
    mask: u32,
    k: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Node {
    question: Question,
    yes: Next,
    no: Next,
}

/// What is known on the way: a question and its answer.
type Fact = (Question, bool);

/// The tests for one number; a node's targets have smaller indices than the node.
struct Graph {
    nodes: Vec<Node>,
    words: Words,
}

/// Code that tries `alternatives` in their order and returns the first one's action whose comparisons hold, else
/// `otherwise`. It loads what it needs.
pub(super) fn write(
    assembler: &mut Assembler,
    alternatives: &[&Alternative],
    otherwise: Action,
    words: Words,
) -> Target {
    let mut graph = Graph { nodes: Vec::with_capacity(4 * alternatives.len()), words };
    let mut entry = Next::Return(otherwise.value());
    for alternative in alternatives.iter().rev() {
        entry = graph.alternative(alternative, entry);
    }
    graph.write(assembler, entry)
}

impl Graph {
    fn alternative(&mut self, alternative: &Alternative, otherwise: Next) -> Next {
        // Comparisons are made from the first on, but written from the last on: so gather first what each may know.
        let mut facts = Vec::with_capacity(2 * ARGUMENTS);
        let mut comparisons = Vec::with_capacity(ARGUMENTS);
        for (argument, comparison) in alternative.comparisons.iter().enumerate() {
            if let Some(comparison) = *comparison {
                comparisons.push((argument, comparison, facts.len()));
                self.facts(argument, comparison, &mut facts);
            }
        }
        let yes = Next::Return(alternative.action.value());
        comparisons.iter().rev().fold(yes, |yes, &(argument, comparison, known)| {
            facts.truncate(known);
            self.comparison(argument, comparison, yes, otherwise, &mut facts)
        })
    }

    fn ask(&self, argument: usize, high: bool, test: Test, k: u32) -> Question {
        Question { offset: self.words.offset(argument, high), test, mask: u32::MAX, k }
    }

    /// The question whether the bits of `mask` have this value.
    fn ask_masked(&self, argument: usize, high: bool, mask: u32, value: u32) -> Question {
        Question { mask, ..self.ask(argument, high, Test::Equal, value) }
    }

    /// Adds what is certain when the comparison holds.
    fn facts(&self, argument: usize, comparison: Comparison, facts: &mut Vec<Fact>) {
        let halves = |value: u64| [(true, (value >> 32) as u32), (false, value as u32)];
        match comparison {
            Comparison::Equal(value) => {
                for (high, value) in halves(value).into_iter().filter(|&(high, _)| self.words.wide || !high) {
                    facts.push((self.ask(argument, high, Test::Equal, value), true));
                }
            }
            Comparison::MaskedEqual { mask, value } => {
                for ((high, mask), (_, value)) in halves(mask).into_iter().zip(halves(value & mask)) {
                    if mask != 0 && (self.words.wide || !high) {
                        facts.push((self.ask_masked(argument, high, mask, value), true));
                    }
                }
            }
            _ => {}
        }
    }

    /// The tests of one comparison; `facts` are what is known before it and are left as they were.
    fn comparison(
        &mut self,
        argument: usize,
        comparison: Comparison,
        yes: Next,
        no: Next,
        facts: &mut Vec<Fact>,
    ) -> Next {
        match comparison {
            Comparison::Equal(value) => self.equal(argument, value, u64::MAX, yes, no, facts),
            Comparison::NotEqual(value) => self.equal(argument, value, u64::MAX, no, yes, facts),
            Comparison::MaskedEqual { mask, value } => self.equal(argument, value & mask, mask, yes, no, facts),
            Comparison::Greater(value) => self.greater(argument, value, Test::Greater, yes, no, facts),
            Comparison::GreaterOrEqual(value) => self.greater(argument, value, Test::GreaterOrEqual, yes, no, facts),
            Comparison::LessOrEqual(value) => self.greater(argument, value, Test::Greater, no, yes, facts),
            Comparison::Less(value) => self.greater(argument, value, Test::GreaterOrEqual, no, yes, facts),
        }
    }

    fn equal(&mut self, argument: usize, value: u64, mask: u64, yes: Next, no: Next, facts: &mut Vec<Fact>) -> Next {
        let high = self.ask_masked(argument, true, (mask >> 32) as u32, (value >> 32) as u32);
        let low = self.ask_masked(argument, false, mask as u32, value as u32);
        let ask_high = self.words.wide && high.mask != 0;
        let mut next = yes;
        if low.mask != 0 {
            if ask_high {
                facts.push((high, true));
            }
            next = self.node(low, next, no, facts);
            if ask_high {
                facts.pop();
            }
        }
        if ask_high { self.node(high, next, no, facts) } else { next }
    }

    fn greater(&mut self, argument: usize, value: u64, test: Test, yes: Next, no: Next, facts: &mut Vec<Fact>) -> Next {
        let low = self.ask(argument, false, test, value as u32);
        if !self.words.wide {
            return self.node(low, yes, no, facts);
        }
        let above = self.ask(argument, true, Test::Greater, (value >> 32) as u32);
        let equal = self.ask(argument, true, Test::Equal, (value >> 32) as u32);
        facts.push((equal, true));
        let low = self.node(low, yes, no, facts);
        facts.pop();
        if equal.k == 0 {
            // No half is below 0, and so the one that is not equal is above.
            return self.node(equal, low, yes, facts);
        }
        facts.push((above, false));
        let equal = self.node(equal, low, no, facts);
        facts.pop();
        self.node(above, yes, equal, facts)
    }

    /// A node, unless there is no need for one.
    fn node(&mut self, question: Question, yes: Next, no: Next, facts: &mut Vec<Fact>) -> Next {
        let mut after = |answer| {
            facts.push((question, answer));
            let next = self.known(if answer { yes } else { no }, facts);
            facts.pop();
            next
        };
        let (yes, no) = (after(true), after(false));
        if yes == no {
            return yes;
        }
        let node = Node { question, yes, no };
        // The same rule for two arguments or twice in a profile ends in nodes written just before.
        const RECENT: usize = 32;
        let recent = self.nodes.len().saturating_sub(RECENT);
        let at = match self.nodes[recent..].iter().position(|&other| other == node) {
            Some(at) => recent + at,
            None => {
                self.nodes.push(node);
                self.nodes.len() - 1
            }
        };
        Next::Node(at)
    }

    /// Where `next` leads beyond all tests whose answers follow from `facts`.
    fn known(&self, mut next: Next, facts: &[Fact]) -> Next {
        while let Next::Node(at) = next {
            let node = self.nodes[at];
            match facts.iter().find_map(|fact| node.question.follows(fact)) {
                Some(true) => next = node.yes,
                Some(false) => next = node.no,
                None => break,
            }
        }
        next
    }

    /// Writes the nodes that can be reached from `entry`.
    fn write(&self, assembler: &mut Assembler, entry: Next) -> Target {
        let root = match entry {
            Next::Node(root) => root,
            Next::Return(value) => return Target::Return(value),
        };
        let mut reached = vec![false; root + 1];
        let mut loads = vec![false; root + 1];
        (reached[root], loads[root]) = (true, true);
        for at in (0..=root).rev() {
            if reached[at] {
                for next in [self.nodes[at].yes, self.nodes[at].no] {
                    if let Next::Node(next) = next {
                        reached[next] = true;
                        loads[next] |= !self.leaves_word_for(at, next);
                    }
                }
            }
        }
        let mut places: Vec<Option<Place>> = vec![None; root + 1];
        for at in (0..=root).filter(|&at| reached[at]) {
            let Node { question, yes, no } = self.nodes[at];
            let target = |next| match next {
                Next::Return(value) => Target::Return(value),
                Next::Node(next) => match places[next] {
                    Some(place) if self.leaves_word_for(at, next) => Target::Label(place.tests),
                    Some(place) => Target::Label(place.loads),
                    None => unreachable!("a node's targets are written before it"),
                },
            };
            let (yes, no) = (target(yes), target(no));
            let tests = match question.form() {
                Form::AsItIs => assembler.branch(question.test, question.k, yes, no),
                Form::AnyBit => assembler.branch(Test::Bits, question.mask, yes, no),
                Form::NoBit => assembler.branch(Test::Bits, question.mask, no, yes),
                Form::Masked => {
                    assembler.branch(Test::Equal, question.k, yes, no);
                    assembler.and(question.mask)
                }
            };
            let loads = if loads[at] { assembler.load(question.offset) } else { tests };
            places[at] = Some(Place { loads, tests });
        }
        match places[root] {
            Some(place) => Target::Label(place.loads),
            None => unreachable!("the root is reached"),
        }
    }

    /// Whether the accumulator holds what `next` tests when `at` goes there.
    fn leaves_word_for(&self, at: usize, next: usize) -> bool {
        let (at, next) = (self.nodes[at].question, self.nodes[next].question);
        at.offset == next.offset && at.form() != Form::Masked
    }
}

/// Where a node's code is: with its load, and behind it.
#[derive(Clone, Copy)]
struct Place {
    loads: Label,
    tests: Label,
}

/// How a question is put in BPF.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    AsItIs,
    /// The mask's only bit is set.
    AnyBit,
    /// None of the mask's bits is set.
    NoBit,
    /// What remains under the mask is compared, which spoils the accumulator.
    Masked,
}

impl Question {
    fn form(self) -> Form {
        match (self.mask, self.k) {
            (u32::MAX, _) => Form::AsItIs,
            (_, 0) => Form::NoBit,
            (mask, k) if mask == k && mask.is_power_of_two() => Form::AnyBit,
            _ => Form::Masked,
        }
    }

    /// The answer for this word.
    fn answer(self, word: u32) -> bool {
        match self.test {
            Test::Equal => word & self.mask == self.k,
            Test::Greater => word > self.k,
            Test::GreaterOrEqual => word >= self.k,
            Test::Bits => word & self.k != 0,
        }
    }

    /// The answer where it follows from a fact.
    fn follows(self, &(known, answer): &Fact) -> Option<bool> {
        if self.offset != known.offset {
            return None;
        }
        if self == known {
            return Some(answer);
        }
        if known.test != Test::Equal || !answer {
            return None;
        }
        match self.test {
            Test::Equal if (self.k ^ known.k) & self.mask & known.mask != 0 => Some(false),
            Test::Equal if self.mask & !known.mask == 0 => Some(true),
            _ if known.mask == u32::MAX => Some(self.answer(known.k)),
            _ => None,
        }
    }
}
