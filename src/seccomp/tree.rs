//! Numbers to outcomes: ranges, told apart by one balanced tree of comparisons.

use super::assemble::{Assembler, Target, Test};

/// What is to be done for the numbers from `start` to the next range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: u32,
    pub(super) target: Target,
}

/// Ranges in ascending order that cover every number; neighbours differ.
#[derive(Default)]
pub(super) struct Ranges(Vec<Range>);

impl Ranges {
    /// From `start`, which is not below any earlier one, the outcome is `target`.
    pub(super) fn from(&mut self, start: u32, target: Target) {
        debug_assert!(self.0.last().is_none_or(|last| last.start <= start), "{start} after {:?}", self.0.last());
        if self.0.last().is_some_and(|last| last.start == start) {
            self.0.pop();
        }
        if self.0.last().is_none_or(|last| last.target != target) {
            self.0.push(Range { start, target });
        }
    }

    /// Code that goes to the target of the number in the accumulator.
    pub(super) fn write(&self, assembler: &mut Assembler) -> Target {
        let Some((first, rest)) = self.0.split_first() else {
            unreachable!("the ranges cover every number, and so there is one");
        };
        subtree(assembler, &cuts(first.target, rest), first.target)
    }
}

/// Where the outcome changes.
#[derive(Clone, Copy)]
enum Cut {
    /// From here on.
    From(Range),
    /// For this number only: the numbers around it share their outcome.
    Only(Range),
}

/// So many lone numbers are tested for one after the other rather than split further: one instruction each instead of two,
/// and at such a size the path is no longer for it.
const LONE: usize = 3;

/// One instruction suffices for a number that differs from its surroundings, a range's two ends need two.
fn cuts(first: Target, rest: &[Range]) -> Vec<Cut> {
    let mut cuts = Vec::with_capacity(rest.len());
    let mut around = first;
    let mut at = 0;
    while at < rest.len() {
        // One or two lone numbers, then the same as before them.
        let lone = |at: usize| rest.get(at + 1).is_some_and(|next| next.start == rest[at].start + 1);
        let back = |at: usize| rest.get(at).is_some_and(|range| range.target == around);
        let length = match () {
            () if lone(at) && back(at + 1) => 1,
            () if lone(at) && lone(at + 1) && back(at + 2) => 2,
            () => 0,
        };
        if length == 0 {
            cuts.push(Cut::From(rest[at]));
            around = rest[at].target;
            at += 1;
        } else {
            cuts.extend(rest[at..at + length].iter().copied().map(Cut::Only));
            at += length + 1;
        }
    }
    cuts
}

/// Code that decides among `cuts`; below the first of them the outcome is `around`.
fn subtree(assembler: &mut Assembler, cuts: &[Cut], around: Target) -> Target {
    if cuts.len() <= LONE && cuts.iter().all(|cut| matches!(cut, Cut::Only(_))) {
        return cuts.iter().rev().fold(around, |no, cut| match *cut {
            Cut::Only(number) | Cut::From(number) => {
                Target::Label(assembler.branch(Test::Equal, number.start, number.target, no))
            }
        });
    }
    let middle = pivot(cuts);
    let (below, above) = cuts.split_at(middle);
    // A range's start is used up by the split; a lone number is not, and goes above.
    let (start, from, above) = match above[0] {
        Cut::From(range) => (range.start, range.target, &above[1..]),
        Cut::Only(number) => {
            let from = below.iter().rev().find_map(|cut| match cut {
                Cut::From(range) => Some(range.target),
                Cut::Only(_) => None,
            });
            (number.start, from.unwrap_or(around), above)
        }
    };
    let above = subtree(assembler, above, from);
    let below = subtree(assembler, below, around);
    Target::Label(assembler.branch(Test::GreaterOrEqual, start, above, below))
}

/// The cut nearest to the middle that a split uses up, if there is one near it; else the middle.
fn pivot(cuts: &[Cut]) -> usize {
    let middle = cuts.len() / 2;
    (0..=1 + cuts.len() / 8)
        .flat_map(|away| [middle.checked_sub(away), middle.checked_add(away)])
        .flatten()
        .find(|&at| matches!(cuts.get(at), Some(Cut::From(_))))
        .unwrap_or(middle)
}
